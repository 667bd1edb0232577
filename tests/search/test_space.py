"""A search space is what the command line and the preset say, and a grid every cell of it."""

from __future__ import annotations

from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from frostline.config.groups import choices_of
from frostline.errors import ConfigError
from frostline.installation import CONF_DIR
from frostline.search.space import cells_of, holds, read_space

LOADER = ConfigLoaderImpl(create_config_search_path(str(CONF_DIR)))


def test_what_the_command_line_gives_stands_over_the_preset() -> None:
    preset = {"optimizer.lr": "tag(log, interval(1e-5, 1e-3))", "freeze": "range(10,40,10)"}
    space, kept = read_space(preset, ["freeze=80", "seed=range(3)", "data.image_size=64"], LOADER)
    assert space == {"optimizer.lr": FloatDistribution(1e-5, 1e-3, log=True), "seed": IntDistribution(0, 2)}
    assert kept == ["freeze=80", "data.image_size=64"]


@pytest.mark.parametrize("key", ["+hydra.job.env_set.PATH", "hydra.job.env_set.PATH", "~optimizer", "++optimizer.lr"])
def test_a_preset_searches_options_of_runs_alone(key: str) -> None:
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.params: .* is no option of a run"):
        read_space({key: "/evil", "freeze": "choice(0,10)"}, [], LOADER)


def test_a_glob_is_all_choices_of_its_group() -> None:
    space, _ = read_space({}, ["optimizer=glob(*)"], LOADER)
    assert space == {"optimizer": CategoricalDistribution(choices_of("optimizer"))}
    with pytest.raises(ConfigError, match=r"optimizer=glob\(x\*\): fits no choice of optimizer"):
        read_space({}, ["optimizer=glob(x*)"], LOADER)


@given(start=st.integers(-50, 50), count=st.integers(1, 20), step=st.integers(1, 9), choices=st.integers(1, 4))
def test_a_grid_is_every_combination_once(start: int, count: int, step: int, choices: int) -> None:
    words = ",".join(f"w{i}" for i in range(choices))
    stop = start + count * step
    space, _ = read_space({}, [f"seed=range({start},{stop},{step})", f"data.augment=choice({words})"], LOADER)
    cells = cells_of(space)
    assert [(c["seed"], c["data.augment"]) for c in cells] == [
        (seed, f"w{i}") for seed in range(start, stop, step) for i in range(choices)
    ]


def test_a_range_of_fractions_ends_where_hydra_ends_it() -> None:
    space, _ = read_space({}, ["model.dropout=range(0.1,0.4,0.1)"], LOADER)
    assert [c["model.dropout"] for c in cells_of(space)] == pytest.approx([0.1, 0.2, 0.3])


def test_an_interval_is_no_grid() -> None:
    with pytest.raises(ConfigError, match="an interval needs a sampler"):
        cells_of({"optimizer.lr": FloatDistribution(1e-5, 1e-3)})


@pytest.mark.parametrize(
    ("distribution", "value", "inside"),
    [
        (IntDistribution(10, 140, step=10), 80, True),
        (IntDistribution(10, 140, step=10), 85, False),
        (FloatDistribution(1e-5, 1e-3, log=True), 8.7e-5, True),
        (FloatDistribution(1e-5, 1e-3, log=True), 0.1, False),
        (CategoricalDistribution(["adam", "sgd"]), "sgd", True),
        (CategoricalDistribution(["adam", "sgd"]), "adamax", False),
        (IntDistribution(0, 3), "no number", False),
    ],
)
def test_a_value_is_told_to_lie_in_the_space_or_not(distribution: Any, value: Any, inside: bool) -> None:
    assert holds(distribution, value) is inside
