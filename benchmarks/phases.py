"""How phase 1 favours the depth it runs at: python benchmarks/phases.py [STUDIES A ROW].

Settings and depths are all equally good. Phase 1 chooses the setting with the highest score of one seed, at one depth;
phase 2 gives every depth two seeds. Where one of these is the seed of phase 1, that depth has the winner's training
again; with seeds of their own what is left is what the setting and the images of validation have in common. Prints how
often that depth comes out highest, and by how much it is too high. Writes benchmarks/results/phases.csv.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from simulated import draw_study
from verdicts import SPREAD

RESULTS = Path(__file__).parent / "results" / "phases.csv"
COLUMNS = (
    *("groups", "settings", "depths", "SD of seeds", "seeds of phase 2"),
    *("its depth is highest %", "by chance %", "too high by, points"),
)
ROWS = [(n, k, t, s) for n in (50, 150) for k, t in ((6, 8), (20, 14)) for s in (SPREAD, 2 * SPREAD)]


def rows_of(groups: int, settings: int, depths: int, spread: float, studies: int) -> list[tuple[object, ...]]:
    """Both kinds of seeds on the same draws; row 0 of `right` onwards are settings, the rest the other depths."""
    rng = np.random.default_rng(7)
    found: dict[str, list[tuple[bool, float]]] = {"one is that of phase 1": [], "others": []}
    for _ in range(studies):
        right, _ = draw_study(rng, groups, np.full(settings + depths - 1, 0.8), 3, spread)
        scores = right.mean(2)
        winner = scores[:settings, 0].argmax()
        rivals = np.vstack([scores[[winner]], scores[settings:]])
        for kind, seeds in (("one is that of phase 1", (0, 1)), ("others", (1, 2))):
            of_depths = rivals[:, seeds].mean(1)
            found[kind].append((bool(of_depths.argmax() == 0), 100 * (of_depths[0] - of_depths[1:].mean())))
    return [
        (groups, settings, depths, spread, kind, *(f"{m:.1f}" for m in (100 * first, 100 / depths, points)))
        for kind, values in found.items()
        for first, points in [np.mean(values, axis=0)]
    ]


def main(studies: int) -> None:
    """Simulate, write and print."""
    rows = [row for one in ROWS for row in rows_of(*one, studies)]
    with RESULTS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print("|", " | ".join(COLUMNS), "|\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("|", " | ".join(map(str, row)), "|")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
