"""The panels of a study as a saved workspace and a report at Weights & Biases (wandb-workspaces)."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb

from frostline.config.groups import list_groups
from frostline.errors import ConfigError, FrostlineError, first_line
from frostline.evaluation.catalog import labels
from frostline.installation import install_command
from frostline.report.collect import StudyData
from frostline.task import Task
from frostline.training.trackers.weights_and_biases import has_key

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # wandb-workspaces 0.4 has validators of pydantic 1
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
except ImportError as missing:
    raise ConfigError(
        f"frostline dashboard needs wandb-workspaces ({missing.name} is missing): {install_command('dashboard')}"
    ) from None

PLACEHOLDER = "YOUR-ENTITY"
PREFACE = (
    "Made by `frostline dashboard`. A validation score that was chosen for being the highest is too high; intervals "
    "and the test set are in the page that `frostline report` writes. By patient: where patients are not known "
    "(patients_known), groups of images stand for them. No diagnosis."
)


@dataclass(frozen=True)
class Dashboard:
    """What is sent: a workspace that is used with the project, and a report to pass on."""

    workspace: ws.Workspace
    report: wr.Report

    def specification(self) -> dict[str, Any]:
        """Both as plain values, as they are sent."""
        models = {"workspace": self.workspace._to_model(), "report": self.report._to_model()}
        return {name: model.model_dump(mode="json", by_alias=True, exclude_none=True) for name, model in models.items()}


def build_dashboard(studies: Sequence[StudyData], task: Task, name: str, entity: str | None, project: str) -> Dashboard:
    """The panels that fit `studies`: a section for each, then curves, metrics, plots, predictions, the run comparer."""
    sections = {f"{s.name}: {', '.join(s.searched) or 'one setting'}": _panels_of(s) for s in studies}
    sections |= {
        "Training": [
            wr.LinePlot(title=f"{split} {key}", x="epoch", y=[f"{split}/{key}"])
            for key in ("acc", "loss")
            for split in ("train", "val")
        ],
        "Metrics": [
            wr.BarPlot(title=f"{split} {label}", metrics=[f"{split}/{key}"])
            for key, label in labels(task, "dashboard").items()
            for split in ("val", "test")
        ],
        "By patient": [
            wr.BarPlot(title=f"{split} by patient: {label}", metrics=[f"{split}/patient/{key}"])
            for key, label in labels(task, "dashboard").items()
            for split in ("val", "test")
        ],
        "Evaluation": [
            wr.MediaBrowser(
                title="confusion matrices and curves", media_keys=["confusion_matrix", "operating", "curves"]
            ),
            wr.WeavePanelSummaryTable(table_name="val/predictions"),
            wr.WeavePanelSummaryTable(table_name="test/predictions"),
        ],
        "Runs side by side": [wr.RunComparer(diff_only="split")],
    }
    chosen = ws.And(ws.Metric("Group").isin([s.name for s in studies]))
    workspace = ws.Workspace(
        entity=entity or PLACEHOLDER,
        project=project,
        name=f"frostline {name}",
        sections=[ws.Section(name=title, panels=panels, is_open=True) for title, panels in sections.items()],
        runset_settings=ws.RunsetSettings(filters=chosen),
    )
    blocks: list[Any] = [
        wr.P(PREFACE),
        wr.TableOfContents(),
    ]
    for title, panels in sections.items():
        runset = wr.Runset(name=name, filters=chosen)  # of the report's own project
        blocks += [wr.H1(title), wr.PanelGrid(runsets=[runset], panels=panels)]
    report = wr.Report(entity=entity or PLACEHOLDER, project=project, title=f"frostline {name}", blocks=blocks)
    return Dashboard(workspace, report)


def _panels_of(study: StudyData) -> list[Any]:
    objective = wr.SummaryMetric("objective")
    columns = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(f"{o}.name" if o in list_groups() else o), log=_is_log(o))
        for o in study.searched
    ]
    columns.append(wr.ParallelCoordinatesPlotColumn(objective, display_name=study.objective))
    panels: list[Any] = [wr.ParallelCoordinatesPlot(title="settings and objective", columns=columns)]
    if not study.grid:
        panels.append(wr.ParameterImportancePlot(with_respect_to="objective"))
    panels += [
        wr.ScatterPlot(title=f"{study.objective} by {o}", x=wr.Config(o), y=objective, log_x=_is_log(o))
        for o in study.searched
        if o in ("freeze", "optimizer.lr")
    ]
    return panels


def _is_log(option: str) -> bool | None:
    return True if option.endswith(".lr") else None


def publish(dashboard: Dashboard) -> list[str]:
    """Send both; returns their addresses. Raises `FrostlineError` when Weights & Biases does not take them."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # wandb says the addresses there, we say them below
            dashboard.workspace.save()
            dashboard.report.save()
    except Exception as error:  # the client raises whatever the network, the server or its own checks bring
        raise FrostlineError(f"Weights & Biases did not take the dashboard: {first_line(error)}") from None
    return [dashboard.workspace.url, dashboard.report.url]


def can_publish() -> bool:
    """Whether a key is configured; uses no network."""
    return has_key("online")


def own_entity() -> str:
    """The user's default entity. Raises `FrostlineError` when Weights & Biases does not say."""
    try:
        return str(wandb.Api().default_entity)
    except Exception as error:  # as above
        raise FrostlineError(f"Weights & Biases does not answer: {first_line(error)}") from None


def offline_runs(studies: Sequence[StudyData], logs_dir: Path) -> str | None:
    """Pattern of the offline runs of the studies that wait to be synchronised; None when there are none."""
    waiting = [s.name for s in studies if any((logs_dir / s.name).glob("*/wandb/offline-run-*"))]
    return " ".join(f"{logs_dir}/{name}/*/wandb/offline-run-*" for name in waiting) or None
