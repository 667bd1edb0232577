"""One seed out of several numbers."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int) -> int:
    """One seed out of several numbers, without the overlaps that a sum would have."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


def seed_of_training(seed: int, *folds: int | None) -> int:
    """What a training draws its chances from: `seed`, and on folds one of its own for each.

    Else the same start would be good or bad luck on all folds alike, which pooling them would not take out.
    """
    return (
        seed
        if all(fold is None for fold in folds)
        else derive_seed(seed, *(-1 if fold is None else fold for fold in folds))
    )
