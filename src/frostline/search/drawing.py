"""Draws settings by a sampler that knows settings, where a study runs each of them several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from frostline.search.failures import ended_settings
from frostline.search.repeats import Key, Params, key_of, searched, settings_of, value_of
from frostline.search.space import draw_from
from frostline.search.study import Plan

WITHOUT_MEMORY = ("TPESampler", "RandomSampler", "GPSampler")
"""Samplers that know a study by its trials alone, and keep nothing of their own in it."""


def draw(trials: Sequence[FrozenTrial], plan: Plan, sampler: BaseSampler, given: Params) -> dict[str, Any]:
    """New settings of `plan`, those `given` as they are.

    The sampler sees each setting once: with its score when all of its repeats are complete, as pruned when one of them
    was, not at all when one diverged or did not fit, else as running; so that five folds are one observation.
    """
    space, study = searched(plan.space), optuna.create_study(direction="maximize", sampler=sampler)
    together: dict[Key, list[FrozenTrial]] = defaultdict(list)
    for t in trials:
        if t.params:
            together[key_of(settings_of(t.params))].append(t)
    ended = ended_settings(trials)
    for key, of_settings in together.items():
        complete = [t for t in of_settings if t.state == TrialState.COMPLETE]
        pruned = [t for t in of_settings if t.state == TrialState.PRUNED]
        state, value, steps = TrialState.RUNNING, None, {}
        if pruned:
            state, value, steps = TrialState.PRUNED, pruned[0].value, pruned[0].intermediate_values
        elif len(complete) >= len(plan.repeats):
            state, value = TrialState.COMPLETE, value_of(complete, plan.objective)
        elif key in ended:
            continue
        study.add_trial(
            create_trial(
                state=state,
                value=value,
                params=dict(key),
                distributions={name: space[name] for name, _ in key},
                intermediate_values=steps,
            )
        )
    study.enqueue_trial(dict(given))
    return draw_from(study.ask(), space, plan.only_if)
