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
    "validation accuracy": "val/acc",
    "near copies in training": "test/near_copies_in_train",
}


def main(folder: Path) -> None:
    """Print a row for each NAME: mean, and in brackets the lowest and the highest seed."""
    runs = defaultdict(list)
    for file in sorted(folder.glob("*/metrics.json")):
        runs[file.parent.name.rsplit("-", 1)[0]].append(json.loads(file.read_text()))
    print("| run | seeds |", " | ".join(COLUMNS), "| minutes (fastest) |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for name, metrics in runs.items():
        cells = []
        for key in COLUMNS.values():
            values = [m[key] for m in metrics]
            if key.endswith("in_train"):
                cells.append(f"{values[0]} of {metrics[0]['test/images']}")
            else:
                cells.append(f"{statistics.mean(values):.1%} ({min(values):.1%} to {max(values):.1%})")
        minutes = min(m["seconds"] for m in metrics) / 60  # the machine may have done other things beside
        print(f"| {name} | {len(metrics)} |", " | ".join(cells), f"| {minutes:.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
