"""How two listings of the files of a data set differ, in words; without numpy, for options are checked with it."""

from __future__ import annotations

from collections.abc import Mapping

NAMED = 5  # files of a kind, in a message


def changes_in_words(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """How two listings of files, checksums by path, differ: by kind, the first few by name; "" where they do not."""
    kinds = {
        "changed": [path for path in then if path in now and now[path] != then[path]],
        "gone": [path for path in then if path not in now],
        "new": [path for path in now if path not in then],
    }
    named = {
        kind: ", ".join(p[:NAMED]) + (f" and {len(p) - NAMED} more" if len(p) > NAMED else "")
        for kind, p in kinds.items()
    }
    return "; ".join(f"{kind}: {paths}" for kind, paths in named.items() if paths)
