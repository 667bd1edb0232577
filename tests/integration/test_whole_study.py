"""The whole study in one command, killed and called again, of both networks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState

from frostline.data.manifest import read_manifest
from tests.conftest import TINY, Frostline
from tests.integration.studies import states, trials
from tests.integration.test_stop_and_resume import wait_for_epochs

FROSTLINE = Path(sys.executable).parent / "frostline"


def start_study(logs_dir: Path, name: str, *options: str) -> subprocess.Popen[str]:
    small = [o for o in TINY if not o.startswith(("freeze=", "model"))]
    flags = [o for o in options if o.startswith("--")]
    command = [
        str(FROSTLINE),
        "study",
        f"--name={name}",
        "--trials=2",
        "--depths=10,20",
        "--folds=0",
        "--repeats=1",
        *flags,
        "data=phantom",
        *small,
    ]
    command += ["trainer.checkpoint_seconds=1000", "logger=csv", f"logs_dir={logs_dir}", *{*options} - {*flags}]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=logs_dir,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in conftest.start
    )


@pytest.mark.slow
def test_a_killed_study_goes_on_and_looks_at_the_test_set_once_a_seed(tmp_path: Path) -> None:
    command = (tmp_path, "whole", "--seeds=2", "model=torchvision", "model.name=shufflenet_v2_x0_5")
    process = start_study(*command)
    wait_for_epochs(tmp_path / "whole-phase2" / "trial-0", 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    out, err = start_study(*command).communicate(timeout=600)
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

    out, _ = start_study(*command).communicate(timeout=600)
    assert "test set of this study: evaluated 2 times" in out  # nothing was done again


@pytest.mark.slow
def test_ctrl_c_stops_the_trial_in_peace_and_says_how_to_go_on(tmp_path: Path) -> None:
    options = ("model=torchvision", "model.name=shufflenet_v2_x0_5", "trainer.max_epochs=200")
    process = start_study(tmp_path, "calm", *options)
    wait_for_epochs(tmp_path / "calm-phase1" / "trial-0", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.startswith("stopped; go on with: frostline study ")
    assert err.count("\n") == 1
    (trial,) = trials(tmp_path, "calm-phase1")
    assert trial.user_attrs["failure"]["kind"] == "stopped"


def test_a_depth_that_the_network_does_not_have_is_told_before_phase_1(frostline: Frostline) -> None:
    code, out, err = frostline("study", "--depths=0,400", "model=torchvision", "model.name=resnet18")
    assert (code, out) == (2, "")
    assert err.startswith("error: freeze=400: this backbone has ")
    code, _, err = frostline("study", "study=mine")
    assert (code, err) == (2, "error: study=NAME: here a study is named by --name NAME\n")


@pytest.mark.slow
def test_efficientnet_goes_the_whole_way_and_stands_beside_resnet(tmp_path: Path, frostline: Frostline) -> None:
    finals = []
    for model in ("resnet101", "efficientnet_b3"):
        study = start_study(tmp_path, model, "--seeds=1", f"model={model}")
        _, err = study.communicate(timeout=600)
        assert (study.returncode, err) == (0, "")
        assert (tmp_path / f"{model}-phase2" / "freezing.png").stat().st_size > 0
        finals.append(str(tmp_path / f"{model}-final" / "trial-0"))
    code, out, err = frostline("compare", *finals)
    assert (code, err) == (0, "")
    assert "model.name=resnet101" in out
    assert "model.name=efficientnet_b3" in out
    code, _, err = frostline("report", str(tmp_path), "--no-pictures")
    assert (code, err) == (0, "")
    page = re.sub(r"\s+", " ", (tmp_path / "report.html").read_text())
    for phase in ("phase1", "phase2", "final"):
        assert f"<h2>Study efficientnet_b3-{phase}</h2>" in page
    assert "efficientnet_b3, freeze " in page


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_ends_every_process_of_a_study(workers: int, tmp_path: Path) -> None:
    process = start_study(tmp_path, "ended", "trainer.max_epochs=500", f"hydra.sweeper.n_jobs={workers}")
    for i in range(workers):
        wait_for_epochs(tmp_path / "ended-phase1" / f"trial-{i}", 1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert "stopped; go on with: frostline study --name=ended" in err
    assert "Traceback" not in err
    assert states(tmp_path, "ended-phase1") == {"FAIL": workers}
    assert not subprocess.run(["pgrep", "-f", f"logs_dir={tmp_path}"], capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_study_on_folds_scores_every_patient_outside_of_a_test_set_that_stays_sealed(tmp_path: Path) -> None:
    flags = ("--folds=2", "--repeats=2", "--seeds=1")
    process = start_study(tmp_path, "folds", *flags, "model=torchvision", "model.name=shufflenet_v2_x0_5")
    out, err = process.communicate(timeout=900)
    assert (process.returncode, err) == (0, "")
    assert "each with 2 folds (2 settings, drawn by a sampler)" in out
    assert "val/acc is pooled over 2 folds, mean of 2 seeds" in out
    phase2 = [t for t in trials(tmp_path, "folds-phase2") if t.state == TrialState.COMPLETE]
    parts: dict[str, set[tuple[str, ...]]] = {}
    scored: dict[int, set[str]] = {}
    for t in phase2:
        examples = read_manifest(tmp_path / "folds-phase2" / f"trial-{t.number}" / "manifest.csv")
        for split in ("val", "test"):
            parts.setdefault(split, set()).add(tuple(sorted(e.path for e in examples if e.split == split)))
        scored.setdefault(t.params["freeze"], set()).update(e.path for e in examples if e.split == "val")
    assert (len(parts["test"]), len(parts["val"])) == (1, 2)
    (sealed,) = parts["test"]
    rest = {e.path for e in examples} - {*sealed}
    assert any(found == rest for found in scored.values())  # a depth that left the race may lack a fold
    assert not any(",test\n" in file.read_text() for file in tmp_path.glob("folds-phase*/trial-*/predictions.csv"))
    assert len(list(tmp_path.glob("folds-final/trial-*/metrics.json"))) == 1
    assert "test set of this study: evaluated once" in out
