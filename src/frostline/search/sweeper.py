"""The sweeper as Hydra knows it: hydra-optuna-sweeper's, made to be stopped, killed and gone on with.

Hydra loads this file with every start, so what is heavy is imported where it is used.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf
from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper
from omegaconf import DictConfig, OmegaConf

TRUSTED = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")  # what the sampler's config may build


@dataclass
class StudySweeperConf(OptunaSweeperConf):
    """Options of hydra-optuna-sweeper, and what it lacks."""

    _target_: str = "frostline.search.sweeper.StudySweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "grid"}])
    direction: Any = "maximize"
    storage: Any | None = "sqlite:///${logs_dir}/studies.db"
    n_trials: int = 20  # of a sampler that draws; a grid is all of its cells
    n_jobs: int = 1
    max_failure_rate: float = 0.25  # of all trials; more end the study
    objective: str = "${trial.objective}"
    pruner: str = "none"  # when a trial that does worse than others ends early: frostline.search.pruning
    pruner_options: dict[str, Any] = field(default_factory=dict)  # by pruner; those of the chosen one count
    start_from: str | None = None  # a study whose best settings are taken over


class StudySweeper(OptunaSweeper):
    """Hydra's entry point; the work is in `runner.StudyRunner`."""

    def __init__(
        self,
        sampler: Any,
        objective: str,
        pruner: str,
        pruner_options: DictConfig,
        start_from: str | None,
        **options: Any,
    ) -> None:
        from hydra.utils import instantiate
        from optuna.exceptions import ExperimentalWarning

        from frostline.search.runner import StudyRunner

        def build_sampler(seed: int | None) -> Any:
            again: dict[str, Any] = {} if seed is None else {"seed": seed}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # what conf/ chooses, it chooses knowingly
                return instantiate(sampler, **again, _execution_whitelist_=TRUSTED)

        self.sweeper = StudyRunner(
            build_sampler=build_sampler,
            sampler_config=sampler,
            objective=objective,
            pruner={
                "name": pruner,
                "options": OmegaConf.to_container(pruner_options.get(pruner) or OmegaConf.create({})),
            },
            start_from=start_from,
            options=options,
        )

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what the sweep runs with."""
        self.sweeper.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the study that the command line asks for, or what is missing of it."""
        self.sweeper.sweep(arguments)


_node = OmegaConf.structured(StudySweeperConf)
_node.pruner_options._set_flag("struct", False)  # free keys
ConfigStore.instance().store(group="hydra/sweeper", name="frostline", node=_node, provider="frostline")
