"""What the first N layers of a backbone are: a sentence, a table by stage or by layer, and plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.table import Table
from torch import nn

from frostline.models.costs import Cost, frozen_share, layer_costs
from frostline.models.freezing import check_count
from frostline.models.layer_tables import Layer, layer_table
from frostline.terminal import render_table
from frostline.text import percent

NAMES = {"layer": "layers", "weighted": "layers with weights", "stage": "stages"}  # by freeze_unit


@dataclass(frozen=True)
class Inventory:
    """The numbered layers of a network, what each costs at `image_size` pixels a side, and how many are frozen."""

    model: str
    unit: str
    image_size: int
    frozen: int
    layers: list[Layer]
    costs: list[Cost]

    @property
    def parameters(self) -> int:
        return sum(c.parameters for c in self.costs)

    @property
    def multiply_adds(self) -> int:
        return sum(c.multiply_adds for c in self.costs)


def take_inventory(model: str, net: nn.Module, unit: str, frozen: int, image_size: int) -> Inventory:
    """List the layers of `net`, torchvision's `model`. Raises `ConfigError` when it has fewer than `frozen`."""
    table = layer_table(model, net, unit)
    check_count(table, frozen, unit)
    return Inventory(model, unit, image_size, frozen, table, layer_costs(net, table, image_size))


def inventory_text(inventory: Inventory, every_layer: bool) -> str:
    """A sentence on the share that is frozen, and a table: a row for each stage, or for each layer."""
    i = inventory
    parameters, multiply_adds = frozen_share(i.costs, i.frozen)
    size = f"{i.multiply_adds / 1e9:.2f} G multiply-adds"
    sentence = (
        f"{i.model}: the first {i.frozen} of {len(i.layers)} {NAMES[i.unit]} frozen are {percent(parameters)} of its "
        f"{i.parameters:,} parameters\nand {percent(multiply_adds)} of its {size} at {i.image_size} px"
    )
    if not i.frozen:
        sentence = (
            f"{i.model}: {len(i.layers)} {NAMES[i.unit]}, none frozen; {i.parameters:,} parameters, {size}\n"
            f"at {i.image_size} px; --freeze N shows the share of the first N"
        )
    more = "" if every_layer else "\n\nEvery layer with its number: --all"
    return f"{sentence}\n\n{_table(i, every_layer)}{more}"


def inventory_json(inventory: Inventory) -> dict[str, Any]:
    """The same for programs, every layer."""
    i = inventory
    parameters, multiply_adds = frozen_share(i.costs, i.frozen)
    rows = [
        {
            "index": index,
            "name": layer.name,
            "module": " ".join(layer.modules),
            "stage": layer.stage,
            "frozen": index < i.frozen,
        }
        for index, layer in enumerate(i.layers)
    ]
    totals = {
        "layers": len(i.layers),
        "frozen": i.frozen,
        "parameters": i.parameters,
        "multiply_adds": i.multiply_adds,
        "frozen_parameters": parameters,
        "frozen_multiply_adds": multiply_adds,
    }
    return {"model": i.model, "unit": i.unit, "layers": rows, "totals": totals}


def _table(inventory: Inventory, every_layer: bool) -> str:
    i = inventory
    table = Table(box=None, pad_edge=False)
    for column in (
        ("index", "name", "module", "parameters", "")
        if every_layer
        else (*("stage", "layers", "parameters", "G multiply-adds", ""),)
    ):
        table.add_column(column, justify="right" if column in ("index", "parameters", "G multiply-adds") else "left")
    for stage, members in groupby(range(len(i.layers)), key=lambda index: i.layers[index].stage):
        indices = [*members]
        if not every_layer:
            table.add_row(stage, *_stage_cells(i, indices))
            continue
        table.add_section()
        table.add_row("", f"[bold]{stage}[/bold]")
        for index in indices:
            first, *others = i.layers[index].modules or ("",)
            parameters = i.costs[index].parameters
            table.add_row(
                str(index),
                i.layers[index].name,
                first + (f" + {len(others)}" if others else ""),
                f"{parameters:,}" if parameters else "",
                "frozen" if index < i.frozen else "",
            )
    return render_table(table)


def _stage_cells(inventory: Inventory, indices: Sequence[int]) -> tuple[str, ...]:
    i, (first, last) = inventory, (indices[0], indices[-1])
    costs = [i.costs[index] for index in indices]
    up_to = f"frozen up to {i.frozen - 1}" if first < i.frozen else ""
    return (
        f"{first} to {last}" if last > first else str(first),
        f"{sum(c.parameters for c in costs):,}",
        f"{sum(c.multiply_adds for c in costs) / 1e9:.2f}",
        "frozen" if last < i.frozen else up_to,
    )
