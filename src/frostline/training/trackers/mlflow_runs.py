"""MLflow: a database and files in the folder of logs, or the server that MLFLOW_TRACKING_URI names.

The only file that imports mlflow, and only where it is used: the import is slow. Through its client alone, never
`mlflow.start_run`: that asks git and notes the user, and one process may hold several runs. Final values stand under
`result/`, apart from the curves: a second point in `val/acc` would read as an epoch.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from frostline.config.compose import flatten
from frostline.errors import Stopped
from frostline.training.trackers.guard import Guard, warn, within
from frostline.training.trackers.interface import TrackedRun, Tracker, draw_confusion_matrix

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NAME = "MLflow"
_LOCAL_SECONDS = 120.0  # no server to wait for, but making the database takes seconds, and jobs queue for it
_BATCH = 100  # the most options that MLflow takes in one call


class MlflowTracker(Tracker):
    """The handle of one MLflow run."""

    label = "MLflow"

    def __init__(self, client: MlflowClient, run_id: str, resumed: bool, place: str, timeout: float) -> None:
        super().__init__(place, run_id)
        self._client, self._id, self._resumed = client, run_id, resumed
        self._timeout = timeout
        self._guard = Guard(_NAME, timeout)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        def log() -> None:
            # MLflow keeps every point; a resumed run repeats the epochs since its checkpoint, with the same values.
            if not (self._resumed and self._holds(epoch, next(iter(metrics)))):
                self._log_metrics(metrics, epoch)

        self._guard.call("numbers", log)

    def log_summary(self, metrics: Mapping[str, float | str | int]) -> None:
        def log() -> None:
            for key, value in metrics.items():
                if isinstance(value, str):
                    self._client.set_tag(self._id, _name(key), value, synchronous=True)
            numbers = {f"result/{key}": float(value) for key, value in metrics.items() if not isinstance(value, str)}
            self._log_metrics(numbers, 0)

        self._guard.call("numbers", log)

    def log_confusion_matrix(
        self, split: str, classes: Sequence[str], targets: Sequence[int], predictions: Sequence[int]
    ) -> None:
        def log() -> None:
            figure = draw_confusion_matrix(split, classes, targets, predictions)
            self._client.log_figure(self._id, figure, f"{split}/confusion_matrix.png")

        self._guard.call("media", log)

    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        def log() -> None:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([columns, *rows])
            self._client.log_text(self._id, text.getvalue(), f"{key}.csv")

        self._guard.call("media", log)

    def log_image(self, key: str, path: Path) -> None:
        self._guard.call("media", lambda: self._client.log_artifact(self._id, str(path)))

    def finish(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        try:
            within(self._timeout, lambda: self._client.set_terminated(self._id, status))
        except Exception as error:
            warn(_NAME, "finishing the run failed", error, "it is left as running")

    def _holds(self, epoch: int, key: str) -> bool:
        return any(point.step == epoch for point in self._client.get_metric_history(self._id, _name(key)))

    def _log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(_name(key), value, now, step) for key, value in metrics.items()]
        self._client.log_batch(self._id, metrics=points, synchronous=True)


@contextmanager
def track(run: TrackedRun) -> Iterator[Tracker]:
    """Open an MLflow run and finish it: FAILED if the block raises, KILLED if it was stopped.

    Mode "auto": at MLFLOW_TRACKING_URI if set, else in `logs_dir`/mlruns.
    """
    tracker = _open_somewhere(run)
    if tracker is None:
        yield Tracker()
        return
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except (Stopped, KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        tracker.finish(status)


def local_uri(logs_dir: Path) -> str:
    """Address of the database in a folder of logs; MLflow 3 refuses plain files."""
    return f"sqlite:///{logs_dir.absolute() / 'mlruns' / 'mlflow.db'}"


def _open_somewhere(run: TrackedRun) -> MlflowTracker | None:
    """Return a run at the server if wanted and possible, else one in the folder of logs, else None."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if run.mode == "online" or (run.mode == "auto" and address):
        try:
            if not address:
                raise LookupError("MLFLOW_TRACKING_URI is not set")
            place = f"at {urlsplit(address).hostname or address}"
            return within(run.timeout, lambda: _open(run, address, None, place, run.timeout))
        except Exception as error:
            warn(_NAME, "going online failed", error, "training goes on offline")
    uri = local_uri(run.logs_dir)
    folder = run.logs_dir.absolute() / "mlruns"
    place = f"look with: mlflow ui --backend-store-uri {uri}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return within(_LOCAL_SECONDS, lambda: _open(run, uri, (folder / "artifacts").as_uri(), place, _LOCAL_SECONDS))
    except Exception as error:
        warn(_NAME, "starting a run failed", error, "training goes on without it")
        return None


def _open(run: TrackedRun, uri: str, artifacts: str | None, place: str, timeout: float) -> MlflowTracker:
    """Begin a run at `uri`, or go on with the one that it already holds."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported: no word to its makers
    # MLflow 3.17 maps its tables with a loader that SQLAlchemy 2.1 would have otherwise.
    warnings.filterwarnings("ignore", message=r"The ``noload`` loader strategy is deprecated")
    from mlflow import MlflowClient
    from mlflow.entities import Param
    from mlflow.exceptions import MlflowException

    for talkative in ("mlflow", "urllib3.connectionpool"):  # of every table that is made, of every try at a server
        logging.getLogger(talkative).setLevel(logging.ERROR)
    client = MlflowClient(tracking_uri=uri)
    if run.run_id:
        try:
            client.update_run(run.run_id, status="RUNNING")
            return MlflowTracker(client, run.run_id, True, place, timeout)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # begun elsewhere, or its database is gone
                raise
    tags = {"study": run.group, "job_type": run.job_type, "tags": ", ".join(run.tags)}
    experiment = _experiment(client, f"{run.project}/{run.group}", artifacts)
    run_id = client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
    options = [Param(_name(key), str(value)) for key, value in flatten(run.config).items()]
    for i in range(0, len(options), _BATCH):
        client.log_batch(run_id, params=options[i : i + _BATCH], synchronous=True)
    return MlflowTracker(client, run_id, False, place, timeout)


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """Id of the experiment `name`, made if there is none; another job may be making it at the same time."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _name(key: str) -> str:
    """`key` without the characters that MLflow does not take: classes and folders may be called anything."""
    return re.sub(r"[^\w\-. :/]", "_", key)
