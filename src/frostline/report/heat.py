"""Heat maps for a page: where a run's network looked, beside its mistakes."""

from __future__ import annotations

from pathlib import Path

from frostline.inference.explain import heat_of_file
from frostline.inference.network import load_network
from frostline.plots.explain import blend
from frostline.report.configurations import Shown
from frostline.report.images import jpeg_source
from frostline.runs.finished import FinishedRun
from frostline.runs.folder import RunFolder


class HeatMaps:
    """Of the images below `root`, by the network of `run`; made when they are asked for."""

    def __init__(self, run: FinishedRun, root: Path) -> None:
        self._network, self._root = load_network(RunFolder(run.folder).best_checkpoint), root

    def find(self, shown: Shown) -> str | None:
        """The slice with the heat map for the class that it is taken for, for `src`; None where it cannot be read."""
        made = heat_of_file(self._network, self._root / shown.example.path, shown.predicted)
        return None if made is None else jpeg_source(blend(*made), quality=80)
