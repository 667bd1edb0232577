"""TensorBoard: event files in the run folder, no server and no network.

The only file that imports `torch.utils.tensorboard`. Final values stand under `result/`, apart from the curves: a
second point in `val/acc` would read as an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from frostline.config.compose import flatten
from frostline.training.trackers.guard import Guard, warn, within
from frostline.training.trackers.interface import TrackedRun, Tracker, draw_confusion_matrix

_NAME = "TensorBoard"
_ROWS = 200  # of a table: the page is slow with more, and the run folder holds them all


class TensorBoardTracker(Tracker):
    """The event files of one run. They are opened at the first value: only then a resumed run knows its epoch."""

    def __init__(self, run: TrackedRun) -> None:
        self._folder = run.run_dir.absolute() / "tensorboard"
        super().__init__(f"TensorBoard, look with: tensorboard --logdir {self._folder}")
        self._run = run
        self._guard = Guard(_NAME, run.timeout)
        self._writer: Any = None
        self._next = 0  # epoch; final values stand there, so that a resumed run takes them away with what it repeats
        self._summary: dict[str, float] = {}

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        def log() -> None:
            writer = self._open(epoch)
            for key, value in metrics.items():
                writer.add_scalar(key, value, epoch)
            writer.flush()  # a killed run keeps its epochs
            self._next = epoch + 1

        self._guard.call("numbers", log)

    def log_summary(self, metrics: Mapping[str, float | str | int]) -> None:
        def log() -> None:
            writer = self._open()
            for key, value in metrics.items():
                if isinstance(value, str):
                    writer.add_text(f"result/{key}", value, self._next)
                else:
                    self._summary[f"result/{key}"] = float(value)
                    writer.add_scalar(f"result/{key}", float(value), self._next)
            writer.flush()

        self._guard.call("numbers", log)

    def log_confusion_matrix(
        self, split: str, classes: Sequence[str], targets: Sequence[int], predictions: Sequence[int]
    ) -> None:
        def log() -> None:
            figure = draw_confusion_matrix(split, classes, targets, predictions)
            canvas: Any = FigureCanvasAgg(figure)
            canvas.draw()
            pixels = np.asarray(canvas.buffer_rgba())[..., :3]
            self._open().add_image(f"{split}/confusion_matrix", pixels, self._next, dataformats="HWC")

        self._guard.call("media", log)

    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        def line(cells: Sequence[Any]) -> str:
            return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

        def log() -> None:
            lines = [line(columns), line(["---"] * len(columns)), *(line(row) for row in rows[:_ROWS])]
            if len(rows) > _ROWS:
                lines += ["", f"the first {_ROWS} of {len(rows)} rows; all of them are in the run folder"]
            self._open().add_text(key, "\n".join(lines), self._next)

        self._guard.call("media", log)

    def log_image(self, key: str, path: Path) -> None:
        def log() -> None:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self._open().add_image(key, pixels, self._next, dataformats="HWC")

        self._guard.call("media", log)

    def finish(self, succeeded: bool) -> None:
        """Close the files; a run that came to its end also goes into the table of hyperparameters."""
        try:
            within(self._run.timeout, lambda: self._close(succeeded))
        except Exception as error:
            warn(_NAME, "finishing the run failed", error, "its files may lack the last values")

    def _open(self, epoch: int | None = None) -> Any:
        """The writer. Opened at `epoch` by a resumed run, it takes back what was logged from that epoch on."""
        if self._writer is not None:
            return self._writer
        from torch.utils.tensorboard import SummaryWriter

        resumed = any(self._folder.glob("events.out.tfevents.*"))
        self._writer = SummaryWriter(str(self._folder), purge_step=epoch if resumed else None)
        if not resumed:  # texts are not taken back
            run = self._run
            for key, text in (("name", run.name), ("study", run.group), ("tags", ", ".join(run.tags))):
                self._writer.add_text(key, text)
            options = "\n".join(f"    {key}: {value}" for key, value in flatten(run.config).items())
            self._writer.add_text("config", options)  # indented: Markdown's way to leave text alone
        return self._writer

    def _close(self, succeeded: bool) -> None:
        if self._writer is None:
            return
        if succeeded and self._summary:
            from torch.utils.tensorboard.summary import hparams

            plain = {
                key: value if isinstance(value, (bool, int, float, str)) else str(value)
                for key, value in flatten(self._run.config).items()
            }
            # Not add_hparams: it makes a second run of its own, named by the time.
            for part in hparams(plain, self._summary):  # type: ignore[no-untyped-call]  # torch types it not
                self._writer.file_writer.add_summary(part)
        self._writer.close()


@contextmanager
def track(run: TrackedRun) -> Iterator[Tracker]:
    """Write event files to `run_dir`/tensorboard and close them, whether or not the block raises."""
    tracker, succeeded = TensorBoardTracker(run), False
    try:
        yield tracker
        succeeded = True
    finally:
        tracker.finish(succeeded)
