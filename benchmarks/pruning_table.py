"""Markdown table of what pruning saves: python benchmarks/pruning_table.py logs, of the studies pruning-PRUNER-SEED."""

import csv
import sys
from pathlib import Path


def read(folder: Path) -> tuple[int, int, float, float]:
    """Epochs trained, trials pruned, seconds and the highest value of the complete trials of a study."""
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    values = [float(row["val/acc"]) for row in rows if row["state"] == "complete"]
    pruned = sum(row["state"] == "pruned" for row in rows)
    return sum(int(r["epochs"]) for r in rows), pruned, sum(float(r["seconds"] or 0) for r in rows), max(values)


def main(logs: Path) -> None:
    """Print a row for each seed."""
    columns = ("sampler's seed", "epochs, pruned", "epochs, all", "saved", "pruned", "highest, pruned", "highest, all")
    print("|", " | ".join(columns), "|")
    print("|---" * 7 + "|")
    for folder in sorted(logs.glob("pruning-median-*")):
        seed = folder.name.rsplit("-", 1)[1]
        epochs, pruned, seconds, best = read(folder)
        all_epochs, _, all_seconds, all_best = read(logs / f"pruning-none-{seed}")
        saved = f"{1 - epochs / all_epochs:.0%} of epochs, {1 - seconds / all_seconds:.0%} of time"
        print(f"| {seed} | {epochs} | {all_epochs} | {saved} | {pruned} | {best:.3f} | {all_best:.3f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
