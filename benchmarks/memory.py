"""What memory alone reaches on a data set, by split: python benchmarks/memory.py DIR [SEEDS].

The class of the most alike training image (64x64 thumbnails), as `frostline verify` looks it up, on the test images of
splits by image and by group. No network is trained. Prints a Markdown table.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from frostline.config.compose import compose_config
from frostline.data.dataset import group_data, scan_data, split_scan
from frostline.data.lookup import find_most_alike
from frostline.evaluation.metrics import WeightedMetrics

KEYS = ("acc", "balanced_acc")
CACHE = Path("logs/cache")


def look_up(root: str, split: str, seeds: int) -> tuple[dict[str, list[float]], list[int], list[int]]:
    """Metrics of the lookup by key, test images and their groups, for every seed of the split."""
    config = compose_config(["data=iqothnccd", f"data.root={root}", f"data.split={split}"]).data
    scan = scan_data(config, CACHE)
    grouping, _ = group_data(scan, config, CACHE)
    found: dict[str, list[float]] = {key: [] for key in KEYS}
    images, groups = [], []
    for seed in range(seeds):
        drawn = split_scan(scan, grouping, (), replace(config, split_seed=seed))
        place = {record.path: i for i, record in enumerate(scan.records)}
        train, test = drawn.of("train"), drawn.of("test")
        sides = [scan.thumbnails[[place[e.path] for e in side]] for side in (test, train)]
        nearest, _ = find_most_alike(*sides)
        answers = np.eye(len(scan.task))[[scan.task.index(train[i].label) for i in nearest]]
        targets = np.array([scan.task.index(e.label) for e in test])
        values = WeightedMetrics(answers, targets, scan.task, KEYS).once()
        for key in KEYS:
            found[key].append(100 * values[key])
        images.append(len(test))
        groups.append(len({e.group for e in test}))
    return found, images, groups


def main(root: str, seeds: int) -> None:
    """Print a row a split."""
    print("| split | seeds | test images | in groups | accuracy, mean (lowest, highest) | balanced accuracy |")
    print("|---" * 6 + "|")
    for split, name in (("random", "by image"), ("grouped", "by group")):
        found, images, groups = look_up(root, split, seeds)
        shown = [f"{np.mean(v):.1f} % ({min(v):.1f}, {max(v):.1f})" for v in found.values()]
        ranges = [f"{min(n)} to {max(n)}" for n in (images, groups)]
        print("|", " | ".join([name, str(seeds), *ranges, *shown]), "|", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10)
