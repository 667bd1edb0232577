"""The whole study in one command, killed and called again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import TINY
from tests.integration.test_multirun import states, trials
from tests.integration.test_stop_and_resume import wait_for_epochs

FROSTLINE = Path(sys.executable).parent / "frostline"


def start_study(logs_dir: Path) -> subprocess.Popen[str]:
    small = ("model.name=shufflenet_v2_x0_5", "trainer.checkpoint_seconds=1000", "logger=csv", "data=phantom")
    options = [o for o in TINY if not o.startswith("freeze=")]
    steps = ("--name=whole", "--trials=2", "--depths=10,20", "--seeds=2")
    command = [str(FROSTLINE), "study", *steps, *options, *small, f"logs_dir={logs_dir}"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=logs_dir
    )


@pytest.mark.slow
def test_a_killed_study_goes_on_and_looks_at_the_test_set_once_a_seed(tmp_path: Path) -> None:
    process = start_study(tmp_path)
    wait_for_epochs(tmp_path / "whole-phase2" / "trial-0", 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    out, err = start_study(tmp_path).communicate(timeout=600)
    assert err == ""
    assert states(tmp_path, "whole-phase1")["COMPLETE"] + states(tmp_path, "whole-phase1")["PRUNED"] == 2
    assert states(tmp_path, "whole-phase2") == {"COMPLETE": 2, "FAIL": 1}
    final = [t for t in trials(tmp_path, "whole-final") if t.state == TrialState.COMPLETE]
    assert [t.params["seed"] for t in final] == [0, 1]
    assert "test set of this study: evaluated 2 times" in out
    assert "test accuracy: " in out
    searched = [*tmp_path.glob("whole-phase*/trial-*/predictions.csv")]
    assert len(searched) == 4
    assert not any(",test\n" in file.read_text() for file in searched)

    out, _ = start_study(tmp_path).communicate(timeout=600)
    assert "test set of this study: evaluated 2 times" in out  # nothing was done again
