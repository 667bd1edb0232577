"""How often prediction sets hold the true class: python benchmarks/sets.py.

Sets are made from a simulated validation set and tried on new simulated patients, 1000 times; images of a patient go
right and wrong together. Prints a Markdown table, in under a minute on one core.
"""

import numpy as np
from simulated import World

from frostline.evaluation.conformal import class_scores, limit, prediction_sets
from frostline.task import LUNG

REPEATS = 1000


def row(groups: int, correlation: float, accuracy: float, coverage: float) -> str:
    """Share of new images of each class, every patient counting once, whose set holds it; how large sets are."""
    world = World(groups, correlation, accuracy, harder=True)
    rng = np.random.default_rng(0)
    held: list[list[float]] = [[], [], []]
    sizes, always = [], np.zeros(3)
    for _ in range(REPEATS):
        probabilities, targets, of = world.draw(rng)
        limits = [limit(scores, coverage) for scores in class_scores(probabilities, targets, of)]
        always += np.isinf(limits)
        new, true, patients = world.draw(rng)
        sets = prediction_sets(new, limits)
        right = sets[np.arange(len(true)), true].astype(float)
        of_patient = np.bincount(patients, weights=right) / np.bincount(patients)
        class_of = true[np.unique(patients, return_index=True)[1]]
        for i in range(3):
            held[i].append(float(of_patient[class_of == i].mean()))
        sizes.append(float(sets.sum(1).mean()))
    cells = [f"{100 * np.mean(of):.1f}" for of in held]
    shares = ", ".join(f"{share / REPEATS:.0%}" for share in always).replace("%", " %")
    share = f"{100 * coverage:.0f} %"
    counts = ", ".join(map(str, world.counts))
    return f"| {share} | {counts} | {correlation:g} | {', '.join(cells)} | {np.mean(sizes):.2f} | {shares} |"


def main() -> None:
    """Print the table."""
    names = ", ".join(LUNG.classes)
    print(f"| asked | groups of {names} | correlation | held, % of images of {names} | classes a set | always in it |")
    print("|---" * 6 + "|")
    for coverage in (0.8, 0.9):
        for groups in (22, 44, 87, 200):
            for correlation in (0.3, 0.7):
                print(row(groups, correlation, 0.8, coverage), flush=True)


if __name__ == "__main__":
    main()
