"""A run as a trial of a study: it reports every epoch to the study, and tells its own end.

The run itself does this, not the sweeper, so that it works with every launcher and outlives the sweeper.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import torch
from filelock import FileLock
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from frostline.config.schema import RunConfig
from frostline.errors import FrostlineError, Stopped, first_line, release
from frostline.files import disk_in_a_line
from frostline.runs.folder import RunFolder
from frostline.search.answers import keep_answers
from frostline.search.clusters import TIMED_OUT
from frostline.search.failures import fail_trial, over_budget
from frostline.search.liveness import TRIAL_LOCK, add_mark, beating
from frostline.search.patience import Patience
from frostline.search.pruning import should_prune
from frostline.search.repeats import CORRECT
from frostline.search.same_data import DataChanged, check_same_data
from frostline.search.study import open_study
from frostline.search.takeover import take_over
from frostline.search.trials import DISK, disk_of
from frostline.training.module import Diverged
from frostline.training.recipe import train_once

log = logging.getLogger("frostline")

ENDS = ("", "/lower", "/upper")
KEPT = (
    *("seconds", "epochs", "best_epoch", "test/images", "test/correct"),
    *(f"{split}/{name}{end}" for split in ("val", "test") for name in ("acc", "balanced_acc") for end in ENDS),
)  # those of the test set if it was looked at
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


class NotStarted(FrostlineError):
    """The study has stopped before this trial began."""


def run_trial(config: RunConfig, run_dir: Path) -> float:
    """Train the trial `config.trial`, tell the study its value, or why it failed, and return the value.

    Raises what training raises, after the study was told; KeyboardInterrupt for Ctrl-C, which ends the whole sweep.
    """
    study = open_study(config.trial.storage, config.study)
    number = config.trial.number
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / TRIAL_LOCK)
    with lock:
        frozen = study.get_trials(deepcopy=False)[number]
        if frozen.state.is_finished():
            raise NotStarted(f"trial {number} was not started: it was given up, and is done again as another one")
        trial = Trial(study, frozen._trial_id)
        add_mark(trial, Path(lock.lock_file), run_dir.parent)
        trial.set_user_attr(DISK, disk_of(run_dir.parent))
        if over_budget(study):
            fail_trial(study, number, "stopped", "the study had stopped")
            raise NotStarted(f"trial {number} was not started: too many trials of study {config.study} have failed")
        began = time.monotonic()

        told: set[int] = set()

        def prune(epoch: dict[str, float]) -> bool:
            behind = [] if told else RunFolder(run_dir).read_history()  # of the trial that was taken over, too
            for row in (*behind, epoch):
                if int(row["epoch"]) not in told:
                    told.add(int(row["epoch"]))
                    trial.report(row[config.trial.objective], int(row["epoch"]))
            return should_prune(trial)

        try:
            with beating([trial]), disk_in_a_line(run_dir):
                check_same_data(study, run_dir.parent, config.data, Path(config.logs_dir) / "cache")
                take_over(study, number, run_dir.parent, needs_best=config.trainer.monitor != "none")
                metrics = train_once(config, run_dir, prune)
        except (Stopped, KeyboardInterrupt) as interrupt:
            Patience.hurries = True
            release(interrupt)  # a connection that was interrupted in the middle of a write keeps SQLite locked
            trial.storage.remove_session()
            with suppress(StorageInternalError, FrostlineError):  # it counts as died then: the sweep ends all the same
                fail_trial(study, number, "stopped", "by Ctrl-C or a signal", run_dir)
            raise KeyboardInterrupt from None
        except Exception as error:
            kind, text = why_failed(error, config)
            with suppress(UpdateFinishedTrialError):  # it was taken for dead in the meantime
                trial.set_user_attr("seconds", round(time.monotonic() - began, 1))
            fail_trial(study, number, kind, text, run_dir)
            release(error)
            raise
        value = float("nan") if metrics["objective"] is None else float(metrics["objective"])
        try:
            if metrics["state"] != "pruned":
                keep_answers(study, trial, run_dir)
            tell(study, trial, metrics, value)
        except UpdateFinishedTrialError:
            log.warning(
                f"trial {number} was taken for dead in the meantime, and is done again: this result is left out"
            )
    Path(lock.lock_file).unlink(missing_ok=True)
    return value


def tell(study: optuna.Study, trial: Trial, metrics: Mapping[str, Any], value: float) -> None:
    """Tell a study how a trial ended. Raises `UpdateFinishedTrialError` where somebody has told another end."""
    for key in KEPT:
        if key in metrics:
            trial.set_user_attr(key, metrics[key])
    trial.set_user_attr(CORRECT, correct_by_class(metrics))
    if metrics["state"] == "pruned":
        study.tell(trial.number, state=TrialState.PRUNED)
    elif value == value:
        study.tell(trial.number, value)
    else:
        fail_trial(study, trial.number, "diverged", "its objective is no number")


def correct_by_class(metrics: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """By class the number of validation images that are classified correctly, and of all."""
    found = {}
    for key, support in metrics.items():
        if key.startswith("val/") and key.endswith("/support") and key.count("/") == 2:
            name = key.split("/")[1]
            found[name] = (round((metrics[f"val/{name}/recall"] or 0) * support), int(support))
    return found


def why_failed(error: BaseException, config: RunConfig) -> tuple[str, str]:
    """Kind and text of a failure: a batch that does not fit and a loss that is no number are told apart from bugs."""
    text = first_line(error)
    full = str(error).lower()
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in full for words in OUT_OF_MEMORY):
        d = config.data
        return "memory", f"batch {d.batch_size} at {d.image_size} px does not fit"
    if isinstance(error, Diverged):
        return "diverged", text
    if isinstance(error, DataChanged):
        return "data", text
    if type(error).__name__ == TIMED_OUT:
        return "time", "its job came to the time limit of the cluster"
    return "error", text if isinstance(error, FrostlineError) else f"{type(error).__name__}: {error}".splitlines()[0]
