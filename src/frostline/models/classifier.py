"""The network that is trained: input, backbone with its first N layers frozen, head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from frostline.errors import ConfigError, first_line
from frostline.models.backbones import build_backbone, set_bn_momentum
from frostline.models.costs import Cost, frozen_share, layer_costs
from frostline.models.freezing import digest, freeze_first, hold_frozen
from frostline.models.head import build_head
from frostline.models.layer_tables import Layer, layer_table
from frostline.models.prefix import Cut, cut_at_frozen
from frostline.models.weights import InputSpec, find_weights, load_backbone


class SliceClassifier(nn.Module):
    """Grey images [N, 1, H, W] in 0..1 -> logits [N, classes]; the first layers of `net` are frozen."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        head: nn.Module,
        frozen: Sequence[nn.Module],
        spec: InputSpec,
        stages: Sequence[Sequence[nn.Module]] = (),
    ) -> None:
        super().__init__()
        self.net = net
        self.head = head
        self.ras_axes = spec.ras_axes
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)
        self._frozen = list(frozen)
        self._waiting: list[nn.Module] = []
        self.stages = tuple(tuple(stage) for stage in stages)
        """All modules of the backbone's stages, from its input on, the frozen ones included."""
        self._cuts: dict[bool, Cut] = {}
        self.train(self.training)

    def forward(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """Logits of images, or of what `frozen_values` made of them in the mode that the network is in."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """What the backbone makes of them, [N, D], before the head."""
        if isinstance(images, Tensor):
            out: Tensor = self.net(self._prepare(images))
            return out
        return self._cuts[self.training].then([self._in_layout(v) for v in images])

    def cut(self, training: bool) -> bool:
        """Find where the frozen part ends in training or in evaluation; whether there is such a place."""
        mode = self.training
        found = cut_at_frozen(self.train(training).net)
        self.train(mode)
        if found is not None:
            self._cuts[training] = found
        return found is not None

    @torch.no_grad()
    def frozen_values(self, images: Tensor, training: bool) -> tuple[Tensor, ...]:
        """What the frozen part makes of images in training or in evaluation; `cut` has to be called before."""
        mode = self.training
        self.train(training)  # a dropout in the frozen part is on in training alone
        try:
            return self._cuts[training].first(self._prepare(images))
        finally:
            self.train(mode)

    @property
    def cut_is_one(self) -> bool:
        """Whether the frozen part ends at one place in training and in evaluation: its values then serve both."""
        prefixes = [cut.prefix for cut in self._cuts.values()]
        return len(prefixes) == 2 and len({f"{prefix.code}{prefix}" for prefix in prefixes}) == 1

    def frozen_part(self, training: bool) -> str:
        """All that `frozen_values` hang on but the images: steps, layers, weights, input."""
        prefix = self._cuts[training].prefix
        return f"{prefix.code}{prefix}{digest([prefix])}{self.mean}{self.std}{self.ras_axes}{self.channels_last}"

    def _prepare(self, images: Tensor) -> Tensor:
        x = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        return self._in_layout(turn(x) if self.ras_axes else x)

    def _in_layout(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last and x.ndim == 4 else x

    @property
    def channels_last(self) -> bool:
        """Whether the convolutions' weights lie in memory with their channels last."""
        kernel = next(p for p in self.net.parameters() if p.ndim == 4)
        return kernel.is_contiguous(memory_format=torch.channels_last) and not kernel.is_contiguous()

    def train(self, mode: bool = True) -> SliceClassifier:
        """Training mode for all but the frozen layers, which normalise by the statistics that they came with."""
        super().train(mode)
        hold_frozen([*self._frozen, *self._waiting])
        return self

    def wait(self, stages: int) -> None:
        """Hold the first so many stages of the backbone as if they were frozen, and train what else is not frozen."""
        frozen = set(self._frozen)
        parts = [[m for m in stage if m not in frozen] for stage in self.stages]
        self._waiting = [m for stage in parts[:stages] for m in stage]
        for i, stage in enumerate(parts):
            for module in stage:
                module.requires_grad_(i >= stages)
        self.train(self.training)

    def learning_rate_groups(self, layer_decay: float, head_factor: float) -> list[tuple[float, list[nn.Parameter]]]:
        """The parameters that are trained, with the factor on the learning rate of each group, largest first.

        The head's is `head_factor`, the last stage's `layer_decay`, the one's before its square, as layer-wise decay is
        counted in BEiT (Bao et al. 2022, arXiv:2106.08254).
        """
        factor = {id(p): head_factor for p in self.head.parameters()}
        for back, stage in enumerate(reversed(self.stages), start=1):
            factor |= {id(p): layer_decay**back for module in stage for p in module.parameters()}
        groups: dict[float, list[nn.Parameter]] = {}
        for p in self.parameters():
            if p.requires_grad:
                groups.setdefault(factor[id(p)], []).append(p)
        return sorted(groups.items(), key=lambda group: -group[0])

    def frozen_digest(self) -> str:
        """SHA-256 over the frozen parameters and buffers; the same before and after training."""
        return digest(self._frozen)


def thumbnails(images: Tensor, side: int) -> Tensor:
    """Images [N, 1, H, W] as `side` x `side` means, float32 [N, side * side]."""
    return nn.functional.adaptive_avg_pool2d(images.float(), side).flatten(1)


def turn(images: Tensor) -> Tensor:
    """The usual image [..., H, W] as array axes X, Y of a RAS volume: the inverse of `img[::-1, ::-1].T`."""
    return images.flip(-1, -2).transpose(-1, -2)


@dataclass(frozen=True)
class BuiltModel:
    """A network and what a run's record says about it."""

    network: SliceClassifier
    table: list[Layer]
    weights: str
    input: InputSpec
    bn_momentum: float
    frozen_parameters: float
    frozen_multiply_adds: float


def build_model(
    *,
    name: str,
    weights: str | None,
    freeze: int,
    freeze_unit: str,
    classes: int,
    head_widths: Sequence[int],
    dropout: float,
    activation: str,
    bn_momentum: float | None,
    image_size: int,
) -> BuiltModel:
    """Build the network; random weights are drawn from torch's global generator.

    `bn_momentum` None is what suits the weights (`Weights.bn_momentum`).

    Raises `ConfigError` for a freeze count out of range and `FrostlineError` for weights that are not to be had.
    """
    net, features = build_backbone(name)
    table, costs = _describe(name, net, freeze_unit, image_size)
    frozen = freeze_first(net, table, freeze, freeze_unit)
    pretrained = find_weights(name, weights)
    load_backbone(net, pretrained)
    bn_momentum = pretrained.bn_momentum if bn_momentum is None else bn_momentum
    set_bn_momentum(net, bn_momentum)
    parameters, multiply_adds = frozen_share(costs, freeze)
    head = build_head(features, classes, head_widths, dropout, activation)
    stages: dict[str, list[nn.Module]] = {}
    for layer in table:
        stages.setdefault(layer.stage, []).extend(net.get_submodule(path) for path in layer.modules)
    network = SliceClassifier(net, head, frozen, pretrained.input, list(stages.values()))
    return BuiltModel(network, list(table), pretrained.source, pretrained.input, bn_momentum, parameters, multiply_adds)


def _describe(name: str, net: nn.Module, unit: str, image_size: int) -> tuple[tuple[Layer, ...], tuple[Cost, ...]]:
    """The layer table of `net`, the backbone called `name`, and what its rows cost; found once in a process."""
    key = name, unit, image_size
    if key not in _described:
        table = layer_table(name, net, unit)
        try:
            costs = layer_costs(net, table, image_size)
        except Exception as error:  # a network for one size of image alone says so in words of its own
            raise ConfigError(
                f"data.image_size={image_size}: {name} takes no such images ({first_line(error)[:120]})"
            ) from None
        _described[key] = tuple(table), tuple(costs)
    return _described[key]


_described: dict[tuple[str, str, int], tuple[tuple[Layer, ...], tuple[Cost, ...]]] = {}  # tracing takes half a second
