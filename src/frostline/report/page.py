"""One HTML page on studies and runs: self-contained, readable without a network, light, dark and printed."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from frostline.config.compose import read_config
from frostline.config.schema import CLASSES, RunConfig
from frostline.data.audit import audit_data, audit_text
from frostline.data.cache import load_picture
from frostline.data.dataset import data_root
from frostline.errors import FrostlineError
from frostline.evaluation.operating_point import Tuned, evaluate_tuned
from frostline.plots.study import plot_finding, plot_history, plot_importances, plot_parallel
from frostline.report.collect import Collected, StudyData
from frostline.report.configurations import (
    GAP,
    METRICS,
    Configuration,
    claims_of,
    configurations,
    curve_of,
    leak_gaps,
    mistakes,
)
from frostline.report.findings import sentences
from frostline.report.svg import svg
from frostline.runs.finished import FinishedRun
from frostline.runs.results import operating_figure
from frostline.search.outcome import stage_ends
from frostline.text import duration, percent

THUMBNAIL = 160  # pixels


def write_report(collected: Collected, file: Path, pictures: bool = True) -> None:
    """Write the page; with `pictures` it shows and names files of the data set, and must stay where these may be."""
    file.write_text(render(collected, pictures), encoding="utf-8")


def render(collected: Collected, pictures: bool) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("frostline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval}
    tested = configurations(collected.runs)
    found = {s.name: curve_of(s, collected) for s in collected.studies}
    curves_by_study = {name: curve for name, curve in found.items() if curve is not None}
    newest = max(collected.runs, key=lambda r: (r.folder / "metrics.json").stat().st_mtime, default=None)
    configs = {run.folder: _config_of(run) for run in [c.runs[0] for c in tested] + ([newest] if newest else [])}
    return environment.get_template("report.html").render(
        title=collected.title,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        sentences=sentences(tested, curves_by_study, collected),
        glance=_glance(collected),
        studies=[_study(s, found[s.name], collected) for s in collected.studies],
        tested=[_configuration(c, configs[c.runs[0].folder], collected.logs_dir, pictures) for c in tested],
        metrics=METRICS,
        gaps=leak_gaps(tested),
        gap_keys=GAP,
        claims=claims_of(tested, curves_by_study, collected),
        classes=CLASSES,
        **dict(zip(("common", "runs"), _split_common([_run(run, collected) for run in collected.runs]), strict=True)),
        audit=_audit(configs.get(newest.folder) if newest else None, collected.logs_dir, pictures),
        environment=_environment(newest),
        commands=_commands(collected.runs, pictures),
        broken=collected.broken,
        pictures=pictures,
    )


def interval(ends: Sequence[float | None]) -> str:
    """`86.9 to 95.9 %`."""
    low, high = ends
    return "no interval" if low is None or high is None or low != low else f"{100 * low:.1f} to {100 * high:.1f} %"


def _glance(collected: Collected) -> dict[str, str]:
    states = Counter(t.state for s in collected.studies for t in s.trials)
    seconds = sum(float(r.metrics.get("seconds") or 0) for r in collected.runs)
    epochs = sum(int(r.metrics.get("epochs") or 0) for r in collected.runs)
    return {
        "studies": ", ".join(s.name for s in collected.studies) or "none",
        "trials": ", ".join(f"{n} {state}" for state, n in states.most_common()) or "none",
        "finished runs": f"{len(collected.runs)}, {epochs} epochs, {duration(seconds)} of computing",
        "frozen layers": _frozen(collected.runs),
    }


def _frozen(runs: Sequence[FinishedRun]) -> str:
    runs = [r for r in runs if r.metrics["freeze"]]
    checked = sum("frozen/sha256" in r.metrics for r in runs)
    if not checked:
        return "not recorded by these runs"
    return (
        f"hashed before and after training in {checked} of {len(runs)} runs that freeze, parameters and BatchNorm "
        "statistics: bit for bit the same (a run in which one moved fails)"
    )


def _study(study: StudyData, curve: Any, collected: Collected) -> dict[str, Any]:
    figures = []
    if not study.grid and study.points:
        figures.append(svg(plot_history(study.points, study.objective), "value of every trial"))
        if study.importances:
            figure = plot_importances(study.importances, study.objective, len(study.complete))
            figures.append(svg(figure, "importance of every option"))
    if not study.grid and len({t.value for t in study.complete}) > 1 and len(study.searched) > 1:
        rows, values = [t.settings for t in study.complete], [float(t.value or 0) for t in study.complete]
        figures.append(svg(plot_parallel(study.searched, rows, values, study.objective), "settings of every trial"))
    if curve is not None:
        figure = plot_finding(curve, stage_ends(study.fixed), study.objective)
        figures.append(svg(figure, "validation score by number of frozen layers"))
    return {
        "name": study.name,
        "objective": study.objective,
        "searched": study.searched,
        "states": ", ".join(f"{n} {state}" for state, n in Counter(t.state for t in study.trials).most_common()),
        "figures": figures,
        "curve": curve,
        "trials": sorted(study.trials, key=lambda t: (t.state != "complete", -(t.value or 0), t.number)),
        "looks": collected.looks(collected.run_of(t) for t in study.trials),
    }


def _configuration(c: Configuration, config: RunConfig | None, logs_dir: Path, pictures: bool) -> dict[str, Any]:
    run = c.runs[0]
    test = run.predictions["test"]
    tuned = _tuned(run)
    figures = evaluate_tuned("test", test.probabilities, test.targets, CLASSES, test.groups, tuned)
    point = {k: v for k, v in figures.items() if "/operating/" in k}
    title = f"{len(test.targets)} test images, seed {run.metrics['seed']}"
    figure = operating_figure(test.probabilities, test.targets, test.groups, point, tuned.temperature, title)
    shares = c.matrix / np.maximum(c.matrix.sum(1, keepdims=True), 1)
    return {
        "label": c.label,
        "options": c.options,
        "configuration": c,
        "matrix": [[(_count(n), s) for n, s in zip(*rows, strict=True)] for rows in zip(c.matrix, shares, strict=True)],
        "operating": svg(figure, "ROC, precision and recall, calibration"),
        "tuned": tuned,
        "figures": figures,
        "seed": run.metrics["seed"],
        "mistakes": [
            (m, m.example.path, _thumbnail(m.example.path, config, logs_dir))
            if pictures
            else (m, m.example.sha256[:12], None)
            for m in mistakes(c)
        ],
    }


def _tuned(run: FinishedRun) -> Tuned:
    """What the run chose on validation."""
    chosen = [run.metrics[key] for key in ("operating/wanted_sensitivity", "operating/threshold", "temperature")]
    return Tuned(*(math.nan if value is None else float(value) for value in chosen))


def _count(value: float) -> str:
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def _thumbnail(path: str, config: RunConfig | None, logs_dir: Path) -> str | None:
    """The slice as a small JPEG for `src`; None when the data set is not where it was."""
    if config is None:
        return None
    try:
        root = data_root(config.data, logs_dir / "cache")
        picture = load_picture(root / path, THUMBNAIL, (config.data.window_center, config.data.window_width))
    except (OSError, FrostlineError):
        return None
    grey = (picture.squeeze(0).numpy() * 255).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _run(run: FinishedRun, collected: Collected) -> dict[str, Any]:
    m = run.metrics
    found = {
        "run": str(run.folder.relative_to(collected.logs_dir)),
        "data": m["data"],
        "model": m["model"],
        "weights": str(m["weights"]).split(" (")[0],
        "split": m["split"],
        "freeze": m["freeze"],
        "optimiser": m["optimizer"],
        "rate": f"{m['lr']:.2g}",
        "batch": m["batch_size"],
        "px": m["image_size"],
        "seed": m["seed"],
        "state": m.get("state", "complete"),
        "epochs": m["epochs"],
    }
    for split, name in (("val", "validation"), ("test", "test")):
        value = m.get(f"{split}/acc")
        ends = [m.get(f"{split}/acc/{end}") for end in ("lower", "upper")]
        found[name] = "-" if value is None else f"{percent(value)} ({interval(ends)})"
    return found | {"minutes": f"{float(m['seconds']) / 60:.1f}"}


def _split_common(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is the same in all of several rows, and the rows without it."""
    if len(rows) < 2:
        return {}, rows
    common = {k: v for k, v in rows[0].items() if all(row[k] == v for row in rows)}
    return common, [{k: v for k, v in row.items() if k not in common} for row in rows]


def _config_of(run: FinishedRun) -> RunConfig | None:
    """The run's options; None when its data set is not there any more, or they are of another version."""
    try:
        return read_config(run.folder)
    except FrostlineError:
        return None


def _audit(config: RunConfig | None, logs_dir: Path, names: bool) -> str | None:
    if config is None:
        return None
    try:
        return audit_text(audit_data(config.data, logs_dir / "cache"), config.data, names)
    except FrostlineError:
        return None


def _environment(run: FinishedRun | None) -> dict[str, Any]:
    file = run.folder / "environment.json" if run else None
    return json.loads(file.read_text()) if file is not None and file.is_file() else {}


def _commands(runs: Sequence[FinishedRun], names: bool) -> list[str]:
    """The commands that made the runs, each once; without `names` the data set's folder is DIR."""
    found: dict[str, None] = {}
    for run in runs:
        file = run.folder / "environment.json"
        if file.is_file():
            words = json.loads(file.read_text())["command"]
            if not names:
                words = [re.sub(r"^(data\.(?:root|manifest)=).*", r"\1DIR", word) for word in words]
            found[f"python {shlex.join(words)}"] = None
    return list(found)
