"""A run folder: the names of what is in it, and the rule that it holds one run."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from frostline.config.compose import CONFIG_FILE, config_yaml, flatten, read_options
from frostline.config.schema import RunConfig, bearing
from frostline.data.changes import changes_in_words
from frostline.errors import FrostlineError
from frostline.files import ABANDONED_S, age_s, flat_json, remove_partial, sync_folder, write_text
from frostline.installation import PROGRAM

PLOTS = ("curves", "confusion_matrix", "operating", "decision_curve")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; every file is a property here, and named nowhere else."""

    path: Path

    @property
    def config(self) -> Path:
        """Every option of the run, YAML."""
        return self.path / CONFIG_FILE

    @property
    def manifest(self) -> Path:
        """Every image: checksum, class, group, split."""
        return self.path / "manifest.csv"

    @property
    def unused(self) -> Path:
        """Every file of the data set that is not in the manifest, and why, CSV."""
        return self.path / "unused_files.csv"

    @property
    def environment(self) -> Path:
        """Versions, machine, command, JSON."""
        return self.path / "environment.json"

    @property
    def log(self) -> Path:
        """What the run said, with the time; named so by conf/hydra/job_logging."""
        return self.path / "run.log"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.path / "history.csv"

    @property
    def best_checkpoint(self) -> Path:
        """Weights of the chosen epoch."""
        return self.path / "model.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        """What a run goes on from; of a finished one only where it may be asked for more epochs."""
        return self.path / "last.ckpt"

    @property
    def previous_checkpoint(self) -> Path:
        """The one before `last_checkpoint`, for the day on which that is damaged."""
        return self.path / "previous.ckpt"

    @property
    def is_elsewhere(self) -> bool:
        """Whether a link stands in its place: what is there is not ours to move or remove."""
        return self.path.is_symlink()

    def drop_checkpoints(self, but_last: bool = False) -> None:
        """Remove what a run would be gone on with, and what a kill has left half."""
        states = [self.previous_checkpoint, *([] if but_last else [self.last_checkpoint])]
        self._drop(*states, *self.path.glob(".*.ckpt"))

    def drop_weights(self) -> None:
        """Remove the weights of the chosen epoch."""
        self._drop(self.best_checkpoint)

    def _drop(self, *files: Path) -> None:
        for file in () if self.is_elsewhere else files:
            file.unlink(missing_ok=True)

    @property
    def predictions(self) -> Path:
        """Every evaluated image: true, predicted, a probability for each class."""
        return self.path / "predictions.csv"

    @property
    def patient_predictions(self) -> Path:
        """Every evaluated patient: true, predicted, a probability for each class, number of slices."""
        return self.path / "predictions_by_patient.csv"

    @property
    def metrics(self) -> Path:
        """Every metric with its interval, JSON; written last, so that a run with it is finished."""
        return self.path / "metrics.json"

    @property
    def model_card(self) -> Path:
        """What the model is for, on what data, how good, how sure, Markdown; of runs that were tested."""
        return self.path / "model_card.md"

    def tracker_id(self, tracker: str) -> Path:
        """By which id a tracker (`logger.name`) knows the run."""
        return self.path / f"{tracker}_run_id.txt"

    def plot(self, name: str) -> Path:
        """One of `PLOTS`."""
        return self.path / f"{name}.png"

    @property
    def is_begun(self) -> bool:
        """Whether there is a run in it."""
        return self.config.is_file()

    @property
    def is_finished(self) -> bool:
        """Whether that run has come to its end."""
        return self.metrics.is_file()

    @property
    def trained_by(self) -> dict[str, Any]:
        """What `environment` holds; empty when it is gone."""
        return json.loads(self.environment.read_text()) if self.environment.is_file() else {}

    def claim(self, config: RunConfig, manifest: str, finished_epochs: int = 0) -> None:
        """Write config and manifest, or find the same ones there, for a folder holds one run and its checkpoints.

        With `finished_epochs` a run that was finished after so many goes on with more: its metrics are kept beside.
        Raises `FrostlineError` when it was begun with options that bear on another result, or with other data.
        """
        same = config
        if finished_epochs:
            same = replace(config, trainer=replace(config.trainer, max_epochs=finished_epochs))
        differs = self.other_option(same) if self.is_begun else None
        if differs is None and self.manifest.is_file() and self.manifest.read_text() != manifest:
            raise FrostlineError(
                f"{self.path}: the data set is not the one that this run was begun with"
                f"{_changed(self.manifest.read_text(), manifest)}: put the files back, or start a new run"
            )
        if differs is not None:
            raise FrostlineError(
                f"{self.path} holds another run, {differs}: take another folder, or go on with that run unchanged by "
                "resume=DIR alone"
            )
        if finished_epochs:
            self.metrics.replace(self.metrics_after(finished_epochs))
        write_text(self.config, config_yaml(config), private=True)
        write_text(self.manifest, manifest, private=True)

    def other_option(self, config: RunConfig) -> str | None:
        """The first option by which the run here bears on another result than `config` does, in words."""
        try:
            then, now = bearing(self.read_options()), bearing(flatten(asdict(config)))
        except FrostlineError:
            return "its config.yaml cannot be read"
        if not then["data.classes"] or not now["data.classes"]:  # those of the folders, which runs write down
            del then["data.classes"], now["data.classes"]
        for name in sorted({*then, *now}):
            if then.get(name) != now.get(name):
                return f"with {name}={then.get(name)}, not {now.get(name)}"
        return None

    def metrics_after(self, epochs: int) -> Path:
        """The metrics of a run that has gone on after so many epochs, as they were then."""
        return self.path / f"metrics_after_{epochs}_epochs.json"

    @property
    def finished_before(self) -> list[int]:
        """After how many epochs the run was finished and gone on with, in order."""
        found = (re.search(r"_(\d+)_", file.name) for file in self.path.glob("metrics_after_*_epochs.json"))
        return sorted(int(match[1]) for match in found if match)

    def finish(self, metrics: Mapping[str, Any], keep_state: bool = False) -> dict[str, Any]:
        """Write the metrics, which ends the run. Returns them as written.

        With `keep_state` the last checkpoint stays, from which it can be given more epochs.
        """
        written = flat_json(metrics)
        remove_partial(self.path)
        sync_folder(self.path)  # or a power cut leaves metrics of files that are empty
        write_text(self.metrics, json.dumps(written, indent=2))
        sync_folder(self.path)
        self.drop_checkpoints(but_last=keep_state)
        return written

    def read_metrics(self) -> dict[str, Any]:
        """The metrics of a finished run. Raises `FrostlineError` for a folder without one, or a damaged file."""
        if not self.path.is_dir():
            raise FrostlineError(f"{self.path}: no such folder; give the folder that a run printed at its end")
        if not self.is_finished:
            resume = f"is not finished: go on with `{PROGRAM} resume={self.path}`"
            raise FrostlineError(f"{self.path}: {resume if self.is_begun else 'is no run folder'}")
        try:
            metrics: dict[str, Any] = json.loads(self.metrics.read_text())
        except (OSError, ValueError) as error:
            raise FrostlineError(f"{self.metrics}: cannot be read ({error})") from None
        return metrics

    def read_history(self) -> list[dict[str, float]]:
        """A row an epoch; none where the file is gone or damaged."""
        try:
            with self.history.open(newline="") as lines:
                return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]
        except (OSError, ValueError):
            return []

    def read_options(self) -> dict[str, Any]:
        """The options of the run by full name, as they were written."""
        return read_options(self.path)


def remove_abandoned(parent: Path) -> None:
    """Remove the empty folders in `parent`, named by the time, that killed starts have left.

    Those of the last hour are left alone: they may be starting.
    """
    named = (f for f in parent.iterdir() if re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?", f.name))
    for folder in named:
        with suppress(OSError):  # not empty, or no folder
            if age_s(folder) > ABANDONED_S:
                log = RunFolder(folder).log
                if [*folder.iterdir()] == [log] and not log.stat().st_size:
                    log.unlink()
                folder.rmdir()


def find_finished(root: Path) -> Iterator[RunFolder]:
    """The folders of finished runs at any depth below `root`, in the order of their paths."""
    for file in sorted(root.glob(f"**/{RunFolder(root).metrics.name}")):
        yield RunFolder(file.parent)


def _changed(then: str, now: str) -> str:
    """How two manifests differ, in words and brackets."""
    before, after = ({row["path"]: row["sha256"] for row in csv.DictReader(io.StringIO(text))} for text in (then, now))
    return f" ({changes_in_words(before, after) or 'the same files in other splits or groups'})"
