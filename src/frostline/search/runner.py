"""What the sweeper does: make the plan, ask for trials, launch them as Hydra jobs, show how the study stands."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import Trial

from frostline.config.compose import flatten, read_composed
from frostline.config.groups import list_groups
from frostline.config.messages import child_environment
from frostline.config.schema import NO_BEARING, RunConfig
from frostline.data.splits import SPLITS
from frostline.errors import ConfigError, FrostlineError, first_line
from frostline.search.best import best_settings
from frostline.search.failures import count_failures, fail_trial, over_budget
from frostline.search.monitor import StudyMonitor
from frostline.search.queue import TrialQueue
from frostline.search.study import Plan, begin_study, open_study
from frostline.text import hide_password

log = logging.getLogger("frostline")

# What may differ between two calls of a study: none of it bears on a result.
QUIET = (
    "trainer.progress=false",
    "hydra.job_logging.loggers.frostline.handlers=[file]",
    "hydra.job_logging.root.handlers=[file]",
)
SPLIT = ("data.split", "data.fold", "data.patient_pattern", "data.similarity", *(f"data.{s}_fraction" for s in SPLITS))
NO_EFFECT = {
    "study_name": "a study is named by study=NAME",
    "custom_search_space": "a search space stands in hydra.sweeper.params, or on the command line",
}  # options of hydra-optuna-sweeper
WORKER = "FROSTLINE_WORKER"  # set in the processes that a sweep with n_jobs > 1 starts beside itself


class TooManyFailures(FrostlineError):
    """More trials have failed than the study allows."""


class StudyRunner(OptunaSweeperImpl):
    """Runs what is missing of a study: `OptunaSweeperImpl` with a memory."""

    def __init__(
        self,
        *,
        build_sampler: Callable[[int | None], Any],
        sampler_config: DictConfig,
        objective: str,
        pruner: dict[str, Any],
        start_from: str | None,
        options: Mapping[str, Any],
    ) -> None:
        rate = options["max_failure_rate"]  # checked in `sweep`: the base class only asserts
        known = {**options, "max_failure_rate": min(max(rate, 0.0), 1.0), "custom_search_space": None}
        super().__init__(sampler=build_sampler(None), **known)
        self.max_failure_rate = rate
        self._build_sampler, self._sampler_config = build_sampler, sampler_config
        self._objective, self._pruner, self._start_from = objective, pruner, start_from
        self._logs_dir = Path()
        self._options = options

    def sweep(self, arguments: list[str]) -> None:
        """Run what is missing of the study that `arguments`, Hydra's overrides, describe."""
        began, worker = datetime.now(), WORKER in os.environ
        if self.direction != "maximize":
            raise ConfigError(f"hydra.sweeper.direction={self.direction}: a study maximises trial.objective")
        for option, instead in NO_EFFECT.items():
            if self._options.get(option) is not None:
                raise ConfigError(f"hydra.sweeper.{option}={self._options[option]}: has no effect here; {instead}")
        if not isinstance(self.n_jobs, int) or self.n_jobs < 1:
            raise ConfigError(f"hydra.sweeper.n_jobs={self.n_jobs}: must be a whole number >= 1 (trials at a time)")
        if not isinstance(self.storage, str) or "://" not in self.storage:
            raise ConfigError(
                f"hydra.sweeper.storage={self.storage}: must be the address of a database, such as "
                "sqlite:///logs/studies.db: a study lives there"
            )
        if not 0 <= self.max_failure_rate <= 1:
            raise ConfigError(f"hydra.sweeper.max_failure_rate={self.max_failure_rate}: a share of all trials, 0 to 1")
        url = self._absolute_storage()
        plan, overrides = self._make_plan(arguments, url)
        folder = Path(self.sweep_dir).absolute() / plan.name
        left_behind = [*folder.glob("trial-*")]  # looked for first: another process may have just begun
        study = begin_study(url, plan)
        if left_behind and not study.get_trials(deepcopy=False):
            raise ConfigError(
                f"{folder} holds trials of another study of this name, which is not in {hide_password(url)}: move the "
                "folder away, or take another name by study=NAME"
            )
        queue = TrialQueue(study, plan, folder, began, None if self._is_grid() else self._sampler_for)
        if not queue.joins:
            study.set_user_attr("failures_allowed", math.floor(self.max_failure_rate * plan.trials))
            study.set_user_attr("failures_since", began.isoformat())

        with ExitStack() as stack:
            stack.enter_context(queue.hold_lock())
            screen = stack.enter_context(StudyMonitor(study, plan, queue.began, url, silent=worker))
            workers = self._start_workers(folder) if self._alone() else []
            common = self._common_overrides(plan, overrides)
            self._work(study, queue, common, url)
            if workers:
                for process in workers:
                    process.wait()
                self._work(study, queue, common, url)  # what one that was killed has left
            screen.update()
        if worker:
            return
        from frostline.search.outcome import show_results

        show_results(study, plan, folder, overrides, queue.began, self._logs_dir)
        if over_budget(study):
            raise TooManyFailures(
                f"study {plan.name!r} was stopped: {count_failures(study)} of {plan.trials} trials failed, more than "
                f"hydra.sweeper.max_failure_rate={self.max_failure_rate:g} allows; the reasons stand above and in "
                f"{folder}/trial-*/run.log. Mend the cause and give the same command again"
            )

    # --- plan --------------------------------------------------------------------------------------------------------

    def _make_plan(self, arguments: Sequence[str], url: str) -> tuple[Plan, list[str]]:
        """The plan, and the overrides that all of its trials share."""
        space, given = self._read(arguments)
        if not space and not arguments:
            raise ConfigError(
                "-m with nothing to search: give an option several values (freeze=0,80 or 'seed=range(3)') or a search "
                "(hparams_search=phase1), or leave out -m"
            )
        taken_over = self._take_over(url, space, given)
        overrides = [*(f"{k}={v}" for k, v in taken_over.items()), *given]
        base = self._compose(overrides, _first_of_each(space))
        self._logs_dir = Path(base.logs_dir)
        if base.preset and WORKER not in os.environ:
            print(base.preset, flush=True)
        cells = self._cells(space)
        trials = [self._compose(overrides, cell) for cell in cells or []]  # tells a wrong value before anything starts
        from frostline.data.dataset import fingerprint_data  # torch takes seconds to import: after these checks
        from frostline.models.freezing import check_depths

        check_depths((c.model.name, c.freeze, c.freeze_unit) for c in trials or [base])

        plan = Plan(
            name=base.study if base.study != RunConfig(freeze=0).study else _name_of_grid(space),
            objective=self._objective,
            space=space,
            cells=cells,
            trials=self.n_trials if cells is None else len(cells),
            pruner=self._pruner,
            fixed=_bearing(base, space, given),
            data=fingerprint_data(base.data, Path(base.logs_dir) / "cache"),
            first=self._usual(space, overrides) if cells is None else [],
        )
        if cells is None and WORKER not in os.environ:
            for name, value in _outside(self._compose(overrides, {}), space).items():
                print(f"note    {name}={value}, what a run has without the search, is not in the searched space")
        if self._start_from:
            self._refuse_other_data(open_study(url, self._start_from).user_attrs["frostline"], plan)
        return plan, overrides

    def _refuse_other_data(self, source: Mapping[str, Any], plan: Plan) -> None:
        """Settings are taken over on the same images in the same split: what chose them must not be tested on."""
        split = [k for k, v in source["fixed"].items() if k.startswith(SPLIT) and plan.fixed.get(k, v) != v]
        if source["data"] != plan.data or split:
            other = f"with {split[0]}={source['fixed'][split[0]]}" if split else "on other images"
            raise ConfigError(
                f"hydra.sweeper.start_from={self._start_from}: that study was made {other}, and its settings need not "
                "fit here, or were chosen by images that are test images now; search anew under another study=NAME, "
                "or take the defaults by hydra.sweeper.start_from=null"
            )

    def _common_overrides(self, plan: Plan, overrides: Sequence[str]) -> list[str]:
        """What every job is given beside its own settings; a search leaves the test set alone unless told otherwise."""
        common = [*overrides, f"study={plan.name}", *QUIET]
        if not _sets(overrides, "test"):
            common.append("test=false")
        if self.n_jobs > 1 and not _sets(overrides, "trainer.threads"):
            common.append(f"trainer.threads={max(1, (os.cpu_count() or 1) // self.n_jobs)}")
        return common

    def _absolute_storage(self) -> str:
        url = str(self.storage)
        file = url.removeprefix("sqlite:///")
        return f"sqlite:///{Path(file).absolute()}" if file != url else url

    def _read(self, arguments: Sequence[str]) -> tuple[dict[str, BaseDistribution], list[str]]:
        """Search space and fixed overrides: those of the preset, and over them those of the command line."""
        given = {a.split("=", 1)[0]: a for a in arguments}  # of an option given twice the last counts
        preset = [f"{k!s}={v}" for k, v in dict(self.params or {}).items() if k not in given]
        space: dict[str, BaseDistribution] = {}
        fixed: dict[str, Any] = {}
        deleted: list[str] = []
        for override in [*preset, *given.values()]:
            try:
                searched, kept, removed = create_params_from_overrides([override])
            except (ValueError, AssertionError, NotImplementedError) as error:
                raise ConfigError(f"{override}: {first_line(error)}") from None
            space |= searched
            fixed |= kept
            deleted += removed
        fixed_overrides = [given.get(name, f"{name}={value}") for name, value in fixed.items()]
        return space, [*fixed_overrides, *deleted]

    def _is_grid(self) -> bool:
        return isinstance(self.sampler, functools.partial) and self.sampler.func is optuna.samplers.GridSampler

    def _cells(self, space: Mapping[str, BaseDistribution]) -> list[dict[str, Any]] | None:
        """All combinations of a grid, the last option moving fastest; None when a sampler draws."""
        if not self._is_grid():
            return None
        try:
            values = [list(self._to_grid_sampler_choices(d)) for d in space.values()]
        except ValueError:
            raise ConfigError(
                "a grid takes choices and ranges; an interval needs a sampler: hydra/sweeper/sampler=tpe and "
                "hydra.sweeper.n_trials=N"
            ) from None
        return [dict(zip(space, cell, strict=True)) for cell in itertools.product(*values)]

    def _usual(self, space: Mapping[str, BaseDistribution], overrides: Sequence[str]) -> list[dict[str, Any]]:
        """The settings that runs have without the search, so that it does not end below them: of every optimiser."""
        groups = {name: d for name, d in space.items() if name in list_groups()}
        choices = [{name: c} for name, d in groups.items() if isinstance(d, CategoricalDistribution) for c in d.choices]
        configs = [self._compose(overrides, params) for params in ({}, *choices)]
        usual = [_settings_of(config, space) for config in configs]
        return [settings for i, settings in enumerate(usual) if settings not in usual[:i]]

    def _take_over(self, url: str, space: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
        """Best settings of the study `start_from`, but for what is searched or given here."""
        if self._start_from is None:
            return {}
        try:
            source = open_study(url, self._start_from)
            best = best_settings(source)
        except (ConfigError, LookupError):
            raise ConfigError(
                f"there is no finished study {self._start_from!r} to take the settings over from: run "
                f"`python train.py -m hparams_search=phase1 study={self._start_from}` first, or go on with the "
                "defaults by hydra.sweeper.start_from=null"
            ) from None
        taken = {k: v for k, v in best.settings.items() if k not in space and not _sets(given, k)}
        words = " ".join(f"{k}={v}" for k, v in taken.items())
        objective = source.user_attrs["frostline"]["objective"]
        source_of = f"study {self._start_from}, trial {best.trial} ({objective} {best.value:.3f})"
        print(f"taken over from {source_of}: {words}", flush=True)
        return taken

    def _compose(self, overrides: Sequence[str], params: Mapping[str, Any]) -> RunConfig:
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(
            self.config, [*overrides, *(f"{k}={v}" for k, v in params.items())]
        )
        return read_composed(config)

    # --- work --------------------------------------------------------------------------------------------------------

    def _alone(self) -> bool:
        """Whether this process runs the trials itself, one at a time."""
        return "BasicLauncher" in type(self.launcher).__name__

    def _start_workers(self, folder: Path) -> list[subprocess.Popen[bytes]]:
        """The same command, n_jobs - 1 times beside this one: nobody waits for the slowest of a batch."""
        if WORKER in os.environ:
            return []
        environment = child_environment() | {WORKER: str(os.getpid())}
        command = [sys.executable, "-m", "frostline.train", *sys.argv[1:]]
        workers = []
        for i in range(1, self.n_jobs):  # this process says what there is to say, also of their trials
            with (folder / ".locks" / f"worker-{i}.log").open("wb") as said:
                workers.append(
                    subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
                )
        return workers

    def _work(self, study: optuna.Study, queue: TrialQueue, common: Sequence[str], url: str) -> None:
        assert self.launcher is not None
        batch = 1 if self._alone() else self.n_jobs
        while not over_budget(study) and not _orphaned():
            trials = [trial for trial in (queue.ask() for _ in range(batch)) if trial is not None]
            if not trials:
                return
            jobs = [
                [*common, *_overrides_of(trial), f"trial.number={trial.number}", f"trial.storage={_quote(url)}"]
                for trial in trials
            ]
            returns: Sequence[JobReturn | None] = [None] * len(trials)
            try:
                returns = self.launcher.launch(jobs, initial_job_idx=trials[0].number)
            except BrokenProcessPool:
                log.warning("a worker process was killed; its trials are done again, one at a time")
                batch = 1  # or the trial that kills its process takes the others of its batch with it each time
            except Exception as error:
                for trial in trials:
                    fail_trial(study, trial.number, "error", f"launching failed: {first_line(error)}")
                raise
            for trial, back in zip(trials, returns, strict=True):
                _settle(study, trial, back)

    def _sampler_for(self, position: int) -> Any:
        """The sampler for the trial at `position`: built anew, so that a study gone on with never repeats itself."""
        from frostline.seeding import derive_seed

        seed = self._sampler_config.get("seed")
        return self._build_sampler(None if seed is None else derive_seed(int(seed), position))


def _settle(study: optuna.Study, trial: Trial, back: JobReturn | None) -> None:
    """Mark a trial that did not tell its end itself: its process died, or never came so far."""
    state = study.get_trials(deepcopy=False)[trial.number].state
    if state.is_finished():
        return
    kind, text = "died", "its process died"
    if back is not None:
        try:
            back.return_value  # noqa: B018  # raises what the job raised
        except Exception as error:
            kind, text = "error", first_line(error)
    fail_trial(study, trial.number, kind, text)


def _orphaned() -> bool:
    """Whether this is a worker whose sweep has gone."""
    return WORKER in os.environ and os.environ[WORKER] != str(os.getppid())


def _overrides_of(trial: Trial) -> list[str]:
    return [f"{name}={value}" for name, value in trial.params.items()]


def _first_of_each(space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {name: d.choices[0] if hasattr(d, "choices") else d.low for name, d in space.items()}  # type: ignore[attr-defined]  # ints and floats have one


def _settings_of(config: RunConfig, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The settings of `config`, where they lie in the space."""
    return {name: v for name, v in _values_of(config, space).items() if _holds(space[name], v)}


def _outside(config: RunConfig, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """The settings of `config` that do not."""
    return {name: v for name, v in _values_of(config, space).items() if not _holds(space[name], v)}


def _values_of(config: RunConfig, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    flat = flatten(asdict(config))
    values = {name: flat.get(name, flat.get(f"{name}.name")) for name in space}
    return {name: v for name, v in values.items() if v is not None}


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, (int, float)) and distribution._contains(distribution.to_internal_repr(value))


def _name_of_grid(space: Mapping[str, Any]) -> str:
    return "-".join(["grid", *(re.sub(r"\W+", "_", name) for name in space)])


def _bearing(config: RunConfig, space: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The options that bear on a result, but for those that are searched; of a searched group those that are given."""
    flat = flatten(asdict(config))
    searched = [k for k in flat if any(k == name or k.startswith(f"{name}.") for name in space)]
    # The classes are in the fingerprint of the data, and studies of before there was a choice do not name them.
    fixed = {k: v for k, v in flat.items() if not k.startswith(NO_BEARING) and k != "data.classes"}
    return {k: v for k, v in fixed.items() if k not in searched or (k not in space and _sets(given, k))}


def _sets(overrides: Sequence[str], name: str) -> bool:
    return any(o.split("=", 1)[0].lstrip("+") == name for o in overrides)


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
