"""A network as runs build it, of few options."""

from __future__ import annotations

from frostline.models.classifier import SliceClassifier, build_model


def built(name: str, freeze: int, unit: str = "layer", size: int = 64) -> SliceClassifier:
    """Random weights, a head of eight, three classes."""
    return build_model(
        name=name,
        weights=None,
        freeze=freeze,
        freeze_unit=unit,
        classes=3,
        head_widths=[8],
        dropout=0.0,
        activation="relu",
        bn_momentum=None,
        image_size=size,
    ).network
