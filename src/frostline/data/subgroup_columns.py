"""Columns of a user's tables by which results are told apart: scanner, sex, age."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from frostline.config.schema import DataConfig
from frostline.config.tables import read_table
from frostline.data.listed import PathIndex, column_by_path
from frostline.errors import ConfigError

MOST_NAMES = 20  # of a column that holds no numbers

Columns = tuple[tuple[str, str], ...]
"""By column, as `data.subgroups` names it, the value of an image; "" where no table says."""


def read_columns(config: DataConfig, root: Path, paths: Sequence[str]) -> list[Columns]:
    """What `data.patients`, `data.table` or `data.manifest`, the first that has it, say of every path in each column.

    Raises `ConfigError` for a column that none has, and for one of more than `MOST_NAMES` different texts.
    """
    files = [Path(file) for file in (config.patients, config.table, config.manifest) if file is not None]
    index = PathIndex(str(root), list(paths))
    found = [(column, _values(column, files, index)) for column in config.subgroups]
    return [tuple((column, values.get(path, "")) for column, values in found) for path in paths]


def _values(column: str, files: Sequence[Path], index: PathIndex) -> dict[str, str]:
    there: list[str] = []
    for file in files:
        table = read_table(file, ["path"], [column])
        if column in table.columns:
            values, _ = column_by_path(table, column, index)
            texts = sorted({v for v in values.values() if not _is_number(v)})
            if len(texts) > MOST_NAMES:
                raise ConfigError(
                    f"data.subgroups: column {column} of {file} has {len(texts)} different values, such as {texts[0]} "
                    f"and {texts[1]}; results can be told apart by at most {MOST_NAMES}, or by numbers"
                )
            return values
        there += table.names
    raise ConfigError(
        f"data.subgroups: no column {column} in {' or '.join(map(str, files))}; there are {', '.join(there)}"
    )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
