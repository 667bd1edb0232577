"""Averaged weights are what validation scored, what is kept, and what a stopped run goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from frostline.config.compose import compose_config
from frostline.config.schema import TrainerConfig
from frostline.runs.folder import RunFolder
from frostline.training.averaging import AveragedWeights
from frostline.training.recipe import train_once
from tests.conftest import TINY

EPOCHS = 3


def averages(config: TrainerConfig, weights: list[float], first: int = 0) -> list[float]:
    """The average after each step of a single weight."""
    module = torch.nn.Linear(1, 1, bias=False)
    averaged = AveragedWeights(config)
    averaged._first = first
    model = torch.optim.swa_utils.AveragedModel(module, use_buffers=True, **averaged._kwargs)
    seen = []
    for value in weights:
        torch.nn.init.constant_(module.weight, value)
        model.update_parameters(module)
        seen.append(float(next(model.parameters()).detach()))
    return seen


def test_swa_is_the_plain_mean_of_the_last_steps_and_the_weights_themselves_before() -> None:
    got = averages(TrainerConfig(averaging="swa"), [8.0, 4.0, 1.0, 2.0, 6.0], first=2)
    assert got == pytest.approx([8.0, 4.0, 1.0, 1.5, 3.0])


def test_ema_forgets_the_start_and_then_moves_by_one_less_decay() -> None:
    got = averages(TrainerConfig(averaging="ema", averaging_decay=0.3), [0.0, 1.0, 1.0, 1.0])
    shares = [1 - min(0.3, (1 + n) / (10 + n)) for n in (1, 2, 3)]
    expected = 0.0
    for share, value in zip(shares, got[1:], strict=True):
        expected += share * (1.0 - expected)
        assert value == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.1, -3.7e-5, 1e8])
@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_what_does_not_move_stays_as_it_is_bit_for_bit(averaging: str, value: float) -> None:
    config = TrainerConfig(averaging=averaging)  # type: ignore[arg-type]  # one of its literals
    assert set(averages(config, [value] * 50)) == {float(torch.tensor(value))}


@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_the_average_is_scored_kept_and_gone_on_with(averaging: str, logs_dir: Path, tmp_path: Path) -> None:
    options = [*TINY, "logger=csv", "test=false", f"logs_dir={logs_dir}", f"trainer.averaging={averaging}"]
    options += [f"trainer.max_epochs={EPOCHS}", "trainer.checkpoint_seconds=0", "trainer.averaging_from=0.3"]

    def train(name: str, *more: str) -> RunFolder:
        train_once(compose_config([*options, *more]), tmp_path / name)
        return RunFolder(tmp_path / name)

    whole, plain = train("whole"), train("plain", "trainer.averaging=none")
    last = whole.read_history()[-1]
    # The kept network is scored once more at the end: its accuracy is the last epoch's, so the weights are the same.
    assert whole.read_metrics()["val/acc"] == pytest.approx(float(last["val/acc"]))
    assert whole.read_metrics()["val/loss"] == pytest.approx(float(last["val/loss"]), rel=1e-4)
    kept, other = (torch.load(f.best_checkpoint, weights_only=True)["state_dict"] for f in (whole, plain))
    assert any(not torch.equal(kept[name], other[name]) for name in kept)

    def stop(row: dict[str, float]) -> bool:
        if row["epoch"] == 1:
            raise RuntimeError("the power is cut")
        return False

    with pytest.raises(RuntimeError, match="power"):
        train_once(compose_config(options), tmp_path / "stopped", stop)
    stopped = train("stopped")
    assert stopped.read_metrics()["val/loss"] == whole.read_metrics()["val/loss"]
    again = torch.load(stopped.best_checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(again[name], kept[name]) for name in kept)
