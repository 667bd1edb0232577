"""frostline finds how deep to freeze: transfer learning experiments on lung CT slices that one can trust.

From Python: `load`, `predict`, `train`, `read_run`, `layer_table`, `split`, `evaluate`, `compare` (docs/python.md).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frostline.api import compare, evaluate, layer_table, load, predict, read_run, split, train

__all__ = ["compare", "evaluate", "layer_table", "load", "predict", "read_run", "split", "train"]


def __getattr__(name: str) -> Any:
    """Found when it is asked for: torch takes seconds to import."""
    if name == "train":  # a module too, `python -m frostline.train`, which can be called
        import importlib

        return importlib.import_module("frostline.train")
    if name in __all__:
        from frostline import api

        return getattr(api, name)
    raise AttributeError(f"module 'frostline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
