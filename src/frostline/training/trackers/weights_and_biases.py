"""Weights & Biases: one finished run per training, and never in its way.

The only file that imports wandb, and only where it is used: the import is slow. Every call into wandb is made in a
daemon thread with a deadline, so a server that hangs costs seconds and one warning, never the training.
What leaves the machine is what callers hand over, and the versions of installed packages: no command line, host, user,
source code, git state, console output or crash reports.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from frostline.training.trackers.guard import Guard, warn, within
from frostline.training.trackers.interface import TrackedRun, Tracker

if TYPE_CHECKING:
    import wandb

_log = logging.getLogger("frostline")
_NAME = "Weights & Biases"
LOCAL_S = 120.0  # seconds for what asks no server, however busy the machine is
AGAIN_S = 600.0  # after which a server that did not answer is tried again
_unreachable_since: list[float] = []
_MARGIN = 5.0  # seconds; wandb-core keeps the same deadline, and its error says more than ours


class WandbTracker(Tracker):
    """The handle of one W&B run."""

    label = "W&B"

    def __init__(self, run: wandb.Run, timeout: float) -> None:
        place = f"offline, upload with: {_sync_command(run)}" if run.offline else run.url or "online"
        super().__init__(place, run.id)
        self.starts_empty = bool(run.offline) or not run.resumed
        self._run, self._timeout = run, timeout
        self._guard = Guard(_NAME, max(timeout, LOCAL_S) if run.offline else timeout)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._call("numbers", lambda run, wandb: run.log({"epoch": epoch, **metrics}))

    def log_summary(self, metrics: Mapping[str, float | str | int]) -> None:
        self._call("numbers", lambda run, wandb: run.summary.update(dict(metrics)))

    def log_confusion_matrix(
        self, split: str, classes: Sequence[str], targets: Sequence[int], predictions: Sequence[int]
    ) -> None:
        def log(run: wandb.Run, wandb: Any) -> None:
            matrix = wandb.plot.confusion_matrix(
                y_true=[int(target) for target in targets],
                preds=[int(prediction) for prediction in predictions],
                class_names=list(classes),
                title=f"{split} confusion matrix",
            )
            run.log({f"{split}/confusion_matrix": matrix})

        self._call("media", log)

    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        data = [list(row) for row in rows]
        self._call("media", lambda run, wandb: run.log({key: wandb.Table(columns=list(columns), data=data)}))

    def log_image(self, key: str, path: Path) -> None:
        self._call("media", lambda run, wandb: run.log({key: wandb.Image(str(path))}))

    def _call(self, kind: str, action: Callable[[wandb.Run, Any], object]) -> None:
        # Media ask the server even while logging; numbers go to disk first, so they can outlive a lost network.
        import wandb

        self._guard.call(kind, lambda: action(self._run, wandb))

    def finish(self, exit_code: int) -> None:
        """End the run, or say how to upload it later."""
        try:
            seconds = max(self._timeout, LOCAL_S) if self._run.offline else self._timeout + _MARGIN
            within(seconds, lambda: self._run.finish(exit_code=exit_code))
        except Exception as error:
            warn(_NAME, "finishing the run failed", error, f"upload it later with: {_sync_command(self._run)}")
            _end_service(self._timeout)


@contextmanager
def track(run: TrackedRun) -> Iterator[Tracker]:
    """Open a W&B run and finish it: with exit code 0, or 1 if the block raises.

    wandb writes to `run_dir`/wandb, tables that wait for upload included. Mode "auto": WANDB_MODE if set, else online
    if an API key is configured, else offline.
    """
    requested = os.environ.get("WANDB_MODE", "auto").lower() if run.mode == "auto" else run.mode
    if requested == "disabled":
        yield Tracker()
        return
    folder = run.run_dir.absolute()
    # In a sweep wandb takes the name that its agent has given; else that would be the name of every trial.
    in_sweep = "WANDB_SWEEP_ID" in os.environ and run.job_type != "trial"
    of_agent = {} if in_sweep else {"WANDB_RUN_ID": None, "WANDB_SWEEP_ID": None, "WANDB_SWEEP_PARAM_PATH": None}

    def open_run(where: Literal["online", "offline"]) -> wandb.Run:
        import wandb

        opened = wandb.init(
            mode=where,
            dir=folder,
            project=run.project,
            entity=run.entity,
            id=run.run_id or secrets.token_hex(4),
            resume="allow" if run.run_id else None,
            name=run.name,
            group=run.group,
            job_type=run.job_type,
            tags=list(run.tags),
            config=dict(run.config),
            reinit="create_new",  # the jobs of a multirun share a process
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                host="",
                x_disable_stats=where == "offline",
                init_timeout=run.timeout,
                finish_timeout=run.timeout,
                finish_timeout_raises=True,
            ),
        )
        opened.define_metric("epoch")
        opened.define_metric("*", step_metric="epoch")
        return opened

    # Not settings: wandb reads them earlier. A crash report could quote data; tables are staged in the home by default.
    quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_DATA_DIR": str(folder / "wandb")}
    with _environment({**quiet, **of_agent, "WANDB_RESUME": None}):
        opened = _open_somewhere(open_run, requested, run.timeout)
        if opened is None:
            yield Tracker()
            return
        tracker, exit_code = WandbTracker(opened, run.timeout), 1
        try:
            yield tracker
            exit_code = 0
        finally:
            tracker.finish(exit_code)


def _open_somewhere(
    open_run: Callable[[Literal["online", "offline"]], wandb.Run], requested: str, timeout: float
) -> wandb.Run | None:
    """Return an online run if wanted and possible, else an offline one, else None."""
    now = time.monotonic()
    online = requested not in ("offline", "dryrun")
    if online and _unreachable_since and now - _unreachable_since[-1] < AGAIN_S:
        _log.info(f"{_NAME}: its server did not answer a while ago; training goes on offline")
    elif online:
        try:
            if within(timeout + _MARGIN, lambda: has_key(requested)):
                return within(timeout + _MARGIN, lambda: open_run("online"))
            if requested != "auto":
                raise LookupError("no API key is configured")
        except Exception as error:
            warn(_NAME, "going online failed", error, "training goes on offline")
            if time.monotonic() - now > 1:  # a server was waited for, not a key missed
                _unreachable_since.append(now)  # the next trials of this process do not wait for it too
            _end_service(timeout)  # or the id of the failed run would stay taken
    try:
        return within(max(timeout, LOCAL_S), lambda: open_run("offline"))
    except Exception as error:
        warn(_NAME, "starting a run failed", error, "training goes on without it")
        _end_service(timeout)
        return None


def has_key(requested: str) -> bool:
    """Whether wandb finds an API key (environment, netrc, settings); uses no network and asks nobody."""
    import wandb

    # An explicit wish for online beats `wandb offline` in a settings file.
    wandb.setup(wandb.Settings(silent=True) if requested == "auto" else wandb.Settings(silent=True, mode="online"))
    return bool(wandb.login(prompt=False, verify=False))


def _end_service(timeout: float) -> None:
    """Stop wandb-core. Even if that hangs, wandb's exit hook is gone, which would wait without a limit."""
    import wandb

    try:
        within(timeout, wandb.teardown)
    except Exception as error:
        _log.debug("wandb-core did not stop: %r", error)


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for the block, or take them away where the value is None."""
    before = {key: os.environ.pop(key, None) for key in values}
    os.environ.update({key: value for key, value in values.items() if value is not None})
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _sync_command(run: wandb.Run) -> str:
    return f"wandb sync {run.settings.sync_dir}"
