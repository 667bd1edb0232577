"""An option says itself what it allows and whether it bears on a result."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, replace
from typing import get_args, get_type_hints

import pytest

from frostline.config.checks import check_limits
from frostline.config.compose import compose_config, flatten
from frostline.config.groups import SEARCH_PREFIX, all_options
from frostline.config.options import bears_on_result
from frostline.config.schema import RunConfig, SearchConfig, bearing
from frostline.errors import ConfigError
from frostline.search.pruning import PRUNERS
from frostline.search.sweeper import StudySweeperConf

IDLE = {
    *("study", "logs_dir", "test", "sensitivity", "sensitivity_confidence", "prevalence", "patient_score", "resume"),
    "preset",
    *(
        "data.positive",
        "data.root",
        "data.manifest",
        "data.subgroups",
        "data.table",
        "data.patients",
        "data.workers",
        "data.cache_gb",
        "data.shared_cache_gb",
        "trainer.frozen_gb",
    ),
    *("trainer.threads", "trainer.progress", "trainer.checkpoint_seconds", "trainer.keep_state", "trainer.accelerator"),
}


def test_what_does_not_bear_on_a_result_is_known_by_name() -> None:
    flat = flatten(asdict(compose_config([])))
    idle = {name for name in flat if name not in bearing(flat)}
    assert {name for name in idle if not name.startswith(("logger.", "trial."))} == IDLE
    assert {name for name in flat if name.startswith(("logger.", "trial."))} <= idle


def test_items_of_a_mapping_bear_as_it_does_and_unknown_options_do() -> None:
    assert bears_on_result(RunConfig, "optimizer.options.eps")
    assert bears_on_result(RunConfig, "gone_since")
    assert bears_on_result(RunConfig, "data.gone_since")
    assert not bears_on_result(RunConfig, "logger.gone_since")


def test_every_option_has_a_meaning_and_says_whether_it_bears() -> None:
    def walk(section: type) -> None:
        for f in fields(section):
            inner = get_type_hints(section)[f.name]
            assert "bears" in f.metadata, f.name
            if is_dataclass(inner):
                walk(inner)  # type: ignore[arg-type]  # a class
            else:
                assert f.metadata["meaning"], f.name

    walk(RunConfig)
    walk(SearchConfig)


def test_the_sweeper_has_the_options_that_help_lists_and_no_others() -> None:
    listed = {name.removeprefix(SEARCH_PREFIX) for name in all_options() if name.startswith(SEARCH_PREFIX)}
    assert {f.name for f in fields(StudySweeperConf)} - {"_target_", "defaults"} == listed
    assert get_args(get_type_hints(SearchConfig)["pruner"]) == (*PRUNERS,)


@pytest.mark.parametrize(("name", "value"), [("n_jobs", 0), ("n_jobs", -1), ("n_trials", 0), ("max_failure_rate", 1.5)])
def test_an_option_of_a_study_out_of_its_limits_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"hydra\.sweeper\.{name}={value}: must be "):
        check_limits(replace(SearchConfig(), **{name: value}), SEARCH_PREFIX)  # type: ignore[arg-type]  # ints and a float
