"""Settings and their repeats: seeds and folds are never searched, all of them are run, and scored as one."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

Params = Mapping[str, Any]
Key = tuple[tuple[str, Any], ...]

FOLDS = ("data.fold", "data.val_fold")
REPEATED = ("seed", *FOLDS)
CORRECT = "val/correct_by_class"  # attribute of a trial: by class how many validation images it gets right, of how many


def settings_of(params: Params) -> dict[str, Any]:
    """What is searched of a trial's parameters."""
    return {k: v for k, v in params.items() if k not in REPEATED}


def repeat_of(params: Params) -> dict[str, Any]:
    """Which repeat of its settings a trial is."""
    return {k: v for k, v in params.items() if k in REPEATED}


def key_of(settings: Params) -> Key:
    """The same for equal settings, in whatever order."""
    return tuple(sorted(settings.items()))


def searched(space: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """The options of a space that are no repeats."""
    return settings_of(space)


def order_repeats(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of the `values` of repeats, in the order in which they are run.

    Two seeds of the first fold, one of each other fold, the second of these, then further seeds over all: what seeds
    and what patients make of a score is known early (`evaluation.race.rounds_of`).
    """
    names = [name for name in REPEATED if name in values]
    every = [dict(zip(names, cell, strict=True)) for cell in itertools.product(*(values[n] for n in names))]
    seeds, first = [*values.get("seed", ())], next(iter(every), {})

    def is_early(repeat: Mapping[str, Any]) -> bool:
        return repeat.get("seed") in seeds[1:2] and all(repeat[n] == first[n] for n in FOLDS if n in repeat)

    return every[:1] + [r for r in every if is_early(r)] + [r for r in every[1:] if not is_early(r)]


def value_of(trials: Sequence[FrozenTrial], objective: str) -> float:
    """The objective of one setting over its complete `trials`: pooled over folds, then the mean over seeds.

    Pooled is what the metric is on the validation images of all folds together. Seeds that lack a fold which another
    seed has are left out. Trials of before kept no counts: of these it is the mean.
    """
    by_seed: dict[Any, list[FrozenTrial]] = defaultdict(list)
    for t in trials:
        by_seed[t.params.get("seed")].append(t)
    most = max(len(of_seed) for of_seed in by_seed.values())
    return statistics.mean(_pooled(of_seed, objective) for of_seed in by_seed.values() if len(of_seed) == most)


def _pooled(trials: Sequence[FrozenTrial], objective: str) -> float:
    counts = [t.user_attrs.get(CORRECT) or {} for t in trials]
    if len(trials) == 1 or not all(counts):
        return statistics.mean(t.value or 0.0 for t in trials)
    classes = {name for of_trial in counts for name in of_trial}
    totals = [[sum(c.get(name, (0, 0))[i] for c in counts) for i in (0, 1)] for name in sorted(classes)]
    if objective == "val/balanced_acc":
        return float(statistics.mean(correct / images for correct, images in totals if images))
    correct, images = (sum(column) for column in zip(*totals, strict=True))
    return float(correct / images)


def by_settings(trials: Sequence[FrozenTrial]) -> dict[Key, dict[Key, FrozenTrial]]:
    """The complete trials by settings and repeat; of a repeat done twice the first."""
    found: dict[Key, dict[Key, FrozenTrial]] = defaultdict(dict)
    for t in trials:
        if t.state == TrialState.COMPLETE:
            found[key_of(settings_of(t.params))].setdefault(key_of(repeat_of(t.params)), t)
    return found


def count_in_words(repeats: Sequence[Params]) -> str:
    """`5 folds and 2 seeds`."""
    count = {name: len({r[name] for r in repeats if name in r}) for name in (*FOLDS, "seed")}
    return " and ".join(f"{n} {'seeds' if name == 'seed' else 'folds'}" for name, n in count.items() if n > 1)


def repeats_in_words(repeats: Sequence[Params]) -> str:
    """How the score of settings comes about, such as `pooled over 5 folds, mean of 2 seeds`."""
    seeds = len({r.get("seed") for r in repeats})
    folds = count_in_words([{k: v for k, v in r.items() if k != "seed"} for r in repeats])
    return ", ".join([*([f"pooled over {folds}"] if folds else []), *([f"mean of {seeds} seeds"] if seeds > 1 else [])])
