"""One seed out of several numbers."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int) -> int:
    """One seed out of several numbers, without the overlaps that a sum would have."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")
