"""`frostline compare` on configurations: several seeds and folds of each are one, and one seed claims nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Frostline
from tests.search.made_runs import images_of, write_run

LEVELS = {10: 0.95, 80: 0.7}


def make(folder: Path, freeze: int, seed: int, fold: int) -> None:
    rng = np.random.default_rng([freeze, seed, fold])
    examples = images_of(fold, groups=10, images=1)
    params = {"freeze": freeze, "seed": seed, "data.val_fold": fold}
    write_run(folder / f"{freeze}-{seed}-{fold}", params, examples, rng.random(len(examples)) < LEVELS[freeze])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two depths, three seeds and two folds of each."""
    for freeze in LEVELS:
        for seed in range(3):
            for fold in range(2):
                make(tmp_path / "study", freeze, seed, fold)
    return tmp_path / "study"


def test_a_folder_of_runs_is_compared_by_configuration_over_folds_and_seeds(study: Path, frostline: Frostline) -> None:
    code, out, err = frostline("compare", str(study), "--split=val")
    assert (code, err) == (0, "")
    assert "A  freeze=10: 2 folds, 3 seeds\nB  freeze=80: 2 folds, 3 seeds\n" in out
    assert "60 validation images in 60 groups; mean over seeds" in out
    assert "A - B: A is right more often: +" in out
    assert "By group, patients are not known: 60 validation groups, mean over slices" in out
    assert "A - B, by group: A is right more often: +" in out
    assert "This compares configurations: another training of either would be judged alike" in out
    found = json.loads(frostline("compare", str(study), "--split=val", "--json")[1])
    assert [(c["folds"], c["seeds"], len(c["runs"])) for c in found["configurations"]] == [(2, 3, 6), (2, 3, 6)]
    assert [c["patient/acc"]["mean"] for c in found["configurations"]] == pytest.approx(
        [c["acc"]["mean"] for c in found["configurations"]]  # one image a group
    )
    (pair,) = found["pairs"]
    assert pair["difference_shown"] is True
    means = [c["acc"]["mean"] for c in found["configurations"]]
    assert pair["differences"]["acc"]["value"] == pytest.approx(means[0] - means[1])


def test_one_seed_on_folds_says_nothing_of_a_configuration(tmp_path: Path, frostline: Frostline) -> None:
    for freeze in LEVELS:
        for fold in range(2):
            make(tmp_path, freeze, 0, fold)
    _, out, _ = frostline("compare", str(tmp_path), "--split=val")
    assert "nothing can be said of the configurations, for there is one seed of A and B" in out
    assert "is right more often" not in out


def test_a_seed_that_lacks_a_fold_is_left_out_and_said(study: Path, frostline: Frostline) -> None:
    (study / "80-2-1" / "metrics.json").unlink()
    _, out, _ = frostline("compare", str(study), "--split=val")
    assert "B  freeze=80: 2 folds, 2 seeds; 1 more lack a fold and are left out" in out


def test_folds_of_other_images_are_refused(study: Path, frostline: Frostline) -> None:
    for seed in range(3):
        (study / f"80-{seed}-1" / "metrics.json").unlink()
    code, _, err = frostline("compare", str(study), "--split=val")
    assert code == 1
    assert "do not cover the same 60 validation images as the others: folds are missing" in err


def test_seeds_of_one_configuration_are_told_how_to_be_compared(study: Path, frostline: Frostline) -> None:
    runs = [str(study / f"10-{seed}-0") for seed in range(2)]
    code, _, err = frostline("compare", *runs, "--split=val")
    assert code == 1
    assert "all of these runs are one configuration, they differ in seed and fold alone" in err
    code, out, _ = frostline("compare", *runs, "--split=val", "--networks")
    assert code == 0
    assert "This compares trained networks" in out
