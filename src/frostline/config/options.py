"""What an option is: a dataclass field with its meaning, its choices, its limits, and whether it bears on a result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

MISSING: Any = "???"  # how OmegaConf spells a value that has to be given


def option(default: Any, meaning: str, choices: Collection[str] = (), *, bears: bool = True, **limits: float) -> Any:
    """A dataclass field with its meaning, its choices and its limits: `ge`, `gt`, `le`, `lt`.

    `bears` is False for what does not bear on what a training comes to: where it runs, what it is called, how it shows.
    """
    metadata = {"meaning": meaning, "choices": tuple(choices), "limits": limits, "bears": bears}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(options: type, *, bears: bool = True) -> Any:
    """A dataclass field that holds the options of another dataclass; without `bears` none of them does."""
    return field(default_factory=options, metadata={"bears": bears})


@cache
def bears_on_result(options: type, name: str) -> bool:
    """Whether the option with this full name bears on a result. One that is not known may: it is taken to."""
    head, _, rest = name.partition(".")
    for f in fields(options):
        if f.name == head:
            inner = get_type_hints(options)[head]
            return bool(f.metadata["bears"]) and (not is_dataclass(inner) or bears_on_result(inner, rest))  # type: ignore[arg-type]  # a class
    return True


LIMITS = {"ge": (">=", float.__ge__), "gt": (">", float.__gt__), "le": ("<=", float.__le__), "lt": ("<", float.__lt__)}


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "int | float": "a whole number or a share, 0.5 say,",
    "int | str": "auto, or a whole number",
    "bool": "true or false",
    "bool | int": "true, false or a whole number",
    "str": "a text",
    "list[int]": "a list of whole numbers",
    "list[str]": "a list of texts",
    "dict[str, str]": "a mapping of texts",
    "dict[str, int]": "a mapping of whole numbers",
    "dict[str, Any]": "a mapping",
    "Any": "a section of its own",
}


def list_options(section: type, prefix: str = "") -> dict[str, tuple[str, str]]:
    """All options of a dataclass and of those in it, by their full name: (what is allowed, meaning)."""
    hints = get_type_hints(section)
    found: dict[str, tuple[str, str]] = {}
    for f in fields(section):
        if is_dataclass(hints[f.name]):
            found.update(list_options(hints[f.name], f"{prefix}{f.name}."))
            continue
        kind = str(f.type).removesuffix(" | None")
        choices = f.metadata["choices"] or (get_args(hints[f.name]) if kind.startswith("Literal") else ())
        if choices:
            allowed = f"one of {', '.join(choices)}"
        else:
            limits = " and ".join(f"{LIMITS[name][0]} {at:.10g}" for name, at in f.metadata["limits"].items())
            allowed = _TYPES[kind] + (f" {limits}" if limits else "")
        found[f"{prefix}{f.name}"] = (allowed, f.metadata["meaning"])
    return found
