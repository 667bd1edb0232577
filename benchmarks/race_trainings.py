"""A race against the full grid, by real trainings: python benchmarks/race_trainings.py [REPETITIONS].

Four learning rates on five folds with three seeds, once with a planted difference (three of them are a hundred times
lower) and once without one (rates that differ by a percent), each as a race and as the full grid. Each repetition has
patients of its own: one image each, blobs that are darker in one class than in the other, which a small network soon
learns in part. A race that runs every training is the full grid, for the same training ends the same. Called again it
goes on with what is missing. Prints a table, and writes it to benchmarks/results/race_trainings.csv.
"""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
from PIL import Image
from scipy.ndimage import gaussian_filter

from frostline.evaluation.race import level_of, look_at, rivals_of_folds
from frostline.search.answers import answers_of
from frostline.search.race import folds_of, standing_of
from frostline.search.repeats import by_settings, key_of, value_of
from frostline.search.study import open_study

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "race_trainings.csv"
RATES = {"planted": (1e-2, 1e-4, 1.01e-4, 9.9e-5), "none": (1e-2, 1.01e-2, 9.9e-3, 1.02e-2)}
BEHIND = 1e-3  # rates below learn too slowly
CELLS = 4 * 5 * 3
PATIENTS = 100  # of each class
LEVELS = {"dark": 105, "light": 145}  # mean grey of patients, which differ by 15
TRAINING = (
    *(
        "model=torchvision",
        "model.name=shufflenet_v2_x0_5",
        "model.weights=null",
        "freeze=0",
        "logger=csv",
        "test=false",
    ),
    *("data=folder", "data.image_size=32", "data.batch_size=16", "data.augment=none"),
    *("trainer.max_epochs=10", "trainer.threads=1", "hydra.sweeper.n_jobs=2"),
)
COLUMNS = (
    *("difference", "patients drawn", "trainings of the race", "of the full grid", "share %"),
    *("left the race", "of them", "shown worse by the full grid"),
)
MARGIN = 0.02  # the study's default


def make_images(folder: Path, seed: int) -> Path:
    """Write the images of a repetition, once, and the table that says whose they are; returns that."""
    table = folder / "images.csv"
    if table.is_file():
        return table
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for label, level in LEVELS.items():
        for patient in range(PATIENTS):
            blobs = gaussian_filter(random.standard_normal((64, 64)), 4)
            grey = level + 15 * random.standard_normal() + 30 * blobs / blobs.std()
            name = f"{label}{patient}"
            Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
            rows.append(f"{name}.png,{label},{name}")
    table.write_text("\n".join(["path,class,patient", *rows]) + "\n")
    return table


def study_of(kind: str, repetition: int, race: bool, logs: Path) -> optuna.Study:
    """The finished study of one repetition, run or gone on with."""
    name = f"{kind}-{repetition}-{'race' if race else 'grid'}"
    table = make_images(logs / f"images-{repetition}", repetition)
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TRAINING, f"study={name}", f"logs_dir={logs}"]
    command += [f"data.root={table.parent}", f"data.table={table}", "data.val_fold=range(5)", "seed=range(3)"]
    command += [f"optimizer.lr={','.join(map(str, RATES[kind]))}", f"hydra.sweeper.race={str(race).lower()}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return open_study(f"sqlite:///{logs / 'studies.db'}", name)


def count_of(study: optuna.Study) -> int:
    """How many trainings a study has done."""
    return len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def worse_by_grid(grid: optuna.Study) -> int:
    """How many rates a full grid shows to be worse than the best, judged once, by the race's own rule."""
    trials = by_settings(grid.trials)
    repeats = [dict(key) for key in next(iter(trials.values()))]
    every = [[answers_of(grid.user_attrs, of[key_of(r)]) for r in repeats] for of in trials.values()]
    return int(look_at(rivals_of_folds(folds_of(every, repeats), False), MARGIN, level_of(1)).leaves.sum())


def row_of(kind: str, repetition: int, logs: Path) -> tuple[object, ...]:
    """What a race and its full grid came to."""
    race = study_of(kind, repetition, True, logs)
    grid = race if count_of(race) == CELLS else study_of(kind, repetition, False, logs)
    scores = {
        dict(k)["optimizer.lr"]: value_of([*of.values()], "val/acc") for k, of in by_settings(grid.trials).items()
    }
    fast = [v for rate, v in scores.items() if rate > BEHIND]
    slow = [v for rate, v in scores.items() if rate <= BEHIND]
    points = 100 * (sum(fast) / len(fast) - sum(slow) / len(slow)) if slow else 0.0
    standing = standing_of(race)
    left = [left.settings["optimizer.lr"] for left in standing.left] if standing else []
    rightly = sum(rate <= BEHIND for rate in left)
    what = f"{points:.0f} points, {len(slow)} of 4" if slow else "none"
    share = f"{100 * count_of(race) / count_of(grid):.0f}"
    return what, repetition, count_of(race), count_of(grid), share, len(left), f"{rightly} rightly", worse_by_grid(grid)


def main(repetitions: int) -> None:
    """Run what is missing, and print."""
    logs = ROOT / "logs" / "race_trainings"
    rows = [row_of(kind, r, logs) for r in range(repetitions) for kind in RATES]
    with RESULTS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print("|", " | ".join(COLUMNS), "|\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("|", " | ".join(map(str, row)), "|")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
