"""How often the claim card says "reproduced", and how often wrongly: python benchmarks/claims.py [REPEATS] [FILE].

A report whose network is truly right on 94 % has tested 153 independent images; here networks that are truly right on
94 % or less are tested on images of few groups, of the sizes in the study of docs/results.md. Right and wrong go
together within a group (a normal trait with correlation 0.6 of images of one group, 0.8 of the same image with two
seeds), and accuracy varies by 1.5 points (SD) from seed to seed where there are several. "Reproduced" is wrong where
the networks here are truly lower by the margin or more; at just the margin it has three times as many repetitions. Rows
that FILE has are kept: called again it goes on.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import norm

from frostline.evaluation.seeds import repeat
from frostline.report.published import of_counts
from frostline.report.reproduction import INCONCLUSIVE, NOT, REPRODUCED, judge
from frostline.task import Task
from frostline.text import percent

FILE = Path(__file__).parent / "results" / "claims.md"
TRUTH, IMAGES = 0.94, 153
SIZES = {  # of the groups; 135 images in 49 groups, 500 in 200
    135: (19, 16, 10, 8, 8, 7, 5, *[2] * 20, *[1] * 22),
    500: (*(16, 10, 8, 8, 8, 7, 5) * 4, *[2] * 80, *[1] * 92),
}
MARGINS, LOWER, SEEDS = (0.02, 0.05), (0.0, 0.02, 0.05, 0.09), (1, 3)
VERDICTS = (REPRODUCED, NOT, INCONCLUSIVE)
HEAD = (
    *("images", "groups", "seeds", "truly lower by, points", "repetitions"),
    *(f"margin {100 * margin:g}: {verdict}" for margin in MARGINS for verdict in VERDICTS),
)


def simulate(rng: np.random.Generator, truth: float, groups: np.ndarray, seeds: int) -> list[np.ndarray]:
    """Probabilities [N, 2] of every seed for images of class 0."""
    group, image = rng.normal(size=groups.max() + 1)[groups], rng.normal(size=len(groups))
    moved = truth + (rng.normal(scale=0.015, size=seeds) if seeds > 1 else np.zeros(1))
    trait = np.sqrt(0.6) * group + np.sqrt(0.2) * image + np.sqrt(0.2) * rng.normal(size=(seeds, len(groups)))
    wrong = trait > norm.ppf(np.minimum(moved, 0.999))[:, None]
    return [*np.eye(2)[wrong.astype(int)]]


def cell(images: int, seeds: int, lower: float, repeats: int) -> list[str]:
    """The cells of a row."""
    rng = np.random.default_rng([images, seeds, round(100 * lower)])
    groups, task = np.repeat(np.arange(len(SIZES[images])), SIZES[images]), Task(("a", "b"))
    targets = np.zeros(images, int)
    verdicts: dict[float, list[str]] = {margin: [] for margin in MARGINS}
    for _ in range(repeats):
        published = of_counts(int(rng.binomial(IMAGES, TRUTH)), IMAGES)
        ours = repeat(simulate(rng, TRUTH - lower, groups, seeds), targets, groups, task, ["acc"])["acc"]
        for margin in MARGINS:
            verdicts[margin].append(judge(ours, published, margin)[0])
    counts = [verdicts[m].count(v) for m in MARGINS for v in VERDICTS]
    return [str(repeats), *(percent(n / repeats) for n in counts)]


def main(repeats: int, file: Path) -> None:
    """Add the rows that the file does not have."""
    if not file.exists():
        file.write_text(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|\n")
    done = {tuple(line.strip("| ").split(" | ")[:4]) for line in file.read_text().splitlines()[2:]}
    for images, seeds, lower in product(SIZES, SEEDS, LOWER):
        key = (str(images), str(len(SIZES[images])), str(seeds), f"{100 * lower:g}")
        times = 3 if lower == max(MARGINS) else 1
        if key not in done:
            with file.open("a") as table:
                table.write(f"| {' | '.join([*key, *cell(images, seeds, lower, times * repeats)])} |\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, Path(sys.argv[2]) if len(sys.argv) > 2 else FILE)
