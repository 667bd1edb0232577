"""What a page says: configurations tested with several seeds, curves over depths, leak gaps, mistakes, sentences."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from frostline.config.schema import CLASSES
from frostline.data.manifest import Example
from frostline.evaluation.comparison import compare
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import Interval
from frostline.evaluation.metrics import confusion_matrix
from frostline.evaluation.seeds import Repeats, repeat
from frostline.report.collect import Collected, StudyData
from frostline.report.reproduction import Claim, Searched, figure_claims, like_the_reports, search_claims
from frostline.runs.finished import FinishedRun, Predicted, depth_curve, pool

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
SPLIT_OPTIONS = ("data.split", "seed", "data.fold")
KEYS = tuple(dict.fromkeys([*METRICS.values(), "malignant/recall"]))


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in the seed alone, evaluated on the same test images."""

    options: dict[str, Any]
    """By full name; those of the first run."""
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
    def label(self) -> str:
        """A few words for a heading."""
        o = self.options
        words = [f"{o['model.name']}, freeze {o['freeze']}", f"{o['model.weights'] or 'random'} weights"]
        words += [f"{o['data.image_size']} px, {o['trainer.max_epochs']} epochs, split {o['data.split']}"]
        if o.get("data.fold") is not None:
            words.append(f"{self.folds} of {o['data.folds']} folds")
        return ", ".join([*words, o["data.name"]])

    @property
    def drawn(self) -> str:
        """How the test images were chosen."""
        how = {"random": "drawn by image", "grouped": "drawn by group"}
        return how.get(self.options["data.split"], "as a manifest says")

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
        targets = torch.from_numpy(self.targets)
        counts = [confusion_matrix(torch.from_numpy(p.argmax(1)), targets, len(CLASSES)) for p in self.probabilities]
        mean: np.ndarray = torch.stack(counts).double().mean(0).numpy()
        return mean

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
    together: dict[str, dict[Any, dict[Any, FinishedRun]]] = {}
    for run in runs:
        if "test" in run.predictions:
            same = {k: v for k, v in run.options.items() if k not in ("seed", "data.fold")}
            seeds = together.setdefault(json.dumps(same, sort_keys=True), defaultdict(dict))
            seeds[run.options.get("seed")][run.options.get("data.fold")] = run  # of one done twice the last
    found: list[Configuration] = []
    for members in together.values():
        by_images: dict[tuple[str, ...], list[tuple[list[FinishedRun], Predicted]]] = defaultdict(list)
        for turns in members.values():
            pooled = pool([run.predictions["test"] for run in turns.values()])
            by_images[tuple(e.sha256 for e in pooled.examples)].append(([*turns.values()], pooled))
        for seeds_alike in by_images.values():
            predicted = tuple(pooled for _, pooled in seeds_alike)
            members_alike = tuple(run for turns, _ in seeds_alike for run in turns)
            probabilities = [p.probabilities for p in predicted]
            figures = repeat(probabilities, predicted[0].targets, predicted[0].groups, CLASSES, KEYS)
            found.append(Configuration(members_alike[0].options, members_alike, predicted, figures))
    return found


def curve_of(study: StudyData, collected: Collected) -> Curve | None:
    """The curve of a study over `freeze`, and seeds, on validation; None when its runs are gone or differ in more."""
    runs: dict[int, list[FinishedRun]] = defaultdict(list)
    for trial in study.complete if set(study.searched) <= {"freeze", "seed"} else ():
        run = collected.run_of(trial)
        if run is not None and "freeze" in trial.settings:
            runs[int(trial.settings["freeze"])].append(run)
    return depth_curve(runs, study.objective) if len(runs) > 1 else None


def leak_gaps(found: Sequence[Configuration]) -> list[LeakGap]:
    """Pairs of configurations that differ in `split` alone: drawn by image, and by group."""
    gaps = []
    for a, b in combinations(found, 2):
        splits = a.options["data.split"], b.options["data.split"]
        same = all(a.options.get(k) == b.options.get(k) for k in a.options if k not in SPLIT_OPTIONS)
        if same and {*splits} == {"random", "grouped"}:
            by_image, by_group = (a, b) if splits[0] == "random" else (b, a)
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
        of_wrong[targets[i]] = -1  # two seeds may be wrong in different ways
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


def claims_of(found: Sequence[Configuration], curves: Mapping[str, Curve], collected: Collected) -> ClaimCard:
    """The claim card of what was run on the report's data set; other data say nothing about it."""
    same_data = [c for c in found if c.options["data.name"] == "iqothnccd"]
    columns = tuple(c for c in same_data if c.options["model.name"] == "resnet101")
    sisters = [c.figures for c in same_data if c.options["model.name"] == "efficientnet_b3"]
    by_column = [figure_claims(c.figures, c.matrix, c.options) for c in columns]
    rows = tuple(zip(*by_column, strict=True))

    def asks_the_same(study: StudyData) -> bool:
        f = study.fixed
        return (f.get("data.name"), f.get("model.name"), study.objective) == ("iqothnccd", "resnet101", "val/acc")

    known = [s for s in collected.studies if asks_the_same(s)]
    search = next((s for s in reversed(known) if "optimizer.lr" in s.searched and s.complete), None)
    searched = _searched(search, collected) if search else None
    curve = next((curves[s.name] for s in reversed(known) if s.name in curves), None)
    return ClaimCard(columns, rows, tuple(search_claims(curve, searched, sisters[-1] if sisters else None)))


def _searched(study: StudyData, collected: Collected) -> Searched:
    ranked = sorted(study.complete, key=lambda t: -(t.value or 0))
    theirs = next((t for t in ranked if like_the_reports(t.settings)), None)
    runs = [collected.run_of(t) for t in (ranked[0], theirs) if t is not None]
    predicted = [run.predictions["val"] for run in runs if run is not None]
    if len(predicted) < 2:
        return Searched(ranked[0].settings, None)
    first = predicted[0]
    (pair,) = compare([p.probabilities for p in predicted], first.targets, first.groups, CLASSES)
    return Searched(ranked[0].settings, pair.shown)
