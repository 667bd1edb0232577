"""Small synthetic patients on disk; tests that change files change a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frostline.config.schema import DataConfig
from frostline.data.phantoms.patients import write_phantoms
from frostline.task import LUNG

PATIENT = r"(patient_\d+)"


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 patients of each class, 3 slices each, 96 px; at a similarity of 0.94 near copies are one patient's slices."""
    root = tmp_path_factory.mktemp("phantoms") / "slices"
    write_phantoms(root, seed=0, patients=dict.fromkeys(LUNG.classes, 5), slices=3, size=96)
    return root


@pytest.fixture(scope="session")
def singles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 patients of each class, one slice each, 96 px: no image is like another."""
    root = tmp_path_factory.mktemp("singles") / "slices"
    write_phantoms(root, seed=1, patients=dict.fromkeys(LUNG.classes, 6), slices=1, size=96)
    return root


@pytest.fixture
def copy(phantoms: Path, tmp_path: Path) -> Path:
    """A copy of `phantoms` that a test may change."""
    return Path(shutil.copytree(phantoms, tmp_path / "copy"))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans and near pairs of data sets that no test changes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def config_of() -> Callable[..., DataConfig]:
    """Builds the options for a folder of phantoms."""

    def build(root: Path, **changes: Any) -> DataConfig:
        usual = {"similarity": 0.94, "image_size": 32, "batch_size": 4}
        return DataConfig(name="folder", root=str(root), **usual | changes)

    return build
