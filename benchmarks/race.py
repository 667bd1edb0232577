"""Error rate, power and cost of a race: python benchmarks/race.py [RACES A ROW].

Simulates studies over folds (simulated.py: one depth is best, the others are some points behind; three seeds that
differ by 1.5 points on every fold, groups of the sizes of IQ-OTH/NCCD dealt to five folds) and runs the race as
`hydra.sweeper.race` does: two seeds of the first fold, one of each other, then the second, then a third over all.
Prints the table of docs/evidence.md, and writes it to benchmarks/results/race.csv.
"""

import csv
import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from simulated import draw_study
from verdicts import MARGIN, SPREAD, rivals_of

from frostline.evaluation.best import behind_at_least
from frostline.evaluation.race import Fold, level_of, look_at, rivals_of_folds, rounds_of

RESULTS = Path(__file__).parent / "results" / "race.csv"
COLUMNS = (
    *(
        "groups",
        "depths",
        "points behind",
        "SD of seeds",
        "first fold",
        "races",
        "left wrongly %",
        "left or shown worse rightly %",
    ),
    *("the same by the full grid %", "trainings of the full grid %"),
)
FOLDS, SEEDS = 5, 3
Row = tuple[int, int, int, float, str]
ROWS: list[Row] = [(n, t, p, SPREAD, "alike") for n in (50, 150, 500) for t in (2, 8, 18) for p in (0, 5, 10)]
ROWS += [(n, t, 0, 2 * SPREAD, first) for first in ("alike", "easy") for n in (150, 500) for t in (2, 8)]
"""Groups, depths, points behind, spread of seeds, and whether all networks are right on the first fold."""


def run_race(right: np.ndarray, group: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Which depths leave, bool [T], and how many trainings were run, by `right`, bool [T, F, S, N]."""
    depths, folds, seeds, _ = right.shape
    rounds = rounds_of(folds, seeds)
    level = level_of(len(rounds))
    left, trainings, before = np.ones(depths, bool), 0, 0
    for done in rounds:
        trainings += int(left.sum()) * (sum(done) - before)
        before = sum(done)
        parts = []
        for fold, count in enumerate(done):
            inside = group % folds == fold
            correct = right[left, fold, :count][:, :, inside].astype(float)
            parts.append(Fold(correct, np.zeros(int(inside.sum()), int), group[inside]))
        now = look_at(rivals_of_folds(parts, balanced=False), MARGIN, level, seed)
        left[np.flatnonzero(left)[now.leaves]] = False
        if now.decided:
            break
    return ~left, trainings


def judge(job: tuple[Row, int]) -> tuple[object, ...]:
    """Shares of races, and of depths, in percent."""
    (groups, depths, points, spread, first), races = job
    rng = np.random.default_rng(5)
    levels = np.full(depths, 0.92 - points / 100)
    levels[0] = 0.92
    best = levels == levels.max()
    found = []
    for i in range(races):
        drawn, group = draw_study(rng, groups, levels, FOLDS * SEEDS, spread)
        right = drawn.reshape(depths, FOLDS, SEEDS, -1)
        if first == "easy":
            right[..., group % FOLDS == 0] = True
        out, trainings = run_race(right, group, i)
        pooled = np.stack([right[:, g % FOLDS, :, n] for n, g in enumerate(group)]).transpose(1, 2, 0)
        full, _ = behind_at_least(rivals_of(pooled, group), i)
        behind = (~best).any()
        found.append(
            (
                out[best].any(),
                out[~best].mean() if behind else np.nan,
                full[~best].mean() if behind else np.nan,
                trainings / (depths * FOLDS * SEEDS),
            )
        )
    shares = np.array(found, float).mean(0)
    return groups, depths, points, spread, first, races, *("" if s != s else f"{100 * s:.1f}" for s in shares)


def _key(row: list[str]) -> tuple[str, ...]:
    return tuple(row[:5])


def main(races: int) -> None:
    """Simulate every row that is missing, and print."""
    there = []
    if RESULTS.is_file():
        with RESULTS.open(newline="") as lines:
            there = [*csv.reader(lines)][1:]
    done = {_key(r) for r in there}
    if not there:
        RESULTS.write_text(",".join(COLUMNS) + "\n")
    with Pool(2) as pool, RESULTS.open("a", newline="") as file:
        for row in pool.imap(judge, [(row, races) for row in ROWS if tuple(map(str, row)) not in done]):
            csv.writer(file, lineterminator="\n").writerow(row)
            file.flush()
            there.append([str(x) for x in row])
    print("|", " | ".join(COLUMNS), "|\n|" + "---|" * len(COLUMNS))
    for r in sorted(there, key=lambda r: (r[4], float(r[3]), *map(int, r[:3]))):
        print("|", " | ".join(r), "|")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
