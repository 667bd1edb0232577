"""What a tracker is asked: the same small set of calls, whichever library stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from frostline.evaluation.metrics import confusion_matrix
from frostline.plots.run import plot_confusion_matrix


@dataclass(frozen=True)
class TrackedRun:
    """What every tracker is told of a run before it begins."""

    run_dir: Path
    """Folder of the run."""
    logs_dir: Path
    """Folder that the runs of all studies share."""
    project: str
    entity: str | None
    """Team or user at Weights & Biases; None: the account's own."""
    mode: str
    """"online", "offline", or "auto": online where a server is configured."""
    name: str
    """What differs from other runs."""
    group: str
    """The study that the run belongs to."""
    job_type: str
    """Such as "train" or "trial"."""
    tags: Sequence[str]
    config: Mapping[str, Any]
    """Nested plain values, no dots in keys."""
    run_id: str | None
    """The run to continue, None for a new one."""
    timeout: float
    """Seconds (> 0) to wait for a server, at the start and again at the end."""


class Tracker:
    """The handle of one tracked run; this one does nothing. No method of any tracker raises.

    `place` says in one line where the run is; `run_id` is what a resumed training hands over, None when the tracker
    needs none.
    """

    label = "tracker"
    starts_empty = False
    """Whether a resumed run starts anew here, so that its earlier epochs have to be told again."""

    def __init__(self, place: str = "off", run_id: str | None = None) -> None:
        self.place, self.run_id = place, run_id

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one point at `epoch` (from 0) to the curve of each metric."""

    def log_summary(self, metrics: Mapping[str, float | str | int]) -> None:
        """Set final values, those by which runs are compared."""

    def log_confusion_matrix(
        self, split: str, classes: Sequence[str], targets: Sequence[int], predictions: Sequence[int]
    ) -> None:
        """Show target against prediction (class indices, one per image) as `split`/confusion_matrix."""

    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log plain values, one type per column; images are named by id, never by path."""

    def log_image(self, key: str, path: Path) -> None:
        """Log a plot (PNG) that frostline drew, never a CT slice."""


def draw_confusion_matrix(
    split: str, classes: Sequence[str], targets: Sequence[int], predictions: Sequence[int]
) -> Figure:
    """Target against prediction, for a tracker that has no such chart of its own."""
    matrix = confusion_matrix(np.asarray(predictions), np.asarray(targets), len(classes))
    return plot_confusion_matrix(matrix, classes, split)
