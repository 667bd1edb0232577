"""The table of recipe.sh: python benchmarks/recipe_table.py logs [recipe-base] > benchmarks/results/recipe.md.

Every recipe by out-of-fold predictions pooled over five folds, mean of its seeds, with intervals over groups and seeds;
its difference to the recipe that is named, compared alone; and ensembles: mean probabilities over seeds, and recipes.
"""

import sys
from pathlib import Path

import numpy as np

from frostline.evaluation.metrics import evaluate
from frostline.report.compare_configurations import compare_groups
from frostline.runs.finished import FinishedRun, pool_folds, read_run
from frostline.runs.folder import find_finished
from frostline.runs.predictions import SplitPredictions
from frostline.text import interval, percent

TOGETHER = ("recipe-base", "recipe-320_px", "recipe-imagenet")
FOLDS = 5


def runs_of(folder: Path) -> list[FinishedRun]:
    """Runs of the seeds that have all folds."""
    runs = [read_run(run.path, ("val",)) for run in find_finished(folder)]
    seeds = {run.options["seed"] for run in runs}
    whole = {s for s in seeds if sum(run.options["seed"] == s for run in runs) == FOLDS}
    return [run for run in runs if run.options["seed"] in whole]


def words_of(name: str) -> str:
    """What a recipe's study is called in the table."""
    return name.removeprefix("recipe-").replace("_", " ")


def cells(values: dict[str, float], names: tuple[str, ...]) -> list[str]:
    """Accuracy and balanced accuracy with intervals, recall of each class, log loss."""
    shown = [
        f"{percent(values[f'val/{key}'])} ({interval(values[f'val/{key}/lower'], values[f'val/{key}/upper'])})"
        for key in ("acc", "balanced_acc")
    ]
    return [
        *shown,
        ", ".join(f"{100 * values[f'val/{name}/recall']:.0f}" for name in names),
        f"{values['val/loss']:.2f}",
    ]


def row_of_mean(name: str, seeds: list[SplitPredictions]) -> str:
    """An ensemble: mean probabilities."""
    first = seeds[0]
    mean = np.mean([p.probabilities for p in seeds], axis=0)
    values = evaluate("val", mean, first.targets, first.task, first.groups)
    return f"| {name} | {' | '.join(cells(values, first.task.classes))} | |"


def main(logs: Path, base: str = "recipe-base") -> None:
    """Print the tables."""
    found = {folder.name: runs for folder in sorted(logs.glob("recipe-*")) if (runs := runs_of(folder))}
    pooled = {name: pool_folds(runs) for name, runs in found.items()}
    order = [base, *(name for name in found if name != base)]
    first = pooled[base][0]
    groups = len(set(first.groups))
    print(f"{len(first)} images of IQ-OTH/NCCD in {groups} groups, five folds beside the sealed test set.\n")
    named = ", ".join(first.task.classes)
    apart = f"accuracy to {words_of(base)}, points"
    print(f"| recipe | accuracy | balanced accuracy | {named} found, % | log loss | {apart} |")
    print("|---|---|---|---|---|---|")
    for name in order:
        seeds = pooled[name]
        other = name if name != base else order[1]
        compared, pairs, _ = compare_groups([found[base], found[other]], "val")
        own = compared[0 if name == base else 1]
        values = {f"val/{key}": v.mean for key, v in own.metrics.items()}
        for key, v in own.metrics.items():
            values[f"val/{key}/lower"], values[f"val/{key}/upper"] = v.interval
        d = pairs[0].differences["acc"]
        ends = f"{-100 * d.upper:+.1f} to {-100 * d.lower:+.1f}" if d.lower == d.lower else "no interval"
        apart = "" if name == base else f"{-100 * d.value:+.1f} ({ends})"
        label = f"{words_of(name)}, {len(seeds)} seeds"
        print(f"| {label} | {' | '.join(cells(values, first.task.classes))} | {apart} |", flush=True)
    print(row_of_mean(f"ensemble of the seeds of {words_of(base)}", pooled[base]))
    several = [p for name in TOGETHER if name in pooled for p in pooled[name]]
    if {(e.sha256, e.label) for p in several for e in p.examples} == {(e.sha256, e.label) for e in first.examples}:
        what = " and ".join(words_of(name) for name in TOGETHER if name in pooled)
        print(row_of_mean(f"ensemble of {what}", several))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
