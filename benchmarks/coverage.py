"""How often intervals hold the truth: make coverage, or python benchmarks/coverage.py [DATA SETS A CELL].

Simulates grouped predictions (simulated.py), computes every metric with its interval as a run does, and counts. Cells
are appended to benchmarks/results/coverage.csv as they come: called again it goes on. Prints the tables of
docs/evidence.md.
"""

import csv
import itertools
import sys
from collections import defaultdict
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from simulated import World, draw_study

from frostline.evaluation.catalog import named_metrics
from frostline.evaluation.comparison import compare
from frostline.evaluation.seeds import repeat
from frostline.evaluation.weighted_metrics import WeightedMetrics
from frostline.task import LUNG

RESULTS = Path(__file__).parent / "results" / "coverage.csv"
COLUMNS = ("kind", "groups", "correlation", "accuracy", "metric", "sets", "shown", "covered", "width")
GROUPS, CORRELATIONS, ACCURACIES = (10, 20, 50, 150), (0.0, 0.3, 0.9), (0.7, 0.9, 0.98)
Cell = tuple[str, int, float, float]


def cells() -> list[Cell]:
    """Kind, groups, correlation, accuracy."""
    grid = [*itertools.product(GROUPS, CORRELATIONS, ACCURACIES)]
    made = [("equal", *cell) for cell in sorted(grid, key=lambda cell: cell[0] == 150)] + [
        ("harder", *cell) for cell in grid if cell[0] in (20, 50)
    ]
    made += [(f"{n} seeds, SD {sd}", 50, 0.3, 0.9) for sd in (0.015, 0.043) for n in (1, 2, 3, 5)]
    return made + [("difference", n, c, 0.9) for n in (10, 20, 50, 150) for c in (0.0, 0.3, 0.9)]


def keys_of(cell: Cell) -> set[str]:
    """What is counted in a cell."""
    if cell[0] in ("equal", "harder"):
        return {m.key for m in named_metrics(LUNG) if not m.metric.no_interval}
    return {"acc", "said to differ"} if cell[0] == "difference" else {"acc"}


def simulate(job: tuple[Cell, int, set[str]]) -> list[tuple[object, ...]]:
    """Rows of one cell, one for each of these metrics."""
    (kind, groups, correlation, accuracy), sets, keys = job
    rng = np.random.default_rng(1)
    held: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)

    def count(key: str, low: float, high: float, truth: float) -> None:
        held[key].append((low == low, low <= truth <= high, high - low))

    if kind in ("equal", "harder"):
        world = World(groups, correlation, accuracy, kind == "harder")
        truth = WeightedMetrics(*world.population, LUNG, keys).once()
        for _ in range(sets):
            probabilities, targets, group = world.draw(rng)
            for key, found in repeat([probabilities], targets, group, LUNG, keys).items():
                count(key, *found.interval, truth[key])
    else:
        seeds = int(kind.split()[0]) if "seeds" in kind else 1
        spread = float(kind.split()[-1]) if "seeds" in kind else 0.0
        levels = np.full(1 if "seeds" in kind else 2, accuracy)
        for _ in range(sets):
            right, group = draw_study(rng, groups, levels, seeds, spread, correlation)
            targets = group % 3
            runs = [
                0.1 + 0.7 * np.eye(3)[np.where(r, targets, (targets + 1) % 3)] for r in right.reshape(-1, len(group))
            ]
            if "seeds" in kind:
                count("acc", *repeat(runs, targets, group, LUNG, ["acc"])["acc"].interval, accuracy)
            else:
                (pair,) = compare(runs, targets, group, LUNG)
                count("acc", pair.differences["acc"].lower, pair.differences["acc"].upper, 0.0)
                count("said to differ", 0.0, 1.0, 0.0 if pair.shown else 2.0)
    rows = []
    for key, of in held.items():
        shown = [o for o in of if o[0]]
        width = np.mean([o[2] for o in shown]) if shown else np.nan
        rows.append(
            (kind, groups, correlation, accuracy, key, sets, len(shown), sum(o[1] for o in shown), f"{width:.4f}")
        )
    return rows


def main(sets: int) -> None:
    """Simulate what is missing, and print."""
    there = read()
    done = defaultdict(set)
    for r in there:
        done[r["kind"], int(r["groups"]), float(r["correlation"]), float(r["accuracy"])].add(r["metric"])
    missing = [(cell, sets, keys) for cell in cells() if (keys := keys_of(cell) - done[cell])]
    if not there:
        RESULTS.write_text(",".join(COLUMNS) + "\n")
    with Pool(2) as pool, RESULTS.open("a", newline="") as file:
        for i, rows in enumerate(pool.imap_unordered(simulate, missing), 1):
            csv.writer(file, lineterminator="\n").writerows(rows)
            file.flush()
            print(f"cell {i} of {len(missing)}", file=sys.stderr)
    print_tables(read())


def read() -> list[dict[str, str]]:
    """Rows of the results, as text."""
    if not RESULTS.is_file():
        return []
    with RESULTS.open(newline="") as lines:
        return [*csv.DictReader(lines)]


def print_tables(rows: list[dict[str, str]]) -> None:
    """Lowest and highest coverage over correlations and accuracies; single metrics, seeds, differences."""
    single = [r for r in rows if r["kind"] in ("equal", "harder")]
    print("| metric |", " | ".join(f"{n} groups" for n in GROUPS), "|\n|---" + "|---" * len(GROUPS) + "|")
    for key in dict.fromkeys(r["metric"] for r in single):
        of_key = [[r for r in single if r["metric"] == key and int(r["groups"]) == n] for n in GROUPS]
        print(f"| {key} |", " | ".join(map(summary, of_key)), "|")
    for what in ("seeds", "difference"):
        print(f"\n| {what} | correlation | coverage, % | width, points |\n|---|---|---|---|")
        for r in rows:
            if what in r["kind"]:
                label = r["kind"] if what == "seeds" else f"{r['metric']}, {r['groups']} groups"
                share = 100 * int(r["covered"]) / max(1, int(r["shown"]))
                print(f"| {label} | {r['correlation']} | {share:.1f} | {100 * float(r['width']):.1f} |")


def summary(rows: list[dict[str, str]]) -> str:
    """`94 to 98, 12 to 40 wide`; how rarely there is an interval where that is not always."""
    known = [r for r in rows if int(r["shown"]) >= 50]
    if not known:
        return "none"
    covered = [100 * int(r["covered"]) / int(r["shown"]) for r in known]
    widths = [100 * float(r["width"]) for r in known]
    shown = sum(int(r["shown"]) for r in rows) / sum(int(r["sets"]) for r in rows)
    text = f"{min(covered):.0f} to {max(covered):.0f}, {min(widths):.0f} to {max(widths):.0f} wide"
    return text if shown > 0.995 else f"{text} (in {100 * shown:.0f} %)"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
