"""Of a network that was trained on phantoms the heat map lies on the lesion, and of random weights it does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from frostline.config.compose import compose_config
from frostline.training.recipe import train_once

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "explain_phantoms.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("explain_phantoms", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_occlusion_finds_malignant_lesions_far_more_often_than_chance_and_random_weights(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_once(compose_config(["logger=csv", f"logs_dir={tmp_path}", "test=false"]), tmp_path / "run")
    monkeypatch.setattr(benchmark, "MOST", 8)
    found = {}
    for name, count, state, method, hit, share, chance in benchmark.rows(tmp_path / "run"):
        if name == "malignant":
            found[state, method] = hit, share, chance, count
        if len(found) == 4:
            break
    hit, share, chance, count = found["trained", "occlusion"]
    assert count == 8
    assert chance < 0.06
    assert hit >= 0.75
    assert share > 6 * chance
    assert found["random weights", "occlusion"][0] <= 0.25
    assert found["random weights", "occlusion"][1] < 0.5 * share
