"""Whether predictions fit the split, and every figure of metrics.json follows from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from frostline.files import flat_json
from frostline.runs.environment import environment_facts
from frostline.runs.patients import all_by_patient, score_of
from frostline.runs.predictions import Predictions, SplitPredictions
from frostline.runs.results import Wanted, evaluate_patients, evaluate_run
from frostline.runs.verification.check import Check, Finding, few
from frostline.runs.verification.recorded import Recorded
from frostline.text import NAMES

EXACT = 1e-9  # what two computations of one figure may differ by
SUM = 1e-5  # what probabilities may miss 1 by: they are written in float32
ENDS = ("/lower", "/upper", "/why")
WANTED = ("sensitivity", "sensitivity_confidence", "prevalence")
FACTS = {
    **{name: name for name in ("freeze", "freeze_unit", "seed")},
    **{"max_epochs": "trainer.max_epochs", "model": "model.name", "data": "data.name", "split": "data.split"},
    **{"split_seed": "data.split_seed", "fold": "data.fold", "val_fold": "data.val_fold"},
    **{"monitor": "trainer.monitor", "optimizer": "optimizer.name", "lr": "optimizer.lr"},
    **{"batch_size": "data.batch_size", "image_size": "data.image_size"},
}
"""What metrics.json says of a run, and the option that it comes from."""


def evaluated_splits(recorded: Recorded) -> tuple[str, ...]:
    """The splits that a run has evaluated, by its metrics or by its predictions."""
    tested = "test/acc" in (recorded.metrics or {}) or any(row.split == "test" for row in recorded.predictions or ())
    return ("val", "test") if tested else ("val",)


def predictions_of(recorded: Recorded) -> Predictions | None:
    """The predictions on images that the manifest knows, by split; None where a file is missing for that."""
    if recorded.task is None or recorded.examples is None or recorded.predictions is None:
        return None
    examples = {e.path: e for e in recorded.examples}
    predictions = {}
    for split in evaluated_splits(recorded):
        rows = [row for row in recorded.predictions if row.split == split and row.path in examples]
        if rows:
            probabilities = np.array([row.probabilities for row in rows], np.float32)
            chosen = tuple(examples[row.path] for row in rows)
            predictions[split] = SplitPredictions(recorded.task, chosen, probabilities)
    return predictions if "val" in predictions else None  # threshold and temperature are chosen on it


def check_predictions(recorded: Recorded) -> Check:
    """The images, classes and probabilities of predictions.csv, against the manifest and themselves."""
    says = "one line for every image evaluated, of its class, probabilities that add up to 1"
    if recorded.task is None or recorded.predictions is None:
        return Check("predictions", says, unseen=("the predictions: a file cannot be read",), done=False)
    rows, classes = recorded.predictions, recorded.task.classes
    found: dict[str, list[str]] = {}
    if recorded.examples is not None:
        known = {e.path: e for e in recorded.examples}
        evaluated = {(row.path, row.split) for row in rows}
        absent = [e.path for e in known.values() if e.split in evaluated_splits(recorded)]
        found["image(s) have no prediction"] = [p for p in absent if (p, known[p].split) not in evaluated]
        found["predicted image(s) are not in manifest.csv"] = [row.path for row in rows if row.path not in known]
        placed = [(row, known[row.path]) for row in rows if row.path in known]
        for row, e in placed:
            if row.split != e.split:
                what = f"image(s) predicted as {_name(row.split)}, but of {_name(e.split)} in manifest.csv"
                found.setdefault(what, []).append(row.path)
        found["image(s) of another class than in manifest.csv"] = [r.path for r, e in placed if r.true != e.label]
    twice = Counter(row.path for row in rows)
    found["image(s) are predicted more than once"] = [path for path, n in twice.items() if n > 1]
    found["image(s) whose predicted class is not the most probable"] = [
        row.path for row in rows if row.predicted != classes[int(np.argmax(row.probabilities))]
    ]
    found["image(s) with a probability outside 0..1"] = [
        r.path for r in rows if min(r.probabilities) < 0 or max(r.probabilities) > 1
    ]
    off = [(row, sum(row.probabilities)) for row in rows if abs(sum(row.probabilities) - 1) > SUM]
    found["image(s) whose probabilities do not add up to 1"] = [f"{row.path} ({total:.6f})" for row, total in off]
    differs = tuple(Finding(f"{len(paths)} {what}", tuple(paths)) for what, paths in found.items() if paths)
    unseen = () if recorded.examples is not None else ("whether predictions are of the split: no manifest.csv",)
    return Check("predictions", f"{says} ({len(rows)} lines)", differs, unseen)


def check_facts(recorded: Recorded) -> Check:
    """What metrics.json says the run was, against config.yaml and the manifest."""
    says = "what metrics.json says the run was, against config.yaml and manifest.csv"
    if recorded.metrics is None or recorded.options is None:
        return Check("facts", says, unseen=("what the run was: a file cannot be read",), done=False)
    expected = {key: recorded.options.get(option) for key, option in FACTS.items() if key in recorded.metrics}
    if recorded.examples is not None:
        expected["train/images"] = sum(e.split == "train" for e in recorded.examples)
    differs = [
        f"{key}: {recorded.metrics.get(key)} in metrics.json, {value} by "
        f"{'manifest.csv' if key == 'train/images' else 'config.yaml'}"
        for key, value in expected.items()
        if key in recorded.metrics and recorded.metrics[key] != value
    ]
    unseen = "whether the network was trained with config.yaml: only a training of the same seed shows it"
    return Check("facts", f"{says} ({len(expected)})", tuple(map(Finding, differs)), (unseen,))


def check_metrics(recorded: Recorded, predictions: Predictions | None) -> Check:
    """Every metric with its interval, computed anew from predictions.csv, against metrics.json."""
    says = "every figure and interval of metrics.json computed anew from predictions.csv"
    if predictions is None or recorded.metrics is None:
        return Check("metrics", says, unseen=("the figures: a file cannot be read",), done=False)
    written, options = recorded.metrics, {name: recorded.option(name) for name in WANTED}
    for name, value in options.items():
        given = isinstance(value, int | float) and 0 < value <= 1
        if not given and (value is not None or name == "sensitivity"):
            return Check("metrics", says, (Finding(f"config.yaml: {name}={value}: must be above 0, at most 1"),))
    wanted = Wanted(options["sensitivity"], options["sensitivity_confidence"], options["prevalence"])
    score = score_of(written)
    by_patient = evaluate_patients(all_by_patient(predictions, score), wanted, score)
    computed = flat_json(evaluate_run(predictions, wanted) | by_patient)
    other = other_version(recorded.environment)
    shared = [key for key in computed if key in written]
    differing = {key: _difference(key, written[key], computed[key]) for key in shared}
    values = [text for key, text in differing.items() if text and not key.endswith(ENDS)]
    ends = [text for key, text in differing.items() if text and key.endswith(ENDS)]
    absent = [key for key in computed if key not in written]
    excess = [key for key in _figures(written) if key not in computed]
    says = f"{says} ({len(shared)})"
    if not other:
        gone = [f"{key}: not in metrics.json" for key in absent]
        gone += [f"{key}: in metrics.json, not computed" for key in excess]
        return Check("metrics", says, tuple(map(Finding, (*values, *ends, *gone))))
    unseen = []
    if ends:
        unseen.append(f"whether {len(ends)} ends of intervals are as they were: the run is of {other}, as they may be")
    for keys, what in ((absent, "this version has too"), (excess, "this version has not")):
        if keys:
            unseen.append(f"{len(keys)} figures that {what}, the run being of {other}: {few(keys)}")
    agree = "" if values else f"; the values agree, {len(ends)} ends of intervals are of another version"
    return Check("metrics", says + (agree if ends else ""), tuple(map(Finding, values)), tuple(unseen))


def other_version(environment: Mapping[str, Any] | None) -> str:
    """Which version of frostline a run is of, in words, where it is another than this or not known; else empty."""
    now = environment_facts()
    if environment is None:
        return "a version that is not known"
    packages = environment.get("packages")
    version = packages.get("frostline") if isinstance(packages, dict) else None
    commit = environment.get("git_commit")
    if (commit, version) == (now["git_commit"], now["packages"].get("frostline")):
        return ""
    return f"frostline {version or 'of no known version'}" + (f", commit {str(commit)[:8]}" if commit else "")


def _figures(written: Mapping[str, Any]) -> list[str]:
    """The keys of metrics.json that are figures of a split, and no facts about it."""
    figures = (
        key for key in written if key.startswith(("val/", "test/", "operating/", "patient/")) or key == "temperature"
    )
    return [key for key in figures if not key.endswith("_in_train")]


def _difference(key: str, written: Any, computed: Any) -> str:
    """How a figure differs, in words; empty where it does not."""
    numbers = [x for x in (written, computed) if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(numbers) == 2:
        if abs(numbers[0] - numbers[1]) <= EXACT:
            return ""
        by = f", {numbers[0] - numbers[1]:+.3g}"
    elif written == computed:
        return ""
    else:
        by = ""
    return f"{key}: {_short(written)} in metrics.json, {_short(computed)} from predictions.csv{by}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)


def _name(split: str) -> str:
    return NAMES.get(split, split)
