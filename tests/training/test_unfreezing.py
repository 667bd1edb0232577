"""Arms beside the depth: which layers join when, and at which learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from frostline.config.compose import compose_config
from frostline.config.schema import UnfreezingConfig
from frostline.errors import ConfigError
from frostline.models.classifier import SliceClassifier
from frostline.runs.folder import RunFolder
from frostline.training.module import stages_waiting
from frostline.training.optimizers import build_optimizer
from frostline.training.recipe import train_once
from tests.conftest import TINY
from tests.models.built import built


def network(freeze: int) -> SliceClassifier:
    torch.manual_seed(0)
    return built("resnet18", freeze, "stage", 32)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (UnfreezingConfig(), [0, 0, 0, 0, 0, 0, 0, 0]),
        (UnfreezingConfig(head_epochs=3), [5, 5, 5, 0, 0, 0, 0, 0]),
        (UnfreezingConfig(head_epochs=1, stage_epochs=1), [5, 4, 3, 2, 1, 0, 0, 0]),
        (UnfreezingConfig(stage_epochs=2), [4, 4, 3, 3, 2, 2, 1, 1]),
    ],
)
def test_stages_join_from_the_last_to_the_first(config: UnfreezingConfig, expected: list[int]) -> None:
    assert [stages_waiting(config, 5, epoch) for epoch in range(8)] == expected


@pytest.mark.parametrize("freeze", [0, 2])
@pytest.mark.parametrize("waiting", [0, 3, 5])
def test_stages_that_wait_stay_bit_for_bit_and_the_others_move(freeze: int, waiting: int) -> None:
    net = network(freeze)
    optimizer = build_optimizer(net.learning_rate_groups(1.0, 1.0), "adamw", 0.01, 0.1)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.train()
    net.wait(waiting)
    net(torch.rand(4, 1, 32, 32)).square().sum().backward()
    optimizer.step()
    moved = {k.split(".")[1] for k, v in net.state_dict().items() if not torch.equal(v, before[k]) and k[:4] == "net."}
    stages = ["stem", "layer1", "layer2", "layer3", "layer4"]
    names = {"conv1": "stem", "bn1": "stem"}
    assert {names.get(m, m) for m in moved} == set(stages[max(freeze, waiting) :])
    net.wait(0)
    trained = {k.split(".")[1] for k, p in net.net.named_parameters(prefix="net") if p.requires_grad}
    assert {names.get(m, m) for m in trained} == set(stages[freeze:])


def test_learning_rates_fall_from_the_head_back() -> None:
    net = network(1)
    groups = net.learning_rate_groups(0.5, 10.0)
    assert [factor for factor, _ in groups] == [10.0, 0.5, 0.25, 0.125, 0.0625]
    assert {id(p) for _, params in groups for p in params} == {id(p) for p in net.parameters() if p.requires_grad}
    optimizer = build_optimizer(groups, "adam", 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.005, 0.0025, 0.00125, 0.000625])
    ((factor, _),) = network(0).learning_rate_groups(1.0, 1.0)
    assert factor == 1.0


def test_the_head_learns_alone_and_a_stopped_run_goes_on_as_it_would_have(logs_dir: Path, tmp_path: Path) -> None:
    options = [*TINY, "logger=csv", "test=false", f"logs_dir={logs_dir}", "trainer.max_epochs=4"]
    arm = [*options, "training=gradual", "trainer.checkpoint_seconds=0", "optimizer.layer_decay=0.7", "freeze=19"]

    def backbone(file: Path) -> dict[str, Tensor]:
        state = torch.load(file, weights_only=True)["state_dict"]
        return {k: v for k, v in state.items() if k.startswith("model.net.")}

    def stop(row: dict[str, float]) -> bool:
        raise RuntimeError("the power is cut")

    whole, stopped, frozen = (RunFolder(tmp_path / name) for name in ("whole", "stopped", "frozen"))
    train_once(compose_config([*options, "freeze=70", "trainer.max_epochs=1"]), frozen.path)
    with pytest.raises(RuntimeError, match="power"):
        train_once(compose_config(arm), stopped.path, stop)
    untouched, after_one = backbone(frozen.best_checkpoint), backbone(stopped.last_checkpoint)
    assert all(torch.equal(after_one[name], value) for name, value in untouched.items())

    train_once(compose_config(arm), whole.path)
    train_once(compose_config(arm), stopped.path)
    assert stopped.read_metrics()["val/loss"] == whole.read_metrics()["val/loss"]
    end = backbone(whole.best_checkpoint)
    assert any(not torch.equal(end[name], value) for name, value in untouched.items())


def test_stages_that_would_never_train_are_told(logs_dir: Path, tmp_path: Path) -> None:
    options = [*TINY, "logger=csv", "test=false", f"logs_dir={logs_dir}", "trainer.max_epochs=4", "training=gradual"]
    with pytest.raises(ConfigError, match=r"training.stage_epochs=2: after trainer.max_epochs=4 2 of the stages"):
        train_once(compose_config([*options, "training.stage_epochs=2"]), tmp_path / "run")


def test_a_head_that_would_stay_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^training.head_epochs=3: must be below trainer.max_epochs=3"):
        compose_config([*TINY, "training=lp_ft", "trainer.max_epochs=3"])
