"""A trial says why it failed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frostline.config.compose import compose_config
from frostline.errors import FrostlineError
from frostline.search import objective
from frostline.search.failures import fail_trial
from frostline.search.objective import run_trial, why_failed
from frostline.search.patience import Patience
from frostline.search.study import begin_study, open_study
from frostline.training.module import Diverged
from tests.conftest import TINY
from tests.search.made_runs import images_of, write_run
from tests.search.plans import GRID


class UncompletedJobError(RuntimeError):
    """As submitit's, which is an extra."""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "memory",
            "batch 12 at 64 px does not fit",
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory", "batch 12"),
        (MemoryError(), "memory", "batch 12"),
        (Diverged("the train loss is nan"), "diverged", "the train loss is nan"),
        (FrostlineError("split val is empty"), "error", "split val is empty"),
        (KeyError("x"), "error", "KeyError: 'x'"),
        (
            UncompletedJobError("Job not requeued because: timed-out too many times."),
            "time",
            "time limit of the cluster",
        ),
    ],
)
def test_a_batch_that_does_not_fit_is_told_apart_from_a_bug(error: Exception, kind: str, text: str) -> None:
    found = why_failed(error, compose_config([]))
    assert found[0] == kind
    assert text in found[1]


def test_ctrl_c_in_the_middle_of_a_write_is_told_to_the_study(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_study(url, GRID).ask(GRID.space)

    def interrupted(*_: Any) -> None:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))  # held by this frame, as a pooled one would be
        connection.execute("INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, 'half', '1')")
        raise KeyboardInterrupt

    monkeypatch.setattr(objective, "train_once", interrupted)
    monkeypatch.setattr(Patience, "hurries", False)  # which a process that is stopped stays
    monkeypatch.setattr(objective, "check_same_data", lambda *_: None)  # the study is of no images
    options = [*TINY, f"logs_dir={tmp_path}", "study=depths", "trial.number=0", f"trial.storage={url}"]
    with pytest.raises(KeyboardInterrupt):
        run_trial(compose_config(options), tmp_path / "depths" / "trial-0")
    (trial,) = open_study(url, "depths").get_trials()
    assert trial.user_attrs["failure"]["kind"] == "stopped"


@pytest.mark.parametrize("ends", ["well", "by an error"])
def test_a_trial_that_was_taken_for_dead_leaves_its_result_out(
    ends: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    study = begin_study(url, GRID)
    study.ask(GRID.space)
    run_dir, examples = tmp_path / "depths" / "trial-0", images_of(0, groups=5)

    def trained(*_: Any) -> dict[str, Any]:
        write_run(run_dir, {"freeze": 10}, examples, np.ones(len(examples), bool))
        fail_trial(study, 0, "died", "its process died")  # by another host, which saw its beats stand still
        if ends == "by an error":
            raise FrostlineError("why")
        return {"state": "finished", "objective": 1.0}

    monkeypatch.setattr(objective, "train_once", trained)
    monkeypatch.setattr(objective, "check_same_data", lambda *_: None)  # the study is of no images
    options = [*TINY, f"logs_dir={tmp_path}", "study=depths", "trial.number=0", f"trial.storage={url}"]
    if ends == "well":
        run_trial(compose_config(options), run_dir)
        assert "trial 0 was taken for dead in the meantime" in caplog.text
    else:
        with pytest.raises(FrostlineError, match="why"):
            run_trial(compose_config(options), run_dir)
    (trial,) = open_study(url, "depths").get_trials()
    assert trial.user_attrs["failure"]["kind"] == "died"
