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
    never = [name for i, name in enumerate(task.classes) if all(i in n.never for n in networks)]
    if never:
        lines.append(f"{', '.join(never)}: never the likeliest class of a validation image; do not wait for it here")
    if task.positive is not None and any(n.threshold is None for n in networks):
        lines.append(f"no threshold of {task.positive} was chosen in training")
    unbounded = [sum(math.isinf(n.limits(coverage)[i]) for n in networks) for i in range(len(task))]
    always = [name for name, count in zip(task.classes, unbounded, strict=True) if 2 * count >= len(networks)]
    if always:
        lines.append(
            f"in every prediction set: {', '.join(always)}; sets that hold {percent(coverage)} of a class's images "
            f"take at least {groups_needed(coverage)} of its groups in validation"
        )
    return lines
