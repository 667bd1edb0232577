"""Runs what is missing of a study: asks for trials, launches them as Hydra jobs, shows how the study stands."""

from __future__ import annotations

import functools
import logging
import math
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.exceptions import ExperimentalWarning
from optuna.trial import Trial, TrialState

from frostline.config.compose import read_composed
from frostline.config.foreign import check_files_of_job
from frostline.config.schema import RunConfig, SearchConfig
from frostline.errors import ConfigError, FrostlineError, first_line
from frostline.search.best import write_best
from frostline.search.clusters import LOST_JOBS, NotLaunched, cluster_of
from frostline.search.disk_space import free_space
from frostline.search.drawing import WITHOUT_MEMORY
from frostline.search.failures import count_failures, fail_trial, failure_of, is_answer, over_budget, settled
from frostline.search.liveness import MARKS, TRIAL_LOCK, beating
from frostline.search.monitor import StudyMonitor
from frostline.search.planning import Planned, plan_study
from frostline.search.queue import TrialQueue
from frostline.search.repeats import searched
from frostline.search.same_data import DataChanged, changed_files, keep_files
from frostline.search.space import holds, read_space, sets
from frostline.search.storage import absolute_storage
from frostline.search.study import begin_study, plan_for
from frostline.search.trials import trials_of
from frostline.search.workers import in_threads, is_orphaned, is_worker, jobs_of, start_workers, stop_workers
from frostline.text import hide_password

log = logging.getLogger("frostline")

TRUSTED = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")  # what the sampler's config may build
JOBS_ARE_QUIET = (
    "trainer.progress=false",
    "hydra.job_logging.loggers.frostline.handlers=[file]",
    "hydra.job_logging.root.handlers=[file]",
)
WAIT_S = 5.0


class TooManyFailures(FrostlineError):
    """More trials have failed than the study allows."""


class NothingComplete(FrostlineError):
    """No trial of a study has come to its end."""


class NotAllDone(FrostlineError):
    """A call has left trials undone."""


class StudyRunner:
    """One call of a study: `search` are its options, `config` is Hydra's whole config, without the trials' settings."""

    def __init__(self, search: SearchConfig, config: DictConfig, loader: ConfigLoader, launcher: Launcher) -> None:
        self._search, self._config, self._loader, self._launcher = search, config, loader, launcher
        self._is_worker = is_worker()
        self._is_alone = "BasicLauncher" in type(launcher).__name__
        """Whether this process runs the trials itself, one at a time."""
        self._cluster = cluster_of(launcher)
        """Where it hands them over one by one, each as a job of its own that waits for its turn."""
        self._known: dict[tuple[str, ...], DictConfig] = {}
        self._tidying = threading.Lock()
        self._jobs = self._devices = 1
        sampler = self._build_sampler(None)
        self._is_grid = isinstance(sampler, functools.partial) and sampler.func is optuna.samplers.GridSampler

    def run(self, arguments: Sequence[str]) -> None:
        """Run what is missing of the study that `arguments`, Hydra's overrides, describe.

        Raises `ConfigError` for what cannot be searched, `TooManyFailures` and `NothingComplete` at the end.
        """
        url = absolute_storage(self._search.storage)
        planned = self._plan(arguments, url)
        folder = Path(self._config.hydra.sweep.dir).absolute() / planned.plan.name
        left_behind = [*folder.glob("trial-*")]  # looked for first: another process may have just begun
        study = begin_study(url, planned.plan, changed_files(folder, planned.files))
        planned = replace(planned, plan=plan_for(study, planned.plan))
        plan = planned.plan
        self._devices = int(plan.fixed.get("trainer.devices", 1))
        if self._cluster is not None and self._search.n_jobs == "auto":
            raise ConfigError("hydra.sweeper.n_jobs=auto: counts the GPUs of this machine; give a cluster a number")
        self._jobs = jobs_of(self._search.n_jobs, self._devices)
        if left_behind and not study.get_trials(deepcopy=False):
            raise ConfigError(
                f"{folder} holds trials of another study of this name, which is not in {hide_password(url)}: move the "
                "folder away, or take another name by study=NAME"
            )
        keep_files(folder, planned.files)
        queue = TrialQueue(study, plan, folder, None if self._is_grid else self._sampler_for)
        if not queue.joins:
            most = plan.trials if plan.cells is not None else plan.trials // len(plan.repeats)  # settings fail once
            study.set_user_attr("failures_allowed", math.floor(self._search.max_failure_rate * most))
            study.set_user_attr("failures_from", len(study.get_trials(deepcopy=False)))

        with ExitStack() as stack:
            stack.enter_context(queue.hold_lock())
            screen = stack.enter_context(StudyMonitor(study, plan, queue.before, url, silent=self._is_worker))
            others = self._jobs - 1 if self._is_alone and not self._is_worker else 0
            workers = start_workers(folder, others, self._devices)
            stack.callback(stop_workers, workers)
            common = self._common_overrides(planned)
            self._work(study, queue, common, url)
            for process in workers:
                process.wait()
            while not self._is_worker and not over_budget(study) and self._wait_for_others(queue):
                self._work(study, queue, common, url)  # what one that was killed has left
            screen.update()
            if not self._is_worker and not over_budget(study):
                free_space(study, folder, self._search.keep_checkpoints, is_done=True)
        if not self._is_worker:
            grown = replace(planned, plan=plan_for(study, plan))  # by another call in the meantime
            self._conclude(study, grown, folder, queue.before)

    def _plan(self, arguments: Sequence[str], url: str) -> Planned:
        space, given = read_space(self._search.params, arguments, self._loader)
        if not space and not arguments:
            raise ConfigError(
                "-m with nothing to search: give an option several values (freeze=0,80 or 'seed=range(3)') or a search "
                "(hparams_search=phase1), or leave out -m"
            )
        if not self._is_grid and space and not searched(space):
            raise ConfigError(f"{', '.join(space)}: seeds and folds are run, not searched; leave out the sampler")
        planned = plan_study(
            self._search, space, given, self._compose, url, is_grid=self._is_grid, check_all=not self._is_worker
        )
        sampler = str(self._search.sampler.get("_target_", "")).rpartition(".")[2]
        if not self._is_grid and len(planned.plan.repeats) > 1 and sampler not in WITHOUT_MEMORY:
            raise ConfigError(
                f"hydra/sweeper/sampler: {sampler} cannot draw settings that are run with several seeds or folds; take "
                "tpe or random"
            )
        if not self._is_worker:
            for note in planned.notes:
                print(note, flush=True)
        return planned

    def _wait_for_others(self, queue: TrialQueue) -> bool:
        """Wait until nobody runs a trial any more, or there is one to do; returns whether there may be one."""
        others = queue.others()
        if others:
            trials = ", ".join(map(str, others))
            log.info(f"waiting for other processes, with trial {trials}; what dies is done again here")
        while others:
            time.sleep(WAIT_S)
            left = queue.others()
            if queue.has_more():
                return True
            others = left
        return queue.has_more()

    def _conclude(self, study: optuna.Study, planned: Planned, folder: Path, before: AbstractSet[int]) -> None:
        from frostline.search.outcome import show_results
        from frostline.search.tables import state_of

        best = show_results(study, planned.plan, folder, before, planned.logs_dir)
        if best is not None:
            write_best(folder, study.study_name, self._compose(planned.overrides, best))
        plan, reasons = planned.plan, f"the reasons stand above and in {folder}/trial-*/run.log"
        if over_budget(study):
            raise TooManyFailures(
                f"study {plan.name!r} was stopped: {count_failures(study)} of {plan.trials} trials failed, more than "
                f"hydra.sweeper.max_failure_rate={self._search.max_failure_rate:g} allows; {reasons}. Mend the cause "
                "and give the same command again"
            )
        trials = trials_of(study)
        if best is None:
            ends = Counter(state_of(t) for t in trials)
            states = ", ".join(f"{count} {state}" for state, count in ends.items())
            raise NothingComplete(f"study {plan.name!r}: no trial is complete ({states}); {reasons}")
        if undone := [t for t in settled(trials, before) if t.state == TrialState.FAIL and not is_answer(t)]:
            raise NotAllDone(
                f"study {plan.name!r}: {len(undone)} of {plan.trials} trials are not done, for they failed or their "
                f"process died; {reasons}. The same command tries them again"
            )

    def _common_overrides(self, planned: Planned) -> list[str]:
        """What every job is given beside its own settings; a search leaves the test set alone unless told otherwise."""
        common = [*planned.overrides, f"study={planned.plan.name}", *JOBS_ARE_QUIET]
        if not sets(planned.overrides, "test"):
            common.append("test=false")
        if not sets(planned.overrides, "trainer.threads") and (threads := self._threads_of_a_job()):
            common.append(f"trainer.threads={threads}")
        return common

    def _threads_of_a_job(self) -> int | None:
        """Its share of the processor; None where it is alone, or the cluster gives it one."""
        if self._cluster is not None:
            return self._cluster.threads_of_a_job
        return max(1, (os.cpu_count() or 1) // self._jobs) if self._jobs > 1 else None

    def _compose(self, overrides: Sequence[str], settings: Mapping[str, Any]) -> RunConfig:
        given = [*overrides, *(f"{k}={v}" for k, v in settings.items())]
        numbers = {k: v for k, v in settings.items() if isinstance(v, (bool, int, float))}
        rest = [o for o in given if o.partition("=")[0] not in numbers]
        if numbers and len(rest) == len(given) - len(numbers):  # Hydra composes once for all that differ by numbers
            with suppress(OmegaConfBaseException, ConfigError):
                config = self._composed(tuple(rest)).copy()
                for name, value in numbers.items():
                    OmegaConf.update(config, name, value)
                return read_composed(config)
        return read_composed(self._loader.load_sweep_config(self._config, given))  # which says what is wrong

    def _composed(self, given: tuple[str, ...]) -> DictConfig:
        if given not in self._known:
            self._known[given] = self._loader.load_sweep_config(self._config, list(given))
        return self._known[given]

    def _work(self, study: optuna.Study, queue: TrialQueue, common: Sequence[str], url: str) -> None:
        if self._cluster is None:
            self._work_in_batches(study, queue, common, url, 1 if self._is_alone else self._jobs)
            return
        self._cluster.prepare(queue.folder)
        in_threads(self._jobs, lambda failed: self._work_in_batches(study, queue, common, url, 1, failed))

    def _work_in_batches(
        self,
        study: optuna.Study,
        queue: TrialQueue,
        common: Sequence[str],
        url: str,
        batch: int,
        failed: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run trials, `batch` at a time, until there are none, or elsewhere something `failed`."""
        while not over_budget(study) and not is_orphaned() and not failed():
            trials = [trial for trial in (queue.ask() for _ in range(batch)) if trial is not None]
            if not trials:
                return
            jobs = [
                [*common, *_overrides_of(trial), f"trial.number={trial.number}", f"trial.storage={_quote(url)}"]
                for trial in trials
            ]
            self._refuse_foreign(study, queue, trials, jobs)
            returns: Sequence[JobReturn | None] = [None] * len(trials)
            try:
                with nullcontext() if self._is_alone else beating(trials):  # from before each job begins
                    returns = self._launcher.launch(jobs, initial_job_idx=trials[0].number)
            except BrokenProcessPool:
                log.warning("a worker process was killed; its trials are done again, one at a time")
                batch = 1  # or the trial that kills its process takes the others of its batch with it each time
            except Exception as error:
                cancelled = type(error).__name__ in LOST_JOBS  # before it began, it may be
                if self._cluster is None or not (cancelled or _has_begun(study, trials[0])):
                    said = " ".join(dict.fromkeys(line.strip() for line in str(error).splitlines() if line.strip()))
                    for trial in trials:
                        fail_trial(study, trial.number, "error", f"launching failed: {said}")
                    if self._cluster is not None:
                        raise NotLaunched(f"the cluster did not take a job: {said}") from error
                    raise
            for trial, back in zip(trials, returns, strict=True):
                _settle(study, trial, back)
            with self._tidying:
                free_space(study, queue.folder, self._search.keep_checkpoints, is_done=False)
            every = study.get_trials(deepcopy=False)
            for failure in (failure_of(every[t.number]) for t in trials if every[t.number].state == TrialState.FAIL):
                if failure["kind"] == "data":
                    raise DataChanged(failure["text"])

    def _refuse_foreign(
        self, study: optuna.Study, queue: TrialQueue, trials: Sequence[Trial], jobs: Sequence[Sequence[str]]
    ) -> None:
        """Raise `ConfigError` for settings out of the database that the space does not hold, and files of others."""
        try:
            for trial, job in zip(trials, jobs, strict=True):
                for name, value in trial.params.items():
                    if not holds(queue.plan.space[name], value):
                        raise ConfigError(f"trial {trial.number} of study {study.study_name} holds {name}={value}")
                check_files_of_job(sys.argv[1:], job)
        except ConfigError as error:
            for trial in trials:
                fail_trial(study, trial.number, "error", str(error))
            raise

    def _build_sampler(self, seed: int | None) -> Any:
        again: dict[str, Any] = {} if seed is None else {"seed": seed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # what conf/ chooses, it chooses knowingly
            return instantiate(self._search.sampler, **again, _execution_whitelist_=TRUSTED)

    def _sampler_for(self, position: int) -> Any:
        """The sampler for the trial at `position`: built anew, so that a study gone on with never repeats itself."""
        from frostline.seeding import derive_seed

        seed = self._search.sampler.get("seed")
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


def _has_begun(study: optuna.Study, trial: Trial) -> bool:
    """Whether the job of a trial came so far that it held the lock of its folder."""
    marks = study.get_trials(deepcopy=False)[trial.number].user_attrs.get(MARKS, ())
    return any(str(mark["file"]).endswith(TRIAL_LOCK) for mark in marks)


def _overrides_of(trial: Trial) -> list[str]:
    return [f"{name}={value}" for name, value in trial.params.items()]


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
