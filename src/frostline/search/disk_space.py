"""Which trials of a study keep their checkpoints: those of its best settings, and those that were tested."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import TrialState

from frostline.runs.folder import RunFolder
from frostline.search.best import best_settings, rank_settings
from frostline.search.repeats import key_of, settings_of
from frostline.search.study import Plan
from frostline.search.trials import trials_of

ALL = -1


def free_space(study: optuna.Study, plan: Plan, folder: Path, keep: int, *, is_done: bool) -> None:
    """Remove the checkpoints of trials in `folder` whose settings are not among the `keep` best; `ALL`: of none.

    While the study runs, settings that lack a repeat are left alone, for they may still come to be the best: among
    those that lack none a rank can only get worse.
    """
    trials = trials_of(study)
    if is_done:
        for t in trials:
            if t.state == TrialState.FAIL:
                RunFolder(folder / f"trial-{t.number}").drop_checkpoints()
    if keep == ALL:
        return
    ranked = rank_settings(study, of_repeats=None if is_done else len(plan.repeats))
    best = {key_of(settings) for settings, _ in ranked[:keep]}
    if is_done and keep and ranked:
        best.add(key_of(best_settings(study).settings))  # of a race it need not be the first
    over = {key_of(settings) for settings, _ in ranked[keep:]}
    for t in trials:
        key = key_of(settings_of(t.params))
        goes = (key not in best) if is_done else (key in over or t.state == TrialState.PRUNED)
        if goes and t.state in (TrialState.COMPLETE, TrialState.PRUNED) and "test/acc" not in t.user_attrs:
            run = RunFolder(folder / f"trial-{t.number}")
            if not run.path.is_symlink():  # what is elsewhere is not ours
                run.best_checkpoint.unlink(missing_ok=True)
