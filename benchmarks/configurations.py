"""How often two equal configurations are said to differ: python benchmarks/configurations.py [PAIRS A ROW].

Simulates two configurations of the same accuracy (simulated.py) with some seeds each, on groups of the sizes of
IQ-OTH/NCCD, and compares them as `frostline compare` compares configurations, and as it compares the first network of
each. Prints the table of docs/evidence.md.
"""

import sys

import numpy as np
from simulated import draw_study

from frostline.evaluation.comparison import compare
from frostline.evaluation.configurations import compare_configurations
from frostline.task import LUNG


def main(pairs: int) -> None:
    """Print a row for every case."""
    print(
        "| groups | seeds | SD of seeds, points | said to differ, two networks | two configurations | covered | width |"
    )
    print("|---|---|---|---|---|---|---|")
    for groups in (20, 50, 150):
        for spread in (0.015, 0.043):
            for seeds in (2, 3, 5):
                rng = np.random.default_rng(3)
                found = []
                for _ in range(pairs):
                    right, group = draw_study(rng, groups, np.array([0.9, 0.9]), seeds, spread, correlation=0.3)
                    targets = group % 3
                    said = [
                        [0.1 + 0.7 * np.eye(3)[np.where(r, targets, (targets + 1) % 3)] for r in of_one]
                        for of_one in right
                    ]
                    (networks,) = compare([said[0][0], said[1][0]], targets, group, LUNG)
                    (pair,) = compare_configurations(said, targets, group, LUNG)
                    d = pair.differences["acc"]
                    found.append((networks.shown, pair.shown, d.upper - d.lower))
                shares = np.nanmean(np.array(found, float), 0)
                print(
                    f"| {groups} | {seeds} | {100 * spread:g} | {100 * shares[0]:.1f} % | {100 * shares[1]:.1f} % | "
                    f"{100 * (1 - shares[1]):.1f} % | {100 * shares[2]:.1f} points |",
                    flush=True,
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
