"""Weights & Biases: one finished run per training, and never in its way.

The only file that imports wandb, and only where it is used: the import is slow. Every call into wandb is made in a
daemon thread with a deadline, so a server that hangs costs seconds and one warning, never the training.
What leaves the machine is what callers hand over, and what wandb notes about the process (command line, host, hardware,
packages): no source code, git state, console output or crash reports.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import wandb

_log = logging.getLogger("frostline")
_Result = TypeVar("_Result")
_MARGIN = 5.0  # seconds; wandb-core keeps the same deadline, and its error says more than ours


class Tracker:
    """The handle of one W&B run. No method raises; what failed once, numbers or media, is not tried again.

    `place` says in one line where the run is; `run_id` is what a resumed training hands to `track_run`.
    """

    def __init__(self, run: wandb.Run | None = None, timeout: float = 0.0) -> None:
        self._run, self._timeout = run, timeout
        self._failed: set[str] = set()
        self.run_id: str | None = None
        self.place = "off"
        if run is not None:
            self.run_id = run.id
            self.place = f"offline, upload with: {_sync_command(run)}" if run.offline else run.url or "online"

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one point at `epoch` to the curve of each metric."""
        self._call("numbers", lambda run, wandb: run.log({"epoch": epoch, **metrics}))

    def log_summary(self, metrics: Mapping[str, float | str | int]) -> None:
        """Set final values: the columns of the project's run table."""
        self._call("numbers", lambda run, wandb: run.summary.update(dict(metrics)))

    def log_confusion_matrix(
        self, split: str, classes: Sequence[str], targets: Sequence[int], predictions: Sequence[int]
    ) -> None:
        """Show target against prediction (class indices, one per image) as `split`/confusion_matrix."""

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
        """Log plain values, one type per column; images are named by id, never by path."""
        data = [list(row) for row in rows]
        self._call("media", lambda run, wandb: run.log({key: wandb.Table(columns=list(columns), data=data)}))

    def log_picture(self, key: str, path: Path) -> None:
        """Log a plot (PNG) that frostline drew, never a CT slice."""
        self._call("media", lambda run, wandb: run.log({key: wandb.Image(str(path))}))

    def _call(self, kind: str, action: Callable[[wandb.Run, Any], object]) -> None:
        # Media ask the server even while logging; numbers go to disk first, so they can outlive a lost network.
        if (run := self._run) is None or kind in self._failed:
            return
        import wandb

        try:
            _within(self._timeout, lambda: action(run, wandb))
        except Exception as error:
            self._failed.add(kind)
            _warn(f"logging {kind} failed", error, "training goes on without them")

    def _finish(self, exit_code: int) -> None:
        if (run := self._run) is None:
            return
        try:
            _within(self._timeout + _MARGIN, lambda: run.finish(exit_code=exit_code))
        except Exception as error:
            _warn("finishing the run failed", error, f"upload it later with: {_sync_command(run)}")
            _end_service(self._timeout)


@contextmanager
def track_run(
    *,
    enabled: bool,
    run_dir: Path,
    project: str,
    entity: str | None,
    mode: str,
    name: str,
    group: str | None,
    job_type: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
    run_id: str | None,
    timeout: float,
) -> Iterator[Tracker]:
    """Open a W&B run and finish it: with exit code 0, or 1 if the block raises.

    Args:
        enabled: False gives a tracker that does nothing and does not import wandb.
        run_dir: wandb writes to `run_dir`/wandb, tables that wait for upload included.
        project: W&B project.
        entity: user or team, None for the account's default.
        mode: "online", "offline", or "auto": WANDB_MODE if set, else online if an API key is configured, else offline.
        name: what differs from other runs.
        group: the study that the run belongs to.
        job_type: such as "train" or "trial".
        tags: to filter by.
        config: nested plain values, no dots in keys.
        run_id: the run to continue, None for a new one.
        timeout: seconds (> 0) to wait for the server, at the start and again at the end.
    """
    requested = os.environ.get("WANDB_MODE", mode).lower() if mode == "auto" else mode
    if not enabled or requested == "disabled":
        yield Tracker()
        return
    folder = run_dir.absolute()

    def open_run(where: Literal["online", "offline"]) -> wandb.Run:
        import wandb

        run = wandb.init(
            mode=where,
            dir=folder,
            project=project,
            entity=entity,
            id=run_id,
            resume="allow" if run_id else None,
            name=name,
            group=group,
            job_type=job_type,
            tags=list(tags),
            config=dict(config),
            reinit="create_new",  # the jobs of a multirun share a process
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_stats=where == "offline",
                init_timeout=timeout,
                finish_timeout=timeout,
                finish_timeout_raises=True,
            ),
        )
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")
        return run

    # Not settings: wandb reads them earlier. A crash report could quote data; tables are staged in the home by default.
    quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_DATA_DIR": str(folder / "wandb")}
    with _environment(quiet):
        tracker = Tracker(_open_somewhere(open_run, requested, timeout), timeout)
        exit_code = 1
        try:
            yield tracker
            exit_code = 0
        finally:
            tracker._finish(exit_code)


def _open_somewhere(
    open_run: Callable[[Literal["online", "offline"]], wandb.Run], requested: str, timeout: float
) -> wandb.Run | None:
    """Return an online run if wanted and possible, else an offline one, else None."""
    if requested not in ("offline", "dryrun"):
        try:
            if _within(timeout + _MARGIN, lambda: has_key(requested)):
                return _within(timeout + _MARGIN, lambda: open_run("online"))
            if requested != "auto":
                raise LookupError("no API key is configured")
        except Exception as error:
            _warn("going online failed", error, "training goes on offline")
            _end_service(timeout)  # or the id of the failed run would stay taken
    try:
        return _within(timeout + _MARGIN, lambda: open_run("offline"))
    except Exception as error:
        _warn("starting a run failed", error, "training goes on without it")
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
        _within(timeout, wandb.teardown)
    except Exception as error:
        _log.debug("wandb-core did not stop: %r", error)


def _within(seconds: float, action: Callable[[], _Result]) -> _Result:
    """Return what `action` returns; raise what it raises, or a timeout error after `seconds`."""
    future: Future[_Result] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # wandb's teardown may call sys.exit
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    # A daemon: the process can end while wandb still hangs.
    threading.Thread(target=work, name="wandb-call", daemon=True).start()
    return future.result(seconds)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key)
            if value is not None:
                os.environ[key] = value


def _sync_command(run: wandb.Run) -> str:
    return f"wandb sync {run.settings.sync_dir}"


def _warn(what: str, error: Exception, consequence: str) -> None:
    reason = str(error).split("\n", 1)[0] or type(error).__name__
    _log.warning("Weights & Biases: %s (%s); %s", what, reason, consequence)
