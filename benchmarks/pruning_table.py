"""Markdown table of what pruning saves: python benchmarks/pruning_table.py logs, of the studies pruning-PRUNER-SEED."""

import csv
import sys
from pathlib import Path


def read(folder: Path) -> tuple[int, int, float]:
    """Epochs trained, trials pruned, and the highest value of the complete trials of a study."""
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    done = [row for row in rows if row["state"] in ("complete", "pruned")]
    values = [float(row["val/acc"]) for row in done if row["state"] == "complete"]
    return sum(int(row["epochs"]) for row in done), len(done) - len(values), max(values)


def main(logs: Path) -> None:
    """Print a row for each seed of the sampler, and the sum."""
    columns = ("sampler's seed", "trials pruned", "epochs", "epochs without pruning", "saved")
    print("|", " | ".join(columns), "| highest val/acc | without pruning |")
    print("|---" * 7 + "|")
    epochs = all_epochs = 0
    for folder in sorted(logs.glob("pruning-median-*")):
        seed = folder.name.rsplit("-", 1)[1]
        with_pruning, pruned, best = read(folder)
        without, _, all_best = read(logs / f"pruning-none-{seed}")
        saved = f"{1 - with_pruning / without:.0%}".replace("%", " %")
        print(f"| {seed} | {pruned} | {with_pruning} | {without} | {saved} | {best:.3f} | {all_best:.3f} |")
        epochs, all_epochs = epochs + with_pruning, all_epochs + without
    print(f"\n{1 - epochs / all_epochs:.0%} of {all_epochs} epochs saved")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
