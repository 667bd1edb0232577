"""Whether a score over folds is flattered: python benchmarks/epochs.py [DRAWS].

Phantoms whose classes are dealt anew, patient by patient, so that there is nothing to learn and the true accuracy is
that of chance. A small network is trained on five folds beside a test set; pooled over folds, the accuracy of the last
epoch (`trainer.monitor=none`) is set beside that of the epoch with the highest `val/acc` of every fold. Draws are
appended to benchmarks/results/epochs.csv as they come: called again it goes on. Prints the row of docs/evidence.md.
"""

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from frostline.config.compose import compose_config
from frostline.data.phantoms.patients import write_phantoms
from frostline.task import LUNG
from frostline.training.recipe import train_once

RESULTS = Path(__file__).parent / "results" / "epochs.csv"
FOLDS, EPOCHS, PATIENTS = 5, 12, 12
SMALL = (
    *("model=torchvision", "model.name=shufflenet_v2_x0_5", "freeze=0", "model.weights=null", "optimizer.lr=2e-3"),
    *("data.image_size=32", "data.batch_size=8", "logger=csv", "test=false", "trainer.progress=false"),
    *(f"trainer.max_epochs={EPOCHS}", f"data.folds={FOLDS}", "trainer.checkpoint_seconds=1000"),
)


def write_table(file: Path, root: Path, draw: int) -> None:
    """Every patient of the phantoms with a class that was dealt."""
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    patients = sorted({path.rsplit("_slice_", 1)[0] for path in paths})
    dealt = np.random.default_rng(draw).permutation(np.arange(len(patients)) % len(LUNG.classes))
    label = {patient: LUNG.classes[k] for patient, k in zip(patients, dealt, strict=True)}
    with file.open("w", newline="") as lines:
        rows = [(path, label[path.rsplit("_slice_", 1)[0]], path.rsplit("_slice_", 1)[0]) for path in paths]
        csv.writer(lines).writerows([("path", "class", "patient"), *rows])


def run_draw(root: Path, folder: Path, draw: int) -> tuple[float, float]:
    """Accuracy pooled over folds, of the last epoch and of the best of each fold."""
    table = folder / f"table-{draw}.csv"
    write_table(table, root, draw)
    last, best, images = 0.0, 0.0, 0
    for fold in range(FOLDS):
        options = ["data=folder", f"data.root={root}", f"data.table={table}", f"data.val_fold={fold}"]
        run = folder / f"{draw}-{fold}"
        config = compose_config([*options, *SMALL, f"logs_dir={folder}", f"seed={draw}", "data.similarity=0.99"])
        count = train_once(config, run)["val/images"]
        with (run / "history.csv").open(newline="") as lines:
            scores = [float(row["val/acc"]) for row in csv.DictReader(lines)]
        last, best, images = last + count * scores[-1], best + count * max(scores), images + count
    return last / images, best / images


def main(draws: int) -> None:
    """Run the draws that are missing, and print."""
    if not RESULTS.is_file():
        RESULTS.write_text("draw,last,best\n")
    with RESULTS.open(newline="") as lines:
        there = {int(row["draw"]): (float(row["last"]), float(row["best"])) for row in csv.DictReader(lines)}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "slices"
        write_phantoms(root, seed=0, patients=dict.fromkeys(LUNG.classes, PATIENTS), slices=2, size=64)
        for draw in (d for d in range(draws) if d not in there):
            there[draw] = run_draw(root, Path(temporary), draw)
            with RESULTS.open("a") as file:
                file.write(f"{draw},{there[draw][0]:.4f},{there[draw][1]:.4f}\n")
    values = 100 * np.array([*there.values()])
    mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))
    print(f"| {len(values)} draws | {100 / len(LUNG.classes):.1f} % |", end="")
    print(f" {mean[0]:.1f} % (standard error {error[0]:.1f}) | {mean[1]:.1f} % ({error[1]:.1f}) |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
