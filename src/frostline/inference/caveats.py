"""What is not known of the answers that networks give, in a line each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from frostline.evaluation.conformal import groups_needed
from frostline.inference.network import Network
from frostline.text import percent


def caveats(networks: Sequence[Network], coverage: float) -> list[str]:
    """What checkpoints do not hold, and what prediction sets of that coverage cannot say."""
    task, lines = networks[0].task, []
    if any(n.familiar is None for n in networks):
        lines.append("whether they are like the training images is not known: only runs that were tested keep these")
    if old := [n for n in networks if not n.finished]:
        lines.append(
            f"{old[0].file}: of an unfinished run, or made by an earlier version: its probabilities are not calibrated,"
            " and it has no threshold and no prediction sets"
        )
        return lines
    if task.positive is not None and any(n.threshold is None for n in networks):
        lines.append(f"no threshold of {task.positive} was chosen in training")
    always = [name for i, name in enumerate(task.classes) if any(math.isinf(n.limits(coverage)[i]) for n in networks)]
    if always:
        lines.append(
            f"in every prediction set: {', '.join(always)}; sets that hold {percent(coverage)} of a class's images "
            f"take at least {groups_needed(coverage)} of its groups in validation"
        )
    return lines
