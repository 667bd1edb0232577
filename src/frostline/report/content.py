"""What a page says: configurations tested with several seeds, curves over depths, leak gaps, mistakes, sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from frostline.config import CLASSES, FrostlineError
from frostline.data.manifest import Example
from frostline.evaluation.curve import Curve, freezing_curve
from frostline.evaluation.intervals import Interval
from frostline.evaluation.repeats import Repeats, repeat
from frostline.evaluation.weighted import MALIGNANT
from frostline.report.claims import Claim, figure_claims, search_claims
from frostline.report.collect import Collected, StudyData
from frostline.runs import SETTINGS, FinishedRun, Predicted, pool, same_images

METRICS = {
    "accuracy": "acc",
    "balanced accuracy": "balanced_acc",
    "precision, weighted": "precision_weighted",
    "recall, weighted": "recall_weighted",
    "F1, weighted": "f1_weighted",
    "F1, macro": "f1_macro",
    "malignant: precision": "malignant/precision",
    "malignant: sensitivity": "malignant/sensitivity",
    "malignant: specificity": "malignant/specificity",
    "benign: recall": "benign/recall",
    "normal: recall": "normal/recall",
    "AUROC, macro": "auroc_macro",
    "calibration error": "calibration_error",
}
GAP = {"accuracy": "acc", "balanced accuracy": "balanced_acc", "F1, macro": "f1_macro"}
MOST_SENTENCES = 6
KEYS = tuple({*METRICS.values(), "malignant/recall"})


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in the seed alone, evaluated on the same test images."""

    settings: dict[str, Any]
    runs: tuple[FinishedRun, ...]
    predicted: tuple[Predicted, ...]
    """The test images by seed; those of all folds in a cross-validation."""
    figures: dict[str, Repeats]

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.predicted)

    @property
    def folds(self) -> int:
        """Number of folds, 1 without cross-validation."""
        return len(self.runs) // self.seeds

    @property
    def examples(self) -> tuple[Example, ...]:
        """The test images."""
        return self.predicted[0].examples

    @property
    def probabilities(self) -> np.ndarray:
        """Of the test images, float [seeds, N, C]."""
        return np.stack([p.probabilities for p in self.predicted])

    @property
    def targets(self) -> np.ndarray:
        """Classes of the test images, int [N]."""
        return self.predicted[0].targets

    @property
    def groups(self) -> np.ndarray:
        """Groups of the test images, [N]."""
        return self.predicted[0].groups

    @property
    def matrix(self) -> np.ndarray:
        """Confusion matrix, rows true, mean counts over the seeds, float [C, C]."""
        matrix = np.zeros((len(CLASSES), len(CLASSES)))
        for p in self.probabilities:
            np.add.at(matrix, (self.targets, p.argmax(1)), 1 / self.seeds)
        return matrix

    @property
    def leaks(self) -> int:
        """Test images with a near copy in training."""
        return sum(int(run.metrics["test/near_copies_in_train"]) for run in self.runs[: self.folds])


@dataclass(frozen=True)
class LeakGap:
    """The same configuration on a split by image and on one by group."""

    by_image: Configuration
    by_group: Configuration
    differences: dict[str, tuple[float, Interval]]


@dataclass(frozen=True)
class Mistake:
    """A test image that a configuration gets wrong, and how sure it is of it."""

    example: Example
    said: str
    confidence: float
    seeds: int
    of: int


def configurations(runs: Sequence[FinishedRun]) -> list[Configuration]:
    """The tested runs, those together that differ in seed and fold alone; the order is that of the runs."""
    together: dict[tuple[Any, ...], list[FinishedRun]] = defaultdict(list)
    for run in runs:
        if "test" in run.predictions:
            together[tuple(run.metrics.get(k) for k in SETTINGS if k not in ("seed", "fold"))].append(run)
    found: list[Configuration] = []
    for members in together.values():
        by_images: dict[tuple[str, ...], list[tuple[list[FinishedRun], Predicted]]] = defaultdict(list)
        for turns in _turns(members):
            pooled = pool([run.predictions["test"] for run in turns])
            by_images[tuple(e.sha256 for e in pooled.examples)].append((turns, pooled))
        for seeds in by_images.values():
            predicted = tuple(pooled for _, pooled in seeds)
            probabilities = [p.probabilities for p in predicted]
            first = predicted[0]
            figures = repeat(probabilities, first.targets, first.groups, CLASSES, KEYS, seed=len(found))
            settings = {k: members[0].metrics.get(k) for k in SETTINGS if k not in ("seed", "fold")}
            found.append(Configuration(settings, tuple(run for turns, _ in seeds for run in turns), predicted, figures))
    return found


def _turns(members: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """For each seed its runs: one, or all turns of its cross-validation; of runs done twice the last."""
    by_seed: dict[Any, dict[Any, FinishedRun]] = defaultdict(dict)
    alone = []
    for run in members:
        if run.metrics.get("fold") is None:
            alone.append([run])
        else:
            by_seed[run.metrics["seed"]][run.metrics["fold"]] = run
    return alone + [[turns[fold] for fold in sorted(turns)] for turns in by_seed.values()]


def curve_of(study: StudyData, collected: Collected) -> Curve | None:
    """The curve of a study over `freeze` on validation; None when its runs are gone, or not on the same images."""
    runs: dict[int, list[FinishedRun]] = defaultdict(list)
    for trial in study.complete:
        run = collected.run_of(trial)
        if run is not None and "freeze" in trial.settings:
            runs[int(trial.settings["freeze"])].append(run)
    if len(runs) < 2:
        return None
    every = [run for members in runs.values() for run in members]
    try:
        same_images(every, "val")
    except FrostlineError:
        return None
    first = every[0].predictions["val"]
    probabilities = {d: [r.predictions["val"].probabilities for r in members] for d, members in runs.items()}
    metric = study.objective.removeprefix("val/")
    return freezing_curve(probabilities, first.targets, first.groups, CLASSES, metric)


def leak_gaps(found: Sequence[Configuration]) -> list[LeakGap]:
    """Pairs of configurations that differ in `split` alone: drawn by image, and by group."""
    gaps = []
    for a, b in combinations(found, 2):
        if {a.settings["split"], b.settings["split"]} == {"random", "grouped"} and all(
            a.settings[k] == b.settings[k] for k in a.settings if k != "split"
        ):
            by_image, by_group = (a, b) if a.settings["split"] == "random" else (b, a)
            differences = {name: by_image.figures[k].minus(by_group.figures[k]) for name, k in GAP.items()}
            gaps.append(LeakGap(by_image, by_group, differences))
    return gaps


def mistakes(configuration: Configuration, most: int = 12) -> list[Mistake]:
    """The images that most seeds get wrong, the most confident first (mean probability over the wrong seeds)."""
    probabilities, targets = configuration.probabilities, configuration.targets
    wrong = probabilities.argmax(2) != targets
    found = []
    for i in np.flatnonzero(wrong.sum(0) * 2 > len(wrong)):
        of_wrong = probabilities[wrong[:, i], i].mean(0)
        said = CLASSES[int(of_wrong.argmax())]
        found.append(
            Mistake(configuration.examples[i], said, float(of_wrong.max()), int(wrong[:, i].sum()), len(wrong))
        )
    return sorted(found, key=lambda m: -m.confidence)[:most]


@dataclass(frozen=True)
class ClaimCard:
    """The report's figures beside those of every tested configuration of ResNet101, and beside the search."""

    columns: tuple[Configuration, ...]
    rows: tuple[tuple[Claim, ...], ...]
    """A row for each figure, a claim for each column."""
    search: tuple[Claim, ...]


def claims_of(found: Sequence[Configuration], curve: Curve | None, studies: Sequence[StudyData]) -> ClaimCard:
    """The claim card of what was run."""
    columns = tuple(c for c in found if c.settings["model"] == "resnet101")
    sisters = [c.figures for c in found if c.settings["model"] == "efficientnet_b3"]
    search = next((s for s in reversed(studies) if "optimizer.lr" in s.searched and s.complete), None)
    settings = max(search.complete, key=lambda t: t.value or 0).settings if search else None
    i = CLASSES.index(MALIGNANT)
    by_column = [
        figure_claims(c.figures, bool(c.matrix[i].sum() == c.matrix[i, i] == c.matrix[:, i].sum())) for c in columns
    ]
    rows = tuple(zip(*by_column, strict=True))
    return ClaimCard(columns, rows, tuple(search_claims(curve, settings, sisters[-1] if sisters else None)))


def weights_of(configuration: Configuration) -> str:
    """What a configuration started from, in a word."""
    return str(configuration.settings["weights"]).split(" (")[0]


def sentences(found: Sequence[Configuration], curve: Curve | None, studies: Sequence[StudyData]) -> list[str]:
    """What was found, in plain words; nothing is called the best that is not shown to be."""
    said = []
    if curve is not None:
        h, others = curve.highest, len(curve.depths) - 1
        if not curve.open:
            said.append(f"Freezing {h.freeze} layers is better than each of the {others} other depths tried.")
        else:
            names = ", ".join(str(d.freeze) for d in curve.open)
            said.append(
                f"The highest mean validation score is at {h.freeze} frozen layers, {h.mean:.1%} ({h.lower:.1%} to "
                f"{h.upper:.1%}), but {len(curve.open)} of the {others} other depths cannot be told from it: {names}."
            )
        low, high = curve.corrected_interval
        said.append(
            f"Having been chosen as the highest of {others + 1}, {h.mean:.1%} flatters: on images that had no part in "
            f"the choice it is {curve.corrected:.1%} ({low:.1%} to {high:.1%})."
        )
    for c in found[:MOST_SENTENCES]:
        low, high = c.figures["acc"].interval
        groups = len(np.unique(c.groups))
        seeds = f"{c.seeds} seeds" if c.seeds > 1 else "one seed"
        seeds += f", {c.folds} folds" if c.folds > 1 else ""
        said.append(
            f"{c.settings['model']} with {c.settings['freeze']} frozen layers, {weights_of(c)} weights, is right on "
            f"{c.figures['acc'].mean:.1%} ({low:.1%} to {high:.1%}; {seeds}) of {len(c.examples)} test images in "
            f"{groups} groups drawn by {'image' if c.settings['split'] == 'random' else 'group'}"
            + (f"; {c.leaks} of them have a near copy in training, so the figure flatters." if c.leaks else ".")
        )
    looks = sum(s.test_evaluations for s in studies)
    if studies:
        said.append(
            f"The test set was evaluated {looks} times by these studies."
            if looks
            else "No study has evaluated the test set."
        )
    return said
