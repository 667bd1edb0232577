"""The trials of a study: which count, which have died, and which comes next.

Everything a study needs to go on is in its database, in Optuna's own tables: any process that opens it may ask for a
trial, and a trial tells its own result. Whether a trial is alive is told by a lock on a file, which the system lets go
of when the process dies.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from frostline.search.drawing import draw
from frostline.search.failures import MOST_DEATHS, Params, deaths_of, fail_stale_trials, is_held, params_of, settled
from frostline.search.race import has_left, look
from frostline.search.repeats import key_of, settings_of
from frostline.search.study import Plan

TRIAL_LOCK = ".trial.lock"


class TrialQueue:
    """Hands out trials of a study, one after the other, to any number of processes: each is done, none twice."""

    def __init__(
        self,
        study: optuna.Study,
        plan: Plan,
        folder: Path,
        began: datetime,
        build_sampler: Callable[[int], BaseSampler] | None = None,
    ) -> None:
        self.study, self.plan = study, plan
        self._folder, self._build_sampler = folder, build_sampler
        locks = folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        self._one_at_a_time = FileLock(locks / "ask")
        self._alive = FileLock(locks / f"sweeper-{os.getpid()}-{time.time_ns()}")
        with self._one_at_a_time:  # a lock that is just being taken would look like one that was left
            held = {left: is_held(left) for left in locks.glob("sweeper-*")}
            for left in (left for left, alive in held.items() if not alive):
                left.unlink(missing_ok=True)
        since = study.user_attrs.get("failures_since")
        self.joins = any(held.values())
        """Whether other processes are at work on the study: this one is then part of the call that they began."""
        self.began = datetime.fromisoformat(since) if self.joins and since else began

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Hold the lock by which others see that this process is alive."""
        with self._one_at_a_time:
            self._alive.acquire()
            fail_stale_trials(self.study)
        try:
            yield
        finally:
            self._alive.release()

    def ask(self) -> Trial | None:
        """The next trial, its settings drawn, or None when all are done or being done."""
        with self._one_at_a_time:  # the sampler is built here too, or two processes would draw the same
            fail_stale_trials(self.study)
            trials = self.study.get_trials(deepcopy=False)
            if not any(t.state == TrialState.WAITING for t in trials):
                following = self._following(trials)
                if following is None:
                    return None
                if following:
                    self.study.enqueue_trial(dict(following))
            trial = self.study.ask(self.plan.space)
            locks = [self._alive.lock_file, str(self._folder / f"trial-{trial.number}" / TRIAL_LOCK)]
            trial.set_user_attr("locks", locks)
            return trial

    def _following(self, trials: Sequence[FrozenTrial]) -> Params | None:
        """What is known of the parameters of the next trial; None when there is none."""
        taken = [*settled(trials, self.began), *(t for t in trials if t.state == TrialState.RUNNING)]
        done = [params_of(t) for t in taken]

        def left(known: Sequence[Params]) -> list[Params]:
            """What is not taken; that which keeps killing its process comes last, so that it holds up nothing else."""
            open_ = [params for params in known if not any(params.items() <= d.items() for d in done)]
            return sorted(open_, key=lambda params: len(deaths_of(params, trials)) >= MOST_DEATHS)

        if self.plan.cells is not None:
            standing = look(self.study, self.plan, self._folder)
            return next(iter(left([cell for cell in self.plan.cells if not has_left(standing, cell)])), None)
        drawn = {key_of(s): s for t in trials if (s := settings_of(params_of(t)))}
        ended = {key_of(settings_of(t.params)) for t in settled(trials, self.began) if t.state != TrialState.COMPLETE}
        going = [s for key, s in drawn.items() if key not in ended]
        if begun := left([{**s, **repeat} for s in going for repeat in self.plan.repeats]):
            return begun[0]
        if len(drawn) * len(self.plan.repeats) >= self.plan.trials:
            return None
        first = [s for s in self.plan.first if not any(s.items() <= d.items() for d in drawn.values())]
        given = next(iter(first), {})
        if self._build_sampler is None:
            return {**given, **self.plan.repeats[0]}
        sampler = self._build_sampler(len(drawn))
        if len(self.plan.repeats) == 1:  # the study itself is what the sampler has to know
            self.study.sampler = sampler
            return {**given, **self.plan.repeats[0]}
        return {**draw(trials, self.plan, sampler, given), **self.plan.repeats[0]}
