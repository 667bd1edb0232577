"""A checkpoint carries what it tells apart, and refuses to be anything else; a run goes on from one that is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from frostline.config.compose import compose_config
from frostline.errors import FrostlineError, Stopped
from frostline.runs.folder import RunFolder
from frostline.training import callbacks
from frostline.training.checkpoints import RECORD, refuse_other_classes, usable_checkpoint
from frostline.training.recipe import train_once
from tests.conftest import Run


def test_a_checkpoint_carries_its_classes_and_refuses_others(tiny_run: Run) -> None:
    checkpoint = torch.load(tiny_run.folder / "model.ckpt", weights_only=True)
    assert checkpoint[RECORD]["classes"] == ["benign", "malignant", "normal"]
    assert checkpoint[RECORD]["positive"] == "malignant"
    refuse_other_classes({"classes": ["benign", "malignant", "normal"]}, checkpoint)
    for others in (["cyst", "tumour"], ["normal", "malignant", "benign"]):
        with pytest.raises(FrostlineError, match="to tell apart benign, malignant, normal; these data have"):
            refuse_other_classes({"classes": others}, checkpoint)


@pytest.fixture
def stopped(tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run of `tiny_run`, stopped after its second epoch of three."""
    folder = RunFolder(tmp_path / "run")
    keep = callbacks.keep_last

    def once_more(trainer, run):  # type: ignore[no-untyped-def]  # as keep_last
        keep(trainer, run)
        if trainer.current_epoch == 1:
            raise Stopped("here")

    monkeypatch.setattr(callbacks, "keep_last", once_more)
    with pytest.raises(Stopped):
        train_once(compose_config(tiny_run.overrides), folder.path)
    monkeypatch.setattr(callbacks, "keep_last", keep)
    return folder


@pytest.mark.parametrize("damaged", [(), ("last",), ("last", "previous")])
@pytest.mark.parametrize("how", ["cut", "a bit turned"])
def test_a_damaged_checkpoint_costs_an_epoch_and_not_the_run(
    stopped: RunFolder, tiny_run: Run, damaged: tuple[str, ...], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in damaged:
        file = stopped.path / f"{name}.ckpt"
        content = bytearray(file.read_bytes())
        if how == "cut":
            file.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
    whole = usable_checkpoint(stopped)
    assert (None if whole is None else whole.name) == {0: "last.ckpt", 1: "previous.ckpt", 2: None}[len(damaged)]
    caplog.clear()
    train_once(compose_config(tiny_run.overrides), stopped.path)
    assert sum("is damaged: it is left out" in r.message for r in caplog.records) == len(damaged)
    metrics = json.loads(stopped.metrics.read_text())
    for key in ("val/loss", "test/loss", "test/acc", "best_epoch", "epochs"):
        assert metrics[key] == tiny_run.metrics[key], key
    assert {f.name for f in stopped.path.glob("*.ckpt")} == {"model.ckpt", "last.ckpt"}  # for more epochs
    assert [*stopped.path.glob(".*.ckpt")] == []
