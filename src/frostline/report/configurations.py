"""Finished runs put together: configurations tested with several seeds, curves over depths, leak gaps, mistakes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frostline.data.manifest import Example
from frostline.evaluation.catalog import labels, named_metrics
from frostline.evaluation.depth_curve import Curve
from frostline.evaluation.intervals import Interval
from frostline.evaluation.metrics import confusion_matrix
from frostline.evaluation.seeds import Repeats, repeat
from frostline.report.collect import Collected, StudyData
from frostline.runs.finished import FinishedRun, depth_curve, differing, trainings_in_words
from frostline.runs.patients import PatientPredictions, PatientScore, same_patients, score_of
from frostline.runs.predictions import SplitPredictions, pool
from frostline.search.race import raced_depths
from frostline.search.repeats import REPEATED
from frostline.task import Task
from frostline.text import difference, number

SPLIT_OPTIONS = ("data.split", *REPEATED)


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in the seed alone, evaluated on the same test images."""

    options: dict[str, Any]
    """By full name; those of the first run."""
    runs: tuple[FinishedRun, ...]
    predicted: tuple[SplitPredictions, ...]
    """The test images by seed; those of all folds in a cross-validation."""
    metrics: dict[str, Repeats]
    """By key, all of the catalogue."""
    patients: tuple[PatientPredictions, ...]
    """The same by patient."""
    patient_metrics: dict[str, Repeats]
    """By key, of patients."""
    apart: str = ""
    """The options by which it differs from others of the same few words."""

    @property
    def task(self) -> Task:
        """What is told apart."""
        return self.predicted[0].task

    @property
    def seeds(self) -> int:
        """Number of trainings whose predictions are whole: of seeds, but for folds beside the test set."""
        return len(self.predicted)

    @property
    def trainings(self) -> str:
        """How often it was trained, in words."""
        return trainings_in_words(self.runs, self.seeds)

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
        return ", ".join([*words, o["data.name"], *([self.apart] if self.apart else [])])

    @property
    def drawn(self) -> str:
        """How the test images were chosen."""
        how = {"random": "drawn by image", "copies": "drawn by near copies", "grouped": "drawn by group"}
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
        return _mean_matrix(self.predicted)

    @property
    def patient_matrix(self) -> np.ndarray:
        """The same of patients."""
        return _mean_matrix(self.patients)

    @property
    def patients_known(self) -> bool:
        """Whether the patient of every image is known; else groups stand for patients."""
        return all(run.metrics.get("patients_known") for run in self.runs)

    @property
    def patient_score(self) -> PatientScore:
        """How slices are put together: as the first run says."""
        return score_of(self.runs[0].metrics)

    @property
    def leaks(self) -> int:
        """Test images with one of their group (patient, series, copies) in training."""
        return sum(_leaks(run.metrics) for run in self.runs[: self.folds])


def _mean_matrix(predicted: Sequence[SplitPredictions]) -> np.ndarray:
    counts = [confusion_matrix(p.predicted, p.targets, len(p.task)) for p in predicted]
    mean: np.ndarray = np.mean(counts, axis=0)
    return mean


def _leaks(metrics: Mapping[str, Any]) -> int:
    """Runs of before patients were known counted near copies alone."""
    return int(metrics.get("test/groups_in_train", metrics["test/near_copies_in_train"]))


DRAWN = {"random": "by image", "copies": "by near copies", "grouped": "by patient"}
"""By `data.split` what stays together, the least first; groups stand for patients where these are not known."""


@dataclass(frozen=True)
class LeakGap:
    """The same configuration on splits that keep less and more together."""

    by_split: dict[str, Configuration]
    """By `data.split`, in the order of `DRAWN`; the last is by group."""
    differences: dict[str, dict[str, tuple[float, Interval]]]
    """By split and key of the metric: how much better than by group."""

    @property
    def by_group(self) -> Configuration:
        """That which keeps patients together, as far as they are known."""
        return self.by_split["grouped"]

    @property
    def names(self) -> dict[str, str]:
        """By split, what it is called."""
        whole = DRAWN["grouped"] if self.by_group.patients_known else "by group"
        return {split: whole if split == "grouped" else DRAWN[split] for split in self.by_split}


@dataclass(frozen=True)
class Shown:
    """A test image that is shown: what a configuration takes it for, how sure it is, and its log loss."""

    example: Example
    predicted: str
    confidence: float
    """Mean probability of the predicted class over the seeds that predict it."""
    loss: float
    """Mean over all seeds."""
    seeds: int
    """That predict it."""
    of: int


def same_for_all(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the runs of one configuration share: all but seeds and folds."""
    return {k: v for k, v in options.items() if k not in (*REPEATED, "data.folds")}


def configurations(runs: Sequence[FinishedRun]) -> list[Configuration]:
    """The tested runs, those together that differ in seed and fold alone; the order is that of the runs."""
    together: dict[str, dict[Any, dict[Any, FinishedRun]]] = {}
    for run in runs:
        if "test" in run.predictions:
            same = {k: v for k, v in run.options.items() if k not in REPEATED}
            seeds = together.setdefault(json.dumps(same, sort_keys=True), defaultdict(dict))
            network = run.options.get("seed"), run.options.get("data.val_fold")  # these share their test set
            seeds[network][run.options.get("data.fold")] = run  # of one done twice the last
    pooled_runs: list[Configuration] = []
    for members in together.values():
        by_images: dict[tuple[str, ...], list[tuple[list[FinishedRun], SplitPredictions]]] = defaultdict(list)
        for turns in members.values():
            pooled = pool([run.predictions["test"] for run in turns.values()])
            by_images[tuple(e.sha256 for e in pooled.examples)].append(([*turns.values()], pooled))
        for seeds_alike in by_images.values():
            predicted = tuple(pooled for _, pooled in seeds_alike)
            members_alike = tuple(run for turns, _ in seeds_alike for run in turns)
            pooled_runs.append(_configuration(members_alike, predicted))
    return _told_apart(pooled_runs)


def _told_apart(every: Sequence[Configuration]) -> list[Configuration]:
    """The same, with what tells apart those that the same few words describe."""
    found = list(every)
    for label in {c.label for c in every}:
        places = [i for i, c in enumerate(every) if c.label == label]
        for i, words in zip(places, differing([every[i].runs[0] for i in places]), strict=True):
            kept = [w for w in words.split() if w.partition("=")[0] not in REPEATED]
            found[i] = replace(every[i], apart=" ".join(kept))
    return found


def _configuration(runs: tuple[FinishedRun, ...], predicted: tuple[SplitPredictions, ...]) -> Configuration:
    patients = same_patients(predicted, score_of(runs[0].metrics))
    return Configuration(runs[0].options, runs, predicted, every_metric(predicted), patients, every_metric(patients))


def every_metric(predicted: Sequence[SplitPredictions]) -> dict[str, Repeats]:
    """All metrics of the catalogue by key, over trainings that predict the same images."""
    first = predicted[0]
    keys = [m.key for m in named_metrics(first.task)]
    return repeat([p.probabilities for p in predicted], first.targets, first.groups, first.task, keys)


def curve_of(study: StudyData, collected: Collected) -> Curve | None:
    """The curve of a study over `freeze`, with seeds and folds; None when its runs are gone or differ in more."""
    runs: dict[int, list[FinishedRun]] = defaultdict(list)
    for trial in study.complete if study.options == ["freeze"] else ():
        run = collected.run_of(trial)
        if run is not None and "freeze" in trial.settings:
            runs[int(trial.settings["freeze"])].append(run)
    return depth_curve(runs, study.objective, study.margin, raced_depths(study.race))


def leak_gaps(tested: Sequence[Configuration]) -> list[LeakGap]:
    """Configurations that differ in `data.split` alone, where one was tested by group and one by less."""
    alike: dict[str, dict[str, Configuration]] = defaultdict(dict)
    for c in tested:
        same = {k: v for k, v in c.options.items() if k not in SPLIT_OPTIONS}
        if (split := c.options["data.split"]) in DRAWN:
            alike[json.dumps(same, sort_keys=True)].setdefault(split, c)
    gaps = []
    for found in alike.values():
        by_split = {split: found[split] for split in DRAWN if split in found}
        if "grouped" in by_split and len(by_split) > 1:
            keys, whole = labels(found["grouped"].task, "gap"), by_split["grouped"].metrics
            others = [split for split in by_split if split != "grouped"]
            gaps.append(
                LeakGap(by_split, {s: {k: by_split[s].metrics[k].minus(whole[k]) for k in keys} for s in others})
            )
    return gaps


def gap_header(gap: LeakGap) -> tuple[str, ...]:
    """What the columns of `gap_rows` are."""
    less = [name for split, name in gap.names.items() if split != "grouped"]
    ends = [heading for name in less for heading in (f"{name}, points more", "95 % interval")]
    return ("", *gap.names.values(), *ends)


def gap_rows(gap: LeakGap) -> list[tuple[str, ...]]:
    """For every metric of a gap: label, value on every split, and how much more than by group, with the interval."""
    rows = []
    for key, label, metric, _ in named_metrics(gap.by_group.task, "gap"):
        cells = [number(c.metrics[key].mean, metric.percent) for c in gap.by_split.values()]
        for differences in gap.differences.values():
            value, (low, high) = differences[key]
            ends = f"{difference(low, metric.percent)} to {difference(high, metric.percent)}"
            cells += [difference(value, metric.percent), ends if low == low else "no interval"]
        rows.append((label, *cells))
    return rows


def gap_leaks(gap: LeakGap) -> str:
    """How many test images have one of their patient in training, on each split."""
    of = [f"{c.leaks} of {len(c.examples)} {gap.names[split]}" for split, c in gap.by_split.items()]
    what = "their patient" if gap.by_group.patients_known else "their group (patients are not known)"
    return f"Test images with one of {what} in training: {', '.join(of)}."


def mistakes(configuration: Configuration, most: int = 12) -> list[Shown]:
    """The images that most seeds get wrong, one a patient or group, the most confident first."""
    found, groups = [], set()
    for one in sorted(_shown(configuration, correct=False), key=lambda m: -m.confidence):
        if one.example.group not in groups or not one.example.group:
            groups.add(one.example.group)
            found.append(one)
    return found[:most]


def right_ones(configuration: Configuration) -> list[Shown]:
    """Of every class the image that all seeds get right most confidently, to see mistakes beside."""
    surest: dict[str, Shown] = {}
    for one in sorted(_shown(configuration, correct=True), key=lambda m: -m.confidence):
        if one.seeds == one.of:
            surest.setdefault(one.example.label, one)
    return [surest[name] for name in configuration.task.classes if name in surest]


def _shown(configuration: Configuration, correct: bool) -> list[Shown]:
    """The images that most seeds get right, or wrong."""
    probabilities, targets = configuration.probabilities, configuration.targets
    said = (probabilities.argmax(2) == targets) == correct
    loss = -np.log(np.clip(probabilities[:, np.arange(len(targets)), targets], 1e-12, None)).mean(0)
    found = []
    for i in np.flatnonzero(said.sum(0) * 2 > len(said)):
        of_said = probabilities[said[:, i], i].mean(0)
        if not correct:
            of_said[targets[i]] = -1  # two seeds may be wrong in different ways
        predicted = configuration.task.classes[int(of_said.argmax())]
        confidence, seeds = float(of_said.max()), int(said[:, i].sum())
        found.append(Shown(configuration.examples[i], predicted, confidence, float(loss[i]), seeds, len(said)))
    return found
