"""What a run can say of its results and their limits, in sentences: a function of plain facts each."""

from __future__ import annotations

from collections.abc import Callable

from frostline.data.dataset import FEW_GROUPS
from frostline.report.paper.facts import PaperFacts
from frostline.report.paper.words import count_images, excluded, is_known, listed, sizes
from frostline.runs.summary import interval_of
from frostline.text import percent


def robustness(f: PaperFacts) -> str:
    """Seeds and depths that were tried."""
    parts = [f"trained with {f.trainings}"] if f.seeds > 1 else []
    parts += [f"freezing depths: {study}" for study in f.searches if "freeze" in study]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def explainability(f: PaperFacts) -> str:
    """There is none."""
    return "None was applied by these runs."


def internal_testing(f: PaperFacts) -> str:
    """The held-out test set."""
    if "acc" not in f.figures:
        return ""
    label, value = f.figures["acc"]
    return f"On held-out images of the same data set: {label} {value}. The test set was {f.holdout_uses}."


def external_testing(f: PaperFacts) -> str:
    """There is none."""
    return "None by these runs: all partitions are of one data set."


def flow(f: PaperFacts) -> str:
    """Images in and out."""
    return f"Included: {count_images(f)} in {len({e.group for e in f.examples})} groups. {excluded(f)}"


def characteristics(f: PaperFacts) -> str:
    """Classes by partition; people are for the author."""
    return f"{sizes(f)}. Age, sex and clinical data: for the author."


def performance(f: PaperFacts) -> str:
    """Metrics of all classes together."""
    return _figures(f, of_classes=False)


def diagnostic(f: PaperFacts) -> str:
    """Metrics of single classes."""
    return _figures(f, of_classes=True)


def failures(f: PaperFacts) -> str:
    """Which class is taken for which."""
    if not f.confusion:
        return ""
    names = f.task.classes
    counts = {
        (true, named): n
        for true, row in zip(names, f.confusion, strict=True)
        for named, n in zip(names, row, strict=True)
    }
    wrong = sorted(((n, *pair) for pair, n in counts.items() if pair[0] != pair[1] and n), reverse=True)
    taken = listed([f"{round(n, 1):g} {true} taken for {named}" for n, true, named in wrong])
    mean = " (mean over seeds)" if f.seeds > 1 else ""
    return f"{taken or 'No test image is wrong'}{mean}; the page of frostline report shows the most confident ones."


def limitations(f: PaperFacts) -> str:
    """What a run can tell of its own limits."""
    tests = [e for e in f.examples if e.split == "test"]
    groups = {name: len({e.group for e in tests if e.label == name}) for name in f.task.classes}
    few = listed([f"{n} of {name}" for name, n in groups.items() if n < FEW_GROUPS])
    leaks = int(f.metrics.get("test/groups_in_train") or 0)
    lines = (
        "one data set, without external testing",
        "slices are judged one by one",
        "one seed, so chance between trainings was not measured" if f.seeds == 1 else "",
        ""
        if all(is_known(e.grouped_by) for e in f.examples)
        else "not every patient is known: new slices, not new patients",
        f"few groups in the test set ({few})" if few else "",
        f"{leaks} of {len(tests)} test images have one of their group in training" if leaks else "",
        f"the test set was {f.holdout_uses}" if "times" in f.holdout_uses else "",
    )
    return f"As far as a run can tell: {'; '.join(line for line in lines if line)}."


def details(f: PaperFacts) -> str:
    """Where everything stands."""
    return "config.yaml: every option; manifest.csv: every image and its partition; page of frostline report: commands."


def availability(f: PaperFacts) -> str:
    """The code; model and data are for the author."""
    version = (f.environment.get("packages") or {}).get("frostline", "")
    commit = f", commit {str(f.environment['git_commit'])[:12]}" if f.environment.get("git_commit") else ""
    return f"Software: frostline {version}{commit}, MIT licence. Model (model.ckpt) and data: for the author."


def updating(f: PaperFacts) -> str:
    """There is none."""
    return "None: a run changes nothing after it has evaluated the test set."


def threshold(f: PaperFacts) -> str:
    """The threshold of the positive class, and what it does on test."""
    at = f.metrics.get("operating/threshold")
    if at is None:
        return ""
    found = []
    for name in ("sensitivity", "specificity"):
        key = f"test/operating/{name}"
        if (value := f.metrics.get(key)) is not None:
            found.append(f"{name} {percent(float(value))} ({interval_of(f.metrics, key)})")
    on_test = f"; on test {listed(found)}" if found else ""
    wanted = percent(float(f.metrics["operating/wanted_sensitivity"]))
    return f"{f.task.positive}: from {float(at):.3f}, chosen on validation for a sensitivity of {wanted}{on_test}."


def _figures(f: PaperFacts, of_classes: bool) -> str:
    """Labels and values of the figures of single classes, or of those of all together."""
    text = "; ".join(f"{label} {value}" for key, (label, value) in f.figures.items() if ("/" in key) == of_classes)
    return f"{text[0].upper()}{text[1:]}." if text else ""


RESULT_ANSWERS: dict[str, Callable[[PaperFacts], str]] = {
    function.__name__: function
    for function in (
        *(robustness, explainability, internal_testing, external_testing, flow, characteristics, performance),
        *(diagnostic, failures, limitations, details, availability, updating, threshold),
    )
}
"""By the key that a checklist's file names."""
