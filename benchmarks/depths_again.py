"""The study of docs/results.md told by comparisons with the best: python benchmarks/depths_again.py.

Of that study the table of trials was kept (results/depths/phase2.csv), not the predictions. Means and the spread of
seeds are its own. The variance over groups is what the intervals of the trials imply. How much of it the depths share,
since they fail on the same images, is not in the table: so it is told for several shares.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from frostline.evaluation.best import Rivals, at_most_behind, behind_at_least
from frostline.text import percent

TRIALS = Path(__file__).parent / "results" / "depths" / "phase2.csv"
EFFECTIVE, MARGIN = 17.3, 0.02  # groups of its validation images in effect, of 49


def main() -> None:
    """Print a row for each share."""
    values, half = defaultdict(list), []
    with TRIALS.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["state"] == "complete":
                values[int(row["freeze"])].append(float(row["val/acc"]))
                half.append((float(row["upper"]) - float(row["lower"])) / 2)
    depths = sorted(values)
    scores = np.array([values[d] for d in depths])
    count, seeds = scores.shape
    of_a_run = float(np.mean(np.square(half))) / 1.96**2
    print(
        "| variance over groups that the depths share | standard error of a difference | shown worse than the best |",
        end="",
    )
    print(" shown no worse by 2 points |\n|---|---|---|---|")
    for share in (0.0, 0.5, 0.8, 0.95):
        rivals = Rivals(
            means=scores.mean(1),
            of_groups=of_a_run * (share + (1 - share) / 2 * np.eye(count)),
            of_seeds=float(scores.var(1, ddof=1).mean()),
            of_images=0.0,
            few=np.zeros((count, count)),
            groups=EFFECTIVE,
            seeds=seeds,
            degrees=count * (seeds - 1),
        )
        worse, _ = behind_at_least(rivals)
        no_worse = at_most_behind(rivals, MARGIN) <= MARGIN
        names = [", ".join(str(d) for d, is_so in zip(depths, of, strict=True) if is_so) for of in (worse, no_worse)]
        error = float(np.median(rivals.standard_errors[np.triu_indices(count, 1)]))
        print(f"| {share:g} | {percent(error)} | {names[0] or 'none'} | {names[1] or 'none'} |")


if __name__ == "__main__":
    main()
