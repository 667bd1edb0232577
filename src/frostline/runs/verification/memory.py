"""What memory alone reaches: the class of the most alike training image, set beside the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from frostline.data.lookup import find_most_alike
from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.comparison import compare
from frostline.evaluation.metrics import evaluate
from frostline.files import flat_json
from frostline.runs.predictions import Predictions, SplitPredictions
from frostline.runs.verification.check import Check
from frostline.runs.verification.recorded import Recorded
from frostline.runs.verification.split_checks import PresentData
from frostline.text import NAMES, difference, interval, percent


def check_memory(
    recorded: Recorded, present: PresentData | str, predictions: Predictions | None
) -> tuple[Check, dict[str, Any]]:
    """A lookup of the most alike training image on the images that the run evaluated last; and its figures by key.

    It reads the images, and nothing of the network but the predictions that are there.
    """
    says = "what a lookup of the most alike training image reaches"
    if predictions is None or isinstance(present, str) or recorded.examples is None:
        unseen = (f"{says}: the data set, or a file of the run, is not there",)
        return Check("memory", says, unseen=unseen, done=False), {}
    split = "test" if "test" in predictions else "val"
    p = predictions[split]
    sums = {e.path: e.sha256 for e in recorded.examples}
    place = {r.path: i for i, r in enumerate(present.scan.records) if sums.get(r.path) in ("", r.sha256)}
    train = [e for e in recorded.examples if e.split == "train" and e.path in place]
    if not train or any(e.path not in place for e in p.examples):
        gone = sum(e.path not in place for e in p.examples)
        unseen = (f"{says}: {gone} {NAMES[split]} images are not there, or not as they were",)
        return Check("memory", says, unseen=unseen, done=False), {}
    thumbnails = present.scan.thumbnails
    nearest, _ = find_most_alike(
        thumbnails[[place[e.path] for e in p.examples]], thumbnails[[place[e.path] for e in train]]
    )
    answers = np.array([p.task.index(train[i].label) for i in nearest.tolist()])
    return _compared(p, split, answers)


def _compared(p: SplitPredictions, split: str, answers: np.ndarray) -> tuple[Check, dict[str, Any]]:
    """The lookup's `answers`, classes int [N], evaluated as the network's are, and both compared in pairs."""
    certain = np.eye(len(p.task))[answers]
    found = evaluate(split, certain, p.targets, p.task, p.groups)
    # What certain answers can be judged by: shares of images, and their mean over classes.
    keys = [m.key for m in named_metrics(p.task, "run") if m.metric.share or m.key == "balanced_acc"]
    shown = {
        f"{split}/{key}{end}": found.get(f"{split}/{key}{end}") for key in keys for end in ("", "/lower", "/upper")
    }
    (pair,) = compare([p.probabilities, certain], p.targets, p.groups, p.task)
    gain = pair.differences["acc"]
    shown |= {"gain/acc": gain.value, "gain/acc/lower": gain.lower, "gain/acc/upper": gain.upper}
    ends = "no interval"
    if gain.lower == gain.lower and found[f"{split}/acc/lower"] == found[f"{split}/acc/lower"]:
        ends = f"{difference(gain.lower, True)} to {difference(gain.upper, True)}"
    network = float((p.predicted == p.targets).mean())
    says = (
        f"a lookup of the most alike training image is right on {_with_interval(found, f'{split}/acc')} of {len(p)} "
        f"{NAMES[split]} images; the network, right on {percent(network)}, adds {difference(gain.value, True)} points "
        f"({ends})"
    )
    unseen = "memory finer than 64x64 pixels: the lookup compares thumbnails"
    return Check("memory", says, unseen=(unseen,), verdict=False), flat_json(shown)


def _with_interval(figures: Mapping[str, float], key: str) -> str:
    return f"{percent(figures[key])} ({interval(figures[f'{key}/lower'], figures[f'{key}/upper'])})"
