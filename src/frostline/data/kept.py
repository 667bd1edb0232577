"""Arrays that take long to compute, kept for the next run on the same files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from frostline.files import write_bytes


def kept_arrays(
    cache_dir: Path, name: str, key: str, compute: Callable[[], Mapping[str, np.ndarray]]
) -> Mapping[str, np.ndarray]:
    """What an earlier call with the same `name` and `key` computed; computed anew when it is gone or damaged."""
    file = cache_dir / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
    with suppress(OSError, ValueError, EOFError, BadZipFile), file.open("rb") as opened:
        return dict(np.load(opened))
    found = compute()
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(found)  # its stubs take every keyword for the flag `allow_pickle`
    np.savez(buffer, **arrays)
    with suppress(OSError):  # no room, or no right to: it is computed anew next time
        write_bytes(file, buffer.getvalue())
    return found
