"""How a study stands, on the screen: a line for each trial that ends, and on a terminal one line for the whole."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Set as AbstractSet
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.text import Text

from frostline.search.failures import failure_of, params_of, settled
from frostline.search.repeats import count_in_words, key_of, searched
from frostline.search.study import Plan
from frostline.search.trials import trials_of
from frostline.text import duration, hide_password

log = logging.getLogger("frostline")

SECONDS = 2.0  # between two looks at the database


class StudyMonitor:
    """Follows a study through its database, so that it shows what other processes do too."""

    def __init__(self, study: optuna.Study, plan: Plan, before: AbstractSet[int], url: str, silent: bool) -> None:
        self._study, self._plan, self._before, self._silent = study, plan, before, silent
        self._url = url
        self._known: set[int] = set()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._started = time.monotonic()

    def __enter__(self) -> StudyMonitor:
        trials = trials_of(self._study)
        self._known = {t.number for t in trials if t.state.is_finished()}
        self._had = self._done(trials)
        if self._silent:
            return self
        how = "grid" if self._plan.cells is not None else f"{self._plan.trials // len(self._plan.repeats)} settings"
        how = f"{how}, drawn by a sampler" if self._plan.cells is None else how
        names = ", ".join(searched(self._plan.space)) or "the same settings"
        if len(self._plan.repeats) > 1:
            names += f", each with {count_in_words(self._plan.repeats)}"
        pruner = self._plan.pruner["name"]
        trials_in_words = "1 trial" if self._plan.trials == 1 else f"{self._plan.trials} trials"
        self._say(
            f"study   {self._plan.name}: {trials_in_words} of {names} ({how}), "
            f"maximising {self._plan.objective}{'' if pruner == 'none' else f', {pruner} pruner'}"
        )
        self._say(f"watch   optuna-dashboard {hide_password(self._url)}")
        if trials:
            self._say(f"        of an earlier call: {self._summary(trials)}")
        self._say("")
        if sys.stdout.isatty():
            self._live = Live(console=Console(), transient=True, auto_refresh=False, redirect_stderr=False)
            self._live.start()
        threading.Thread(target=self._follow, name="study-screen", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if not self._silent:
            self.update()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self) -> None:
        """Look at the study and show what is new."""
        if self._silent:
            return
        with self._lock:
            trials = trials_of(self._study)
            best = highest(trials)
            for t in trials:
                if t.state.is_finished() and t.number not in self._known:
                    self._known.add(t.number)
                    self._say(describe_trial(t, self._plan.objective, t is best and len(self._plan.repeats) == 1))
            if self._live is not None:
                self._live.update(Text(self._status(trials), overflow="ellipsis", no_wrap=True), refresh=True)

    def _follow(self) -> None:
        while not self._stop.wait(SECONDS):
            try:
                self.update()
            except Exception as error:  # a busy database; the next look will tell
                log.debug("the study could not be read: %r", error)

    def _say(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(Text(line))
        else:
            print(line, flush=True)

    def _summary(self, trials: list[FrozenTrial]) -> str:
        count = Counter(t.state for t in trials)
        words = [f"{self._done(trials)} of {self._plan.trials} done"]
        words += [f"{count[s]} {s.name.lower()}" for s in (TrialState.PRUNED, TrialState.RUNNING) if count[s]]
        failed = Counter(failure_of(t)["kind"] for t in trials if t.state == TrialState.FAIL)
        words += [f"{n} {WORDS[kind]}" for kind, n in failed.items()]
        return ", ".join(words)

    def _done(self, trials: list[FrozenTrial]) -> int:
        """How many trials of this call need not be run any more: a grid may have been asked for other cells before."""
        over = settled(trials, self._before)
        if self._plan.cells is None:
            return len(over)
        return len({key_of(t.params) for t in over} & {key_of(cell) for cell in self._plan.cells})

    def _status(self, trials: list[FrozenTrial]) -> str:
        words = [self._summary(trials)]
        if len(self._plan.repeats) == 1 and (best := highest(trials)) is not None:
            words.append(f"highest {best.value:.3f} (trial {best.number})")
        epochs = int(self._plan.fixed.get("trainer.max_epochs", 0))
        now = float(self._done(trials) - self._had)
        for t in trials:
            if t.state == TrialState.RUNNING and t.intermediate_values:
                seen = len(t.intermediate_values)
                words.append(f"trial {t.number}: epoch {seen}{f'/{epochs}' if epochs else ''}")
                now += seen / epochs if epochs else 0
        if now:
            elapsed = time.monotonic() - self._started
            words.append(f"{duration(elapsed / now * max(0, self._plan.trials - self._had - now))} left")
        return "  ".join(words)


def highest(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial with the highest value, of equal ones the first."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return max(complete, key=lambda t: (t.value or 0, -t.number), default=None)


WORDS = {
    "memory": "out of memory",
    "diverged": "diverged",
    "error": "failed",
    "died": "killed",
    "stopped": "stopped",
    "time": "out of time",
    "lost": "lost",
    "twice": "given back",
    "data": "not begun",
}


def describe_trial(trial: FrozenTrial, objective: str, best: bool) -> str:
    """One line on a finished trial."""
    settings = " ".join(f"{k}={format_value(v)}" for k, v in params_of(trial).items())
    seconds = trial.user_attrs.get("seconds")
    took = f"  {duration(seconds)}" if seconds is not None else ""
    head = f"trial {trial.number:>3}  "
    if trial.state == TrialState.COMPLETE:
        mark = "  highest so far" if best else ""
        return f"{head}{objective} {trial.value:.3f}  {settings}{took}{mark}"
    if trial.state == TrialState.PRUNED:
        last = max(trial.intermediate_values, default=0)
        return f"{head}pruned after epoch {last + 1} at {trial.value or 0:.3f}  {settings}{took}"
    failure = failure_of(trial)
    return f"{head}{WORDS[failure['kind']]}: {failure['text']}  {settings}{took}"


def format_value(value: object) -> str:
    """A setting as short as it can be read."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
