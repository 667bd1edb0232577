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
from frostline.search.failures import (
    MOST_DEATHS,
    deaths_of,
    ended_settings,
    fail_stale_trials,
    is_held,
    params_of,
    settled,
)
from frostline.search.race import has_left, look
from frostline.search.repeats import Key, Params, key_of, settings_of
from frostline.search.study import Plan

TRIAL_LOCK = ".trial.lock"
MOST_DRAWS = 10  # of new settings, where a sampler draws some that were run


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

        ended = ended_settings(trials)
        if self.plan.cells is not None:
            standing = look(self.study, self.plan, self._folder, self.began)
            going_on = [c for c in self.plan.cells if key_of(settings_of(c)) not in ended and not has_left(standing, c)]
            return next(iter(left(going_on)), None)
        if len(self.plan.repeats) > 1:
            return self._next_repeat(trials, left, ended)
        if len(taken) >= self.plan.trials:
            return None
        known = [*(t.params for t in trials if t.state == TrialState.FAIL), *self.plan.first]
        if self._build_sampler is not None:
            self.study.sampler = self._build_sampler(len(taken))
        return next(iter(left(known)), {})

    def _next_repeat(
        self, trials: Sequence[FrozenTrial], left: Callable[[Sequence[Params]], list[Params]], ended: set[Key]
    ) -> Params | None:
        """The next repeat of settings that were begun, else the first of new ones."""
        repeats = self.plan.repeats
        drawn = {key_of(s): s for t in trials if (s := settings_of(params_of(t)))}
        going = [s for key, s in drawn.items() if key not in ended]
        if begun := left([{**s, **repeat} for s in going for repeat in repeats]):
            return begun[0]
        if len(drawn) * len(repeats) >= self.plan.trials:
            return None
        first = [s for s in self.plan.first if not any(s.items() <= d.items() for d in drawn.values())]
        if self._build_sampler is None:
            return {**next(iter(first), {}), **repeats[0]}
        for attempt, given in enumerate([*first[:1], *({} for _ in range(MOST_DRAWS))]):
            sampler = self._build_sampler(len(drawn) + attempt * self.plan.trials)
            settings = draw(trials, self.plan, sampler, given)
            if key_of(settings) not in drawn:
                return {**settings, **repeats[0]}
        return None  # the space is finite, and all of it that the sampler draws was run
