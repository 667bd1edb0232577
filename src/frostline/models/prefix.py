"""Cutting a network where its frozen part ends, so that what that part computes can be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torch.fx.passes.split_module import split_module
from torchvision.ops import StochasticDepth

# What these do hangs on the mode, on other images of the batch, or on chance.
MOODY = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.MultiheadAttention, StochasticDepth)
MOODY_NAMES = ("DropPath", "DropBlock2d", "PatchDropout")  # timm's
CHANCES = ("dropout", "stochastic_depth")
PREFIX, REST = "submod_0", "submod_1"


@dataclass(frozen=True)
class Cut:
    """A network in two: `prefix`, whose values are the same for an image in every epoch, and all that follows.

    Both share their modules with the network, so that training the one trains the other.
    """

    prefix: nn.Module
    rest: nn.Module | None
    order: tuple[int, ...]
    """Which of the prefix's values are the arguments of the rest."""

    def first(self, x: Tensor) -> tuple[Tensor, ...]:
        """The values at the cut for prepared images [N, 3, H, W]: tensors whose first axis is that of the images."""
        values = self.prefix(x)
        return values if isinstance(values, tuple) else (values,)

    def then(self, values: Sequence[Tensor]) -> Tensor:
        """What the network makes of them."""
        if self.rest is None:
            return values[0]
        out: Tensor = self.rest(*(values[i] for i in self.order))
        return out


class _WholeLayers(fx.Tracer):
    """Looks into no module that has parameters of its own, as the layer tables do not either, and into no moody one.

    A mode that is looked at while tracing would stay as it is now; that of a module may change.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = any(True for _ in m.parameters(recurse=False))
        return own or _is_moody(m) or super().is_leaf_module(m, module_qualified_name)


def _is_moody(module: nn.Module) -> bool:
    return isinstance(module, MOODY) or type(module).__name__ in MOODY_NAMES


def cut_at_frozen(net: nn.Module) -> Cut | None:
    """Cut `net`, as it is now frozen and in the mode it is in, after every step that needs nothing trained.

    None where nothing comes before, or where the steps cannot be told (a network that torch.fx cannot trace).
    """
    try:
        graph = _WholeLayers().trace(net)
    except Exception:  # torch.fx raises what the network's own control flow raises
        return None
    known: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op != "output" and set(node.all_input_nodes) <= known and _is_fixed(node, net):
            known.add(node)
    if not any(node.op == "call_module" for node in known):
        return None
    whole = split_module(fx.GraphModule(net, graph), net, lambda node: 0 if node in known else 1)
    calls = {node.target: node for node in whole.graph.nodes if node.op == "call_module"}
    if REST not in calls:
        return Cut(whole.get_submodule(PREFIX), None, ())
    order = []
    for value in calls[REST].args:
        if value is calls[PREFIX]:
            order.append(0)
        elif isinstance(value, fx.Node) and value.args and value.args[0] is calls[PREFIX]:
            order.append(int(value.args[1]))  # type: ignore[arg-type]  # operator.getitem(values, index)
        else:
            return None  # the rest takes the image itself, too
    return Cut(whole.get_submodule(PREFIX), whole.get_submodule(REST), tuple(order))


def _is_fixed(node: fx.Node, net: nn.Module) -> bool:
    """Whether a step gives the same for the same input, now and after more training."""
    if node.op == "call_module":
        module = net.get_submodule(str(node.target))
        moody = any(_is_moody(m) and m.training for m in module.modules())
        return not moody and not any(p.requires_grad for p in module.parameters())
    if node.op == "call_function" and getattr(node.target, "__name__", "") in CHANCES:
        return not (node.kwargs.get("training", False) or True in node.args)
    return node.op != "get_attr"
