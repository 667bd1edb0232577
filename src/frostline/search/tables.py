"""Tables of a study's trials and settings: for the screen, and as a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE
from rich.table import Table

from frostline.evaluation.intervals import Interval
from frostline.files import write_csv
from frostline.search.failures import SAME_AGAIN, failure_of, params_of
from frostline.search.monitor import WORDS, format_value
from frostline.search.race import Standing
from frostline.search.repeats import Key, by_settings, key_of, repeats_in_words, searched, settings_of, value_of
from frostline.search.study import Plan
from frostline.terminal import render_table

MOST_ROWS = 40


def interval_of(trial: FrozenTrial, objective: str) -> Interval | None:
    """The 95 % interval of a trial's value, by groups of images."""
    low, high = (trial.user_attrs.get(f"{objective}/{end}") for end in ("lower", "upper"))
    return None if low is None or high is None else (low, high)


def trials_table(trials: Sequence[FrozenTrial], plan: Plan) -> str:
    """The trials, highest first, as a table for the screen."""
    table = Table(box=SIMPLE, pad_edge=False)
    for column in ("trial", plan.objective, "95 % interval", "state", *plan.space, "epochs"):
        table.add_column(column, justify="left" if column == "state" else "right")
    ranked = sorted(trials, key=lambda t: (t.state != TrialState.COMPLETE, -(t.value or 0), t.number))
    for t in ranked[:MOST_ROWS]:
        value = "" if t.value is None else f"{t.value:.3f}"
        cells = (format_value(params_of(t).get(name, "")) for name in plan.space)
        ends = interval_of(t, plan.objective) if t.state == TrialState.COMPLETE else None
        interval = "" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
        table.add_row(str(t.number), value, interval, state_of(t), *cells, str(len(t.intermediate_values)))
    more = f"\nand {len(ranked) - MOST_ROWS} more in trials.csv" if len(ranked) > MOST_ROWS else ""
    return render_table(table) + more


def settings_table(
    trials: Sequence[FrozenTrial],
    plan: Plan,
    standing: Standing | None,
    asked: Mapping[Key, AbstractSet[Key]] | None = None,
) -> str:
    """The settings, highest first, each with its score over its complete trials and how it ended; for the screen.

    `asked` are the repeats that each setting is to have; None: those of the plan.
    """
    names = searched(plan.space)
    table = Table(box=SIMPLE, pad_edge=False)
    for column in (*names, plan.objective, "trainings", "ended"):
        table.add_column(column, justify="left" if column == "ended" else "right")
    together: dict[Key, list[FrozenTrial]] = defaultdict(list)
    for t in trials:
        together[key_of(settings_of(params_of(t)))].append(t)
    scored = {key: list(of.values()) for key, of in by_settings(trials).items()}
    value = {key: value_of(of, plan.objective) for key, of in scored.items()}
    ranked = sorted(together, key=lambda key: (-len(scored.get(key, ())), -value.get(key, 0.0)))
    for key in ranked[:MOST_ROWS]:
        settings, complete = dict(key), len(scored.get(key, ()))
        score = f"{value[key]:.3f}" if key in value else ""
        cells = (format_value(settings.get(name, "")) for name in names)
        count = len((asked or {}).get(key, ())) or len(plan.repeats)
        table.add_row(*cells, score, f"{complete} of {max(complete, count)}", ended(together[key], count, standing))
    more = f"\nand {len(ranked) - MOST_ROWS} more in trials.csv" if len(ranked) > MOST_ROWS else ""
    how = f"{plan.objective} is {repeats_in_words(plan.repeats)}, of the trainings that are complete"
    return f"{render_table(table)}{more}\n{how}; all trials are in trials.csv"


def ended(trials: Sequence[FrozenTrial], count: int, standing: Standing | None) -> str:
    """Why a setting, which is to have so many complete trials, got no further one, in a few words."""
    settings = settings_of(params_of(trials[0]))
    left = [] if standing is None else [one for one in standing.left if one.settings == settings]
    if left:
        return f"shown worse, by {100 * left[0].least:.1f} points or more"
    for t in trials:
        if t.state == TrialState.PRUNED:
            return f"pruned on trial {t.number}"
        if t.state == TrialState.FAIL and failure_of(t)["kind"] in SAME_AGAIN:
            return f"{WORDS[failure_of(t)['kind']]} on trial {t.number}"
    if sum(t.state == TrialState.COMPLETE for t in trials) >= count:
        return "complete"
    return "the race is decided" if standing is not None and standing.decided else "not done"


def state_of(trial: FrozenTrial) -> str:
    """The state of a trial in a word."""
    return WORDS[failure_of(trial)["kind"]] if trial.state == TrialState.FAIL else trial.state.name.lower()


def write_trials(file: Path, trials: Sequence[FrozenTrial], plan: Plan, standing: Standing | None = None) -> None:
    """One row for each trial: number, state, value and interval, settings, epochs, seconds, reason, folder.

    The last trial of settings that left a race says so.
    """
    rows = []
    why_last = {}
    for one in () if standing is None else standing.left:
        last = max(t.number for t in trials if settings_of(params_of(t)) == one.settings)
        why_last[last] = f"left the race: shown worse than the best, by {100 * one.least:.1f} points or more"
    for t in trials:
        reason = failure_of(t)["text"] if t.state == TrialState.FAIL else why_last.get(t.number, "")
        settings = (params_of(t).get(name, "") for name in plan.space)
        cost = len(t.intermediate_values), t.user_attrs.get("seconds", "")
        value = "" if t.value is None else t.value
        ends = interval_of(t, plan.objective) or ("", "")
        rows.append([t.number, state_of(t), value, *ends, *settings, *cost, reason, f"trial-{t.number}"])
    measured = (plan.objective, "lower", "upper")
    write_csv(file, ("trial", "state", *measured, *plan.space, "epochs", "seconds", "reason", "folder"), rows)
