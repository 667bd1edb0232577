"""The network that is trained: what reaches the backbone, what leaves it, and every backbone that conf/ offers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from frostline.config.compose import compose_config
from frostline.errors import ConfigError
from frostline.installation import CONF_DIR
from frostline.models.backbones import build_backbone
from frostline.models.classifier import BuiltModel, SliceClassifier, build_model, turn
from frostline.models.layer_tables import layer_table
from frostline.models.weights import InputSpec

OPTIONS = {
    "weights": None,
    "freeze_unit": "layer",
    "classes": 3,
    "head_widths": [8],
    "dropout": 0.3,
    "activation": "relu",
    "bn_momentum": 0.05,
    "image_size": 64,
}


def built(name: str, freeze: int, **changed: object) -> BuiltModel:
    return build_model(name=name, freeze=freeze, **{**OPTIONS, **changed})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def efficientnet() -> BuiltModel:
    """EfficientNetB3 frozen to the end of block 4."""
    torch.manual_seed(0)
    net = build_backbone("efficientnet_b3")[0]
    stages = [layer.stage for layer in layer_table("efficientnet_b3", net)]
    return built("efficientnet_b3", stages.index("block5"))


class Same(nn.Conv2d):
    """A 3x3 convolution that gives back its input and keeps how it lay in memory."""

    def __init__(self) -> None:
        super().__init__(3, 3, 3, padding=1, bias=False)
        nn.init.dirac_(self.weight)
        self.got_channels_last = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.got_channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        return super().forward(x)


def through(spec: InputSpec) -> SliceClassifier:
    return SliceClassifier(Same(), nn.Identity(), [], spec)


def test_a_grey_image_reaches_three_channels_each_with_its_mean_and_deviation() -> None:
    images = torch.rand(2, 1, 5, 7)
    out = through(InputSpec((0.1, 0.2, 0.3), (1.0, 2.0, 4.0)))(images)
    for channel, (mean, std) in enumerate(((0.1, 1.0), (0.2, 2.0), (0.3, 4.0))):
        torch.testing.assert_close(out[:, channel], (images[:, 0] - mean) / std)


def test_a_image_is_turned_when_the_weights_want_it() -> None:
    images = torch.rand(2, 1, 5, 7)
    plain, turned = (through(InputSpec(ras_axes=t))(images) for t in (False, True))
    assert turned.shape == (2, 3, 7, 5)
    torch.testing.assert_close(turned, turn(plain))


def test_channels_last_is_read_off_the_kernels_and_given_to_the_images() -> None:
    network = through(InputSpec())
    images = torch.rand(2, 1, 8, 8)
    plain = network(images)
    assert (network.channels_last, network.net.got_channels_last) == (False, False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    torch.testing.assert_close(network(images), plain)
    assert (network.channels_last, network.net.got_channels_last) == (True, True)


def test_mean_and_deviation_are_not_in_a_checkpoint() -> None:
    """They come with the record of the weights; a checkpoint has parameters and statistics only."""
    assert set(through(InputSpec()).state_dict()) == {"net.weight"}


@pytest.mark.parametrize("file", sorted(CONF_DIR.glob("model/*.yaml")), ids=lambda file: file.stem)
def test_every_model_of_conf_is_built_with_its_own_freeze(file: object) -> None:
    choice = file.stem  # type: ignore[attr-defined]
    names = {"torchvision": ["model.name=mobilenet_v3_small"], "timm": ["model.name=timm/resnet18"]}
    named = names.get(choice, [])
    config = compose_config([f"model={choice}", *named])
    model = built(config.model.name, config.freeze)
    with torch.no_grad():
        assert model.network.eval()(torch.rand(2, 1, 64, 64)).shape == (2, 3)
    stages = [layer.stage for layer in model.table]
    frozen, trained = stages[: config.freeze], stages[config.freeze :]
    assert not set(frozen) & (set(trained) - {frozen[-1]} if frozen else set())
    norms = [m for m in model.network.net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.05}
    assert (model.weights, model.input) == ("random", InputSpec())


@pytest.mark.parametrize("name", ["resnet101", "resnet152", "efficientnet_b3"])
def test_own_freezes_end_at_an_eighth_of_the_image(name: str, shapes: Callable[[str], nn.Module]) -> None:
    net, freeze = shapes(name), compose_config([f"model={name}"]).freeze
    convolutions = [
        (row, net.get_submodule(path))
        for row, layer in enumerate(layer_table(name, net))
        for path in layer.modules
        if layer.name.endswith("conv")
    ]
    sides: list[int] = []
    hooks = [m.register_forward_hook(lambda m, i, out: sides.append(out.shape[-1])) for _, m in convolutions]
    net(torch.empty(1, 3, 64, 64, device="meta"))
    for hook in hooks:
        hook.remove()
    frozen = [side for (row, _), side in zip(convolutions, sides, strict=True) if row < freeze]
    trained = [side for (row, _), side in zip(convolutions, sides, strict=True) if row >= freeze]
    assert frozen[-1] == 8
    assert trained[:2] == [8, 4]  # the next block's first, 1x1 convolution, then its stride


def test_frozen_blocks_of_efficientnet_drop_nothing_in_training(efficientnet: BuiltModel) -> None:
    network = efficientnet.network.train()
    kinds = (nn.BatchNorm2d, torchvision.ops.StochasticDepth)
    blocks = network.net.get_submodule("features")
    training = [{m.training for m in block.modules() if isinstance(m, kinds)} for block in blocks]
    assert training[:2] == [{False}, {False, True}]  # a stage's first block has a drop that never runs
    x = torch.rand(8, 3, 64, 64)
    with torch.no_grad():
        features = [blocks[:5](x), blocks[:5](x), blocks[:5].eval()(x)]
        network.train()
        assert torch.equal(features[0], features[1])
        assert torch.equal(features[0], features[2])
        assert not torch.equal(blocks(x), blocks(x))


def test_the_digest_of_frozen_layers_sees_one_changed_bit(efficientnet: BuiltModel) -> None:
    network = efficientnet.network
    before = network.frozen_digest()
    counter = network.net.get_buffer("features.0.1.num_batches_tracked")
    counter += 1
    changed = network.frozen_digest()
    counter -= 1
    assert changed != before == network.frozen_digest()
    last = next(reversed(list(network.net.parameters())))
    with torch.no_grad():
        last += 1  # the top is trained
    assert network.frozen_digest() == before


def test_an_unknown_backbone_is_answered_with_near_names() -> None:
    with pytest.raises(ConfigError, match=r"model.name=resnet100: torchvision has no such network; near: .*resnet101"):
        build_backbone("resnet100")


@pytest.mark.parametrize("name", ["squeezenet1_0", "vit_b_16"])
def test_a_backbone_without_a_plain_classifier_is_refused_by_name(name: str) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=f"model.name={name}: its classifier is no fully"):
        build_backbone(name)


def test_a_freeze_out_of_range_is_told_before_weights_are_looked_for() -> None:
    with pytest.raises(ConfigError, match=r"freeze=1000: this backbone has 56 layers"):
        built("mobilenet_v3_small", 1000, weights="/no/such/file")


@pytest.mark.parametrize(("given", "expected"), [(None, 0.1), (0.05, 0.05)])
def test_batchnorm_learns_statistics_anew_where_the_weights_bring_none(given: float | None, expected: float) -> None:
    model = built("resnet18", 0, bn_momentum=given)
    momenta = {m.momentum for m in model.network.modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == {expected} == {model.bn_momentum}
