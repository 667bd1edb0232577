"""The sweeper as Hydra knows it, with hydra-optuna-sweeper's samplers: made to be stopped, killed and gone on with.

Hydra loads this file with every start, so what is heavy is imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from frostline.config.checks import check_limits
from frostline.config.groups import SEARCH_PREFIX
from frostline.config.schema import SearchConfig
from frostline.errors import ConfigError


@dataclass
class StudySweeperConf(SearchConfig):
    """The options of a study, as a choice of Hydra's group `hydra/sweeper`."""

    _target_: str = "frostline.search.sweeper.StudySweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "grid"}])


EXTRAS = {"submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray"}  # what to install for a launcher


class StudySweeper(Sweeper):
    """Hydra's entry point; the work is in `runner.StudyRunner`."""

    def __init__(self, sampler: DictConfig, **options: Any) -> None:
        plain: dict[str, Any] = {
            k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in options.items()
        }
        self._search = SearchConfig(sampler=sampler, **plain)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take over what the sweep runs with."""
        self.hydra_context, self.config = hydra_context, config
        try:
            self.launcher = Plugins.instance().instantiate_launcher(
                hydra_context=hydra_context, task_function=task_function, config=config
            )
        except RuntimeError as error:  # Hydra's word for a plugin that is not there
            if not str(error).startswith("Unknown plugin class"):
                raise
            choice = config.hydra.runtime.choices["hydra/launcher"]
            extra = EXTRAS.get(choice)
            remedy = f": pip install 'frostline[{extra}]'" if extra else ""
            raise ConfigError(f"hydra/launcher={choice}: its package is not installed{remedy}") from None

    def sweep(self, arguments: list[str]) -> None:
        """Run the study that the command line asks for, or what is missing of it."""
        check_limits(self._search, SEARCH_PREFIX)
        from frostline.search.runner import StudyRunner

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        StudyRunner(self._search, self.config, self.hydra_context.config_loader, self.launcher).run(arguments)


_node = OmegaConf.structured(StudySweeperConf)
for _free in (_node.pruner_options, _node.params, _node.only_if):
    OmegaConf.set_struct(_free, False)
ConfigStore.instance().store(group="hydra/sweeper", name="frostline", node=_node, provider="frostline")
