"""Which tracker `logger` names; its library is imported only then."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from frostline.training.trackers.interface import TrackedRun, Tracker


def track_run(name: str, run: TrackedRun) -> AbstractContextManager[Tracker]:
    """Open the run at the tracker `name`, one of `logger.name`, and finish it: as failed if the block raises."""
    if name == "wandb":
        from frostline.training.trackers import weights_and_biases

        return weights_and_biases.track(run)
    if name == "tensorboard":
        from frostline.training.trackers import tensorboard_files

        return tensorboard_files.track(run)
    if name == "mlflow":
        from frostline.training.trackers import mlflow_runs

        return mlflow_runs.track(run)
    return nullcontext(Tracker())
