"""What was found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import subtract
from frostline.report.collect import Collected, StudyData
from frostline.report.configurations import Configuration, same_for_all
from frostline.runs.patients import by_unit, unit
from frostline.text import interval, percent

MOST_SENTENCES = 6


def sentences(tested: Sequence[Configuration], curves: Mapping[str, Curve], collected: Collected) -> list[str]:
    """What was found, in plain words; nothing is called better that is not shown to be."""
    lines = []
    for study in collected.studies:
        if (curve := curves.get(study.name)) is not None:
            lines += _of_curve(study, curve, _tested_at_highest(study, curve, tested, collected))
    for c in tested[:MOST_SENTENCES]:
        low, high = c.metrics["acc"].interval
        groups = len(np.unique(c.groups))
        lines.append(
            f"{c.label}: right on {percent(c.metrics['acc'].mean)} ({interval(low, high)}; {c.trainings}) of "
            f"{len(c.examples)} test images in {groups} groups, {c.drawn}; {_of_patients(c)}"
            + (
                f"; {c.leaks} of the images have one of their group in training, so both are too high"
                if c.leaks
                else ""
            )
            + "."
            + _never_predicted(c)
        )
    if len(tested) > MOST_SENTENCES:
        lines.append(f"{len(tested) - MOST_SENTENCES} more tested configurations stand below.")
    lines.append(f"The test images of these runs were {collected.holdout_uses(collected.runs)}.")
    return lines


def _never_predicted(c: Configuration) -> str:
    never = [name for i, name in enumerate(c.task.classes) if not c.matrix[:, i].any()]
    return f" {' and '.join(never)} {'is' if len(never) == 1 else 'are'} never predicted." if never else ""


def _of_patients(c: Configuration) -> str:
    """The accuracy by patient with its interval, in words."""
    accuracy, patients = c.patient_metrics["acc"], f"{len(c.patients[0])} {unit(c.patients_known)}s"
    return f"{by_unit(c.patients_known)}, on {percent(accuracy.mean)} ({interval(*accuracy.interval)}) of {patients}"


def _tested_at_highest(
    study: StudyData, curve: Curve, tested: Sequence[Configuration], collected: Collected
) -> Configuration | None:
    """The tested configuration with the settings of the highest depth, when there is one."""
    runs = (collected.run_of(t) for t in study.complete if t.settings["freeze"] == curve.highest.freeze)
    wanted = next((same_for_all(run.options) for run in runs if run is not None), None)
    return next((c for c in tested if same_for_all(c.options) == wanted), None)


def _of_curve(study: StudyData, curve: Curve, tested: Configuration | None) -> list[str]:
    first, *others = curve.in_words()
    lines = [f"Study {study.name}: {first}", *others]
    if tested is not None:
        h, on_test = curve.highest, tested.metrics[study.objective.removeprefix("val/")]
        difference, (low, high) = subtract(h.mean, h.interval, on_test.mean, on_test.interval)
        where = "below" if difference > 0 else "above"
        lines.append(
            f"Trained anew with {h.freeze} frozen layers it has {percent(on_test.mean)} on test, "
            f"{100 * abs(difference):.1f} points {where} the validation score that chose it ("
            + (
                f"95 % interval of validation less test: {100 * low:+.1f} to {100 * high:+.1f})."
                if low == low
                else "no interval of that, for groups are too few)."
            )
        )
    return lines
