"""One entry is all that a metric takes: it is computed, has its interval, and appears where the entry says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from frostline.evaluation import catalog
from frostline.evaluation.catalog import METRICS, Metric, labels, named_metrics
from frostline.evaluation.metrics import evaluate
from frostline.evaluation.weighted_sums import WeightedSums
from frostline.report.assemble import assemble_page
from frostline.report.collect import collect
from frostline.report.compare import compare_json, compare_runs, compare_text
from frostline.report.dashboard import build_dashboard
from frostline.report.page import render
from frostline.runs.finished import metrics_of, read_run
from frostline.runs.summary import result_table
from frostline.task import LUNG, Task
from tests.conftest import Run


def matthews(s: WeightedSums, _: int) -> np.ndarray:
    """Correlation of true and predicted classes (Gorodkin 2004), [B]."""
    right = s.right.sum(1) * s.total - (s.true * s.predicted).sum(1)
    spread = (s.total**2 - (s.predicted**2).sum(1)) * (s.total**2 - (s.true**2).sum(1))
    value: np.ndarray = right / np.sqrt(np.where(spread > 0, spread, np.nan))
    return value


NEW = Metric(
    "mcc", "Matthews correlation", matthews, ("run", "page", "compare", "difference", "dashboard"), percent=False
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue with one metric more."""
    monkeypatch.setattr(catalog, "METRICS", (*METRICS, NEW))


def test_a_new_metric_is_computed_and_has_its_interval(added: None) -> None:
    targets = np.arange(60) % 3
    predicted = np.where(np.arange(60) < 40, targets, (targets + 1) % 3)
    m = evaluate("val", 0.1 + 0.7 * np.eye(3)[predicted], targets, LUNG)
    assert 0 < m["val/mcc/lower"] < m["val/mcc"] < m["val/mcc/upper"] < 1
    assert m["val/mcc"] == pytest.approx(0.5, abs=0.02)  # (2/3 - 1/3) / (1 - 1/3)


def test_a_new_metric_appears_wherever_its_entry_says(added: None, tiny_run: Run, tmp_path: Path) -> None:
    run = read_run(tiny_run.folder)
    values = {k: v for split in ("val", "test") for k, v in metrics_of(run, split).items()}
    table = result_table(tiny_run.metrics | values, run.task, run.folder)
    assert "Matthews correlation" in table
    assert f"{values['test/mcc']:.3f}" in table

    twin = tmp_path / "twin"
    twin.mkdir()
    for file in run.folder.iterdir():
        if file.is_file():
            (twin / file.name).write_bytes(file.read_bytes())
    page = render(assemble_page(collect(str(twin)), images=False))
    assert "<th>Matthews correlation</th>" in page

    runs = [read_run(run.folder), read_run(twin)]
    pairs = compare_runs(runs, "test")
    assert "Matthews correlation" in compare_text(runs, pairs, "test")
    assert "mcc" in json.loads(json.dumps(compare_json(runs, pairs, "test")))["pairs"][0]["differences"]

    spec = json.dumps(build_dashboard([], run.task, "w", None, "frostline").specification())
    assert "test Matthews correlation" in spec


def test_metrics_of_classes_follow_the_task() -> None:
    two = Task(("cyst", "tumour"))
    keys = [m.key for m in named_metrics(two)]
    assert len(keys) == len(set(keys))
    assert {"cyst/recall", "tumour/recall"} <= set(keys)
    assert not any("sensitivity" in key for key in keys)
    assert labels(Task(two.classes, "tumour"), "compare")["tumour/sensitivity"] == "tumour: sensitivity"
