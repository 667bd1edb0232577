"""Markdown table of repeated runs: python benchmarks/table.py logs/splits, folders named NAME-SEED."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

COLUMNS = {
    "test accuracy": "test/acc",
    "balanced": "test/balanced_acc",
    "malignant found": "test/malignant/recall",
    "near copies in training": "test/near_copies_in_train",
}


def main(folder: Path) -> None:
    """Print a row for each NAME: mean, and in brackets the lowest and the highest seed."""
    runs = defaultdict(list)
    for file in sorted(folder.glob("*/metrics.json")):
        runs[file.parent.name.rsplit("-", 1)[0]].append(json.loads(file.read_text()))
    print("| start | split | seeds |", " | ".join(COLUMNS), "| minutes a run |")
    print("|---" * (len(COLUMNS) + 4) + "|")
    for metrics in runs.values():
        first = metrics[0]
        weights = first["weights"].split(" (")[0]
        cells = [f"{weights}, freeze {first['freeze']}, {first['image_size']} px, {first['epochs']} epochs"]
        cells += [{"random": "by image", "grouped": "by group"}[first["split"]], str(len(metrics))]
        for key in COLUMNS.values():
            values = [m[key] for m in metrics]
            if key.endswith("in_train"):
                cells.append(f"{values[0]} of {first['test/images']}")
            else:
                cells.append(
                    f"{statistics.mean(values):.1%} ({min(values):.1%} to {max(values):.1%})".replace("%", " %")
                )
        cells.append(f"{min(m['seconds'] for m in metrics) / 60:.0f}")  # the fastest: the machine did other things too
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
