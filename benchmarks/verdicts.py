"""Error rate and power of the verdicts on depths: make verdicts, or python benchmarks/verdicts.py [STUDIES A ROW].

Simulates studies (simulated.py: one depth is best, the others are some points behind; three seeds that differ by 1.5
points, groups of the sizes of IQ-OTH/NCCD) and judges them as frostline does. Rows are appended to
benchmarks/results/verdicts.csv as they come: called again it goes on. Prints the tables of docs/evidence.md.
"""

import csv
import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from simulated import draw_study

from frostline.evaluation.best import Rivals, at_most_behind, behind_at_least
from frostline.evaluation.intervals import effective_groups
from frostline.evaluation.power import Planner

RESULTS = Path(__file__).parent / "results" / "verdicts.csv"
COLUMNS = (
    *("groups", "depths", "points behind", "seeds", "SD of seeds", "studies"),
    *("worse wrongly %", "no worse wrongly %", "worse rightly %", "no worse rightly %"),
)
MARGIN, SPREAD = 0.02, 0.015
Row = tuple[int, int, int, int, float]


def rows() -> list[Row]:
    """Groups, depths, points behind, seeds, spread of seeds."""
    made = [(n, t, p, 3, SPREAD) for n in (50, 150, 500) for t in (2, 5, 18) for p in (0, 2, 3, 5, 10)]
    made += [(n, 5, p, s, SPREAD) for n in (20, 50) for s in (2, 5) for p in (0, 10)]
    return [
        *made,
        *((50, t, p, 3, -SPREAD) for t in (5, 18) for p in (0, 10)),
    ]  # seeds of odd depths differ thrice as much


def rivals_of(right: np.ndarray, group: np.ndarray) -> Rivals:
    """What `freezing_curve` makes of networks that are `right`, bool [T, S, N], for accuracy."""
    sizes = np.bincount(group).astype(float)
    hits = np.stack([np.bincount(group, weights=r) for r in right.reshape(-1, len(group)).astype(float)])
    without = (hits.sum(1, keepdims=True) - hits) / (len(group) - sizes)
    moved = (without - without.mean(1, keepdims=True)) * np.sqrt((len(sizes) - 1) / len(sizes))
    return Rivals.of(right.mean(2), moved.reshape(*right.shape[:2], -1), effective_groups(group))


def levels_of(row: Row) -> np.ndarray:
    """Accuracies of the depths: the first is best."""
    levels = np.full(row[1], 0.92 - row[2] / 100)
    levels[0] = 0.92
    return levels


def draw(rng: np.random.Generator, row: Row) -> Rivals:
    """One study."""
    groups, _, _, seeds, spread = row
    levels = levels_of(row)
    if spread >= 0:
        return rivals_of(*draw_study(rng, groups, levels, seeds, spread))
    state = rng.bit_generator.state
    right, group = draw_study(rng, groups, levels, seeds, SPREAD)
    rng.bit_generator.state = state  # the same images and difficulties
    wild, _ = draw_study(rng, groups, levels, seeds, 3 * SPREAD)
    right[1::2] = wild[1::2]
    return rivals_of(right, group)


def judge(job: tuple[Row, int]) -> tuple[object, ...]:
    """Shares of studies, and of depths, in percent."""
    row, studies = job
    rng = np.random.default_rng(7)
    behind = levels_of(row).max() - levels_of(row)
    best, lost = behind == 0, behind > MARGIN - 1e-9
    found = []
    for i in range(studies):
        rivals = draw(rng, row)
        worse, _ = behind_at_least(rivals, i)
        no_worse = at_most_behind(rivals, MARGIN, i) <= MARGIN
        found.append(
            (
                worse[best].any(),
                no_worse[lost].any(),
                worse[~best].mean() if (~best).any() else np.nan,
                no_worse[~lost].mean(),
            )
        )
    return (*row, studies, *(f"{100 * share:.1f}" for share in np.array(found, float).mean(0)))


def check_plan(studies: int) -> None:
    """Effective groups that the formula asks for, by known variances and by pilots, and what simulation finds."""
    print(
        "\n| depths | asked for, variances of 3,000 groups | asked for by 40 pilots of 100: median, 10 to 90 % |",
        end="",
    )
    print(" power at the first, simulated | groups for 80 %, simulated |\n|---|---|---|---|---|")
    sizes = np.full(1, 6)
    for depths in (2, 5):
        rng = np.random.default_rng(3)
        levels = np.full(depths, 0.92)

        def study(groups: int, rng: np.random.Generator = rng, levels: np.ndarray = levels) -> Rivals:
            return rivals_of(*draw_study(rng, groups, levels, 3, 0.005, sizes=sizes))

        known = [Planner(study(3000), 0.03).groups_needed(3) for _ in range(9)]
        needed = int(np.median([n for n in known if n is not None]))
        asked = [Planner(study(100), 0.03).groups_needed(3) for _ in range(40)]
        low, middle, high = np.quantile([np.inf if n is None else n for n in asked], (0.1, 0.5, 0.9), method="nearest")
        power = {}
        for factor in (0.7, 0.85, 1.0, 1.2, 1.45):
            shown = [at_most_behind(study(int(factor * needed)), 0.03, i) <= 0.03 for i in range(studies)]
            power[needed * factor] = float(np.mean(shown))
        at = float(np.interp(0.8, [*power.values()], [*power]))
        pilots = f"{middle:.0f}, {low:.0f} to {high:.0f}"
        print(f"| {depths} | {needed} | {pilots} | {100 * power[needed]:.0f} % | {at:.0f} |", flush=True)


def check_agreement(studies: int) -> None:
    """Two depths that agree on nearly all images, the second behind by the margin: how often it is called no worse."""
    print(
        "\n| groups | accuracies | SD of seeds | shared difficulty | called no worse, wrongly |\n|---|---|---|---|---|"
    )
    for groups, spread, common in ((150, 0.0, 0.99), (300, 0.0, 0.99), (150, 0.005, 0.97), (150, 0.005, 0.95)):
        rng = np.random.default_rng(11)
        levels = np.array([0.98, 0.96])
        shown = [
            at_most_behind(rivals_of(*draw_study(rng, groups, levels, 3, spread, common=common)), MARGIN, i)[1]
            <= MARGIN
            for i in range(studies)
        ]
        print(f"| {groups} | 98 %, 96 % | {spread} | {common} | {100 * np.mean(shown):.1f} % |", flush=True)


def main(studies: int) -> None:
    """Simulate what is missing, and print."""
    there = read()
    done = {tuple(float(r[c]) for c in COLUMNS[:5]) for r in there}
    missing = [row for row in rows() if tuple(map(float, row)) not in done]
    if not there:
        RESULTS.write_text(",".join(COLUMNS) + "\n")
    with Pool(2) as pool, RESULTS.open("a", newline="") as file:
        for i, found in enumerate(pool.imap_unordered(judge, [(row, studies) for row in missing]), 1):
            csv.writer(file, lineterminator="\n").writerow(found)
            file.flush()
            print(f"row {i} of {len(missing)}", file=sys.stderr)
    print("|", " | ".join(COLUMNS), "|\n" + "|---" * len(COLUMNS) + "|")
    for r in sorted(read(), key=lambda r: [float(r[c]) for c in ("seeds", "groups", "depths", "points behind")]):
        print("|", " | ".join(r[c] for c in COLUMNS), "|")
    check_agreement(studies)
    check_plan(studies)


def read() -> list[dict[str, str]]:
    """Rows of the results."""
    if not RESULTS.is_file():
        return []
    with RESULTS.open(newline="") as lines:
        return [*csv.DictReader(lines)]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
