"""The trials of a study: which count, which have died, and which comes next.

Everything a study needs to go on is in its database, in Optuna's own tables: any process that opens it may ask for a
trial, and a trial tells its own result. A file lets those on one machine ask one after the other; those on several may
ask at once, so whoever was given what somebody else was given before gives it back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from frostline.search.drawing import WITHOUT_MEMORY, draw
from frostline.search.failures import (
    MOST_DEATHS,
    deaths_of,
    ended_settings,
    fail_trial,
    over_budget,
    params_of,
    settled,
)
from frostline.search.liveness import MARKS, Watch, add_mark, is_held, lives_here
from frostline.search.race import has_left, look
from frostline.search.repeats import Key, Params, key_of, searched, settings_of
from frostline.search.space import draw_from, settings_in
from frostline.search.storage import asking_lock
from frostline.search.study import ABOUT, USUAL, Plan
from frostline.search.trials import note_lost, trials_of
from frostline.seeding import derive_seed

MOST_DRAWS = 10  # of new settings, where a sampler draws some that were run


class TrialQueue:
    """Hands out trials of a study, one after the other, to any number of processes: each is done, none twice."""

    def __init__(
        self,
        study: optuna.Study,
        plan: Plan,
        folder: Path,
        build_sampler: Callable[[int], BaseSampler] | None = None,
    ) -> None:
        self.study, self.plan = study, plan
        self.folder, self._build_sampler = folder, build_sampler
        locks = folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        self._one_at_a_time = asking_lock(study, locks)
        self._alive = FileLock(locks / f"sweeper-{os.getpid()}-{time.time_ns()}")
        self._watch = Watch(folder)
        self._every = None if plan.cells is not None else settings_in(searched(plan.space), plan.only_if)
        """All settings of a search without intervals: none of them is run twice."""
        with self._one_at_a_time:  # a lock that is just being taken would look like one that was left
            held = {left: is_held(left) for left in locks.glob("sweeper-*")}
            self._fail_dead()
            trials = study.get_trials(deepcopy=False)
            self.before = frozenset(
                t.number for t in trials if t.state.is_finished() and not lives_here(_asked_by(t), folder)
            )
            """The trials that had ended before this call, and those that it joins, began."""
            named = {mark["file"] for t in trials if not t.state.is_finished() for mark in t.user_attrs.get(MARKS, ())}
            for left in (left for left, alive in held.items() if not alive):
                if left.relative_to(folder).as_posix() not in named:  # or nobody could tell that it is not held
                    left.unlink(missing_ok=True)
            note_lost(study, folder)
        working = any(held.values()) or any(t.state == TrialState.RUNNING for t in trials)
        self.joins = working and not over_budget(study)
        """Whether other processes are at work on the study: this one is then part of the call that they began."""

    @contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Hold the lock by which others see that this process is alive."""
        with self._one_at_a_time:
            self._alive.acquire()
        try:
            yield
        finally:
            self._alive.release()

    def ask(self) -> Trial | None:
        """The next trial, its settings drawn, or None when all are done or being done."""
        with self._one_at_a_time:  # the sampler is built here too, or two processes would draw the same
            while True:
                self._fail_dead()
                trials = trials_of(self.study)
                draws_freely = False
                if not any(t.state == TrialState.WAITING for t in trials):
                    following = self._following(trials)
                    if following is None:
                        return None
                    draws_freely = not following
                    if following:
                        self.study.enqueue_trial(dict(following))
                trial = self.study.ask()
                if not draws_freely and not params_of(self.study.get_trials(deepcopy=False)[trial.number]):
                    fail_trial(self.study, trial.number, "twice", "what waited was given out elsewhere at that moment")
                    continue
                draw_from(trial, self.plan.space, self.plan.only_if)
                add_mark(trial, Path(self._alive.lock_file), self.folder)
                if not self._is_surplus(trial):
                    return trial
                fail_trial(self.study, trial.number, "twice", "the same was run, or given out elsewhere at that moment")

    def has_more(self) -> bool:
        """Whether `ask` would hand out a trial."""
        with self._one_at_a_time:
            trials = trials_of(self.study)
            return any(t.state == TrialState.WAITING for t in trials) or self._following(trials) is not None

    def others(self) -> list[int]:
        """The trials that other processes run, or seem to."""
        with self._one_at_a_time:
            self._fail_dead()
            return [t.number for t in trials_of(self.study, [TrialState.RUNNING])]

    def _fail_dead(self) -> None:
        for trial in self._watch.dead(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))):
            fail_trial(self.study, trial.number, "died", "its process died", self.folder / f"trial-{trial.number}")

    def _is_surplus(self, trial: Trial) -> bool:
        """Whether trials with lower numbers do, or have done, what this one would: those on other machines."""
        trials = trials_of(self.study)
        earlier = [t for t in self._taken(trials) if t.number < trial.number]
        # As read, with what the study had one value of before.
        params = next(t.params for t in trials if t.number == trial.number)
        twice = any(params_of(t) == params for t in earlier)
        if self.plan.cells is not None or len(self.plan.repeats) > 1:
            return twice
        return len(earlier) >= self.plan.trials or (twice and self._every is not None)

    def _taken(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return [*settled(trials, self.before), *(t for t in trials if t.state == TrialState.RUNNING)]

    def _following(self, trials: Sequence[FrozenTrial]) -> Params | None:
        """What is known of the parameters of the next trial; None when there is none."""
        taken = self._taken(trials)
        done = [params_of(t) for t in taken]
        whole, most = {key_of(d) for d in done}, max(map(len, done), default=0)
        failed = [t for t in trials if t.state == TrialState.FAIL]
        met = {key_of(t.params) for t in failed}

        def left(known: Sequence[Params]) -> list[Params]:
            """What is not taken; that which keeps killing its process comes last, so that it holds up nothing else."""
            new = [p for p in known if key_of(p) not in whole]
            open_ = [p for p in new if len(p) == most or not any(_is_part(p, d) for d in done)]
            return sorted(open_, key=lambda p: key_of(p) in met and len(deaths_of(p, failed)) >= MOST_DEATHS)

        ended = ended_settings(trials)
        if self.plan.cells is not None:
            standing = look(self.study, self.plan, self.before)
            usual = self.study.user_attrs.get(ABOUT, {}).get(USUAL, {})  # another call may give it several seeds now
            cells = [{**usual, **cell} for cell in self.plan.cells]
            going_on = [c for c in cells if key_of(settings_of(c)) not in ended and not has_left(standing, c)]
            return next(iter(left(going_on)), None)
        if len(self.plan.repeats) > 1:
            return self._next_repeat(trials, left, ended)
        if len(taken) >= self.plan.trials:
            return None
        known = [*(t.params for t in trials if t.state == TrialState.FAIL and t.params), *self.plan.first]
        if self._build_sampler is not None:
            self.study.sampler = self._build_sampler(len(taken))
        if begun := left(known):
            return begun[0]
        if self._every is None and not self.plan.only_if:
            return {}
        return self._new_of_few(trials, [t.params for t in taken])

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
        new = [s for s in self._every or () if key_of(s) not in drawn]
        return {**self._any_of(new, len(drawn)), **repeats[0]} if new else None

    def _new_of_few(self, trials: Sequence[FrozenTrial], done: Sequence[Params]) -> Params | None:
        """Settings that were not run, by the sampler as long as it draws new ones; None when all of few were.

        With conditions a space may be few settings where one option has one value, and intervals where it has another.
        """
        new = None if self._every is None else [s for s in self._every if s not in done]
        if new is not None and not new:
            return None
        if self._build_sampler is not None:
            for attempt in range(2 * MOST_DRAWS):
                sampler = self._build_sampler(len(done) + attempt * self.plan.trials)
                if type(sampler).__name__ not in WITHOUT_MEMORY:
                    break
                if attempt >= MOST_DRAWS:  # it insists on what was run: TPE does, where that is rarely drawn
                    sampler = RandomSampler(seed=derive_seed(attempt, len(done)))
                if (settings := draw(trials, self.plan, sampler, {})) not in done:
                    return settings
        return {} if new is None else self._any_of(new, len(done))

    def _any_of(self, settings: Sequence[Params], position: int) -> Params:
        """One of them by chance, which depends on the position in the study alone."""
        return settings[derive_seed(len(settings), position) % len(settings)]


def _is_part(params: Params, of: Params) -> bool:
    """Whether `params` are some of those that a trial has, and not all."""
    return len(params) < len(of) and params.items() <= of.items()


def _asked_by(trial: FrozenTrial) -> list[dict[str, Any]]:
    return list(trial.user_attrs.get(MARKS, ()))[:1]
