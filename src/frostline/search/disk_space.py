"""Which trials of a study keep their checkpoints: those of its best settings, and those that were tested."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import TrialState

from frostline.runs.folder import RunFolder
from frostline.search.best import best_settings, rank_settings
from frostline.search.race import has_left, standing_of
from frostline.search.repeats import key_of, settings_of
from frostline.search.trials import trials_of

ALL = -1


def free_space(study: optuna.Study, folder: Path, keep: int, *, is_done: bool) -> None:
    """Remove the checkpoints of trials in `folder` whose settings are not among the `keep` best; `ALL`: of none.

    Settings that lack a repeat are left alone, for they may still come to be the best: among those that lack none a
    rank can only get worse. Of a study that is done, what dead trials have left to go on from goes too, where others
    have completed the same.
    """
    trials = trials_of(study)
    if is_done:
        complete = [t.params for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        for t in trials:
            if t.state == TrialState.FAIL and t.params in complete:
                run = RunFolder(folder / f"trial-{t.number}")
                run.drop_checkpoints()
                run.drop_weights()
    if keep == ALL:
        return
    ranked = rank_settings(study)
    best = {*ranked[:keep]}
    if keep and ranked:
        best.add(key_of(best_settings(study).settings))  # of a race it need not be the first
    over, standing = {*ranked} - best, standing_of(study)
    for t in trials:
        key = key_of(settings_of(t.params))
        left = standing is not None and has_left(standing, t.params, decided=False)
        goes = t.state == TrialState.PRUNED or (t.state == TrialState.COMPLETE and (key in over or left))
        if goes and key not in best and "test/acc" not in t.user_attrs:
            RunFolder(folder / f"trial-{t.number}").drop_weights()
