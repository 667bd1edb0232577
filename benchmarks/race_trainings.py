"""A race against the full grid, by real trainings on phantoms: python benchmarks/race_trainings.py [REPETITIONS].

Six settings on five folds with three seeds, once with a planted difference (four of them learn a hundred times slower)
and once without one (rates that differ by a percent), each as a race and as the full grid. Each repetition has patients
of its own. Called again it goes on with what is missing. Prints the table of docs/evidence.md, and writes it to
benchmarks/results/race_trainings.csv.
"""

import csv
import subprocess
import sys
from pathlib import Path

import optuna

from frostline.search.race import standing_of
from frostline.search.repeats import by_settings, value_of
from frostline.search.study import open_study

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "race_trainings.csv"
RATES = {
    "planted": (4e-3, 4.04e-3, 4e-5, 4.04e-5, 3.96e-5, 4.08e-5),
    "none": (4e-3, 4.04e-3, 3.96e-3, 4.08e-3, 3.92e-3, 4.12e-3),
}
BEHIND = 1e-3  # rates below learn too slowly
TRAINING = (
    *(
        "model=torchvision",
        "model.name=shufflenet_v2_x0_5",
        "model.weights=null",
        "freeze=0",
        "logger=csv",
        "test=false",
    ),
    *("data.phantom.patients=64", "data.phantom.slices=2", "data.phantom.size=64", "data.image_size=32"),
    *("data.batch_size=16", "data.augment=none", "trainer.max_epochs=8", "trainer.threads=1", "hydra.sweeper.n_jobs=2"),
)
COLUMNS = ("difference", "patients", "trainings of the race", "of the full grid", "share %", "left the race", "of them")


def study_of(kind: str, repetition: int, race: bool, logs: Path) -> optuna.Study:
    """The finished study of one repetition, run or gone on with."""
    name = f"{kind}-{repetition}-{'race' if race else 'grid'}"
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TRAINING, f"study={name}", f"logs_dir={logs}"]
    command += [f"data.phantom.seed={repetition}", "data.val_fold=range(5)", "seed=range(3)"]
    command += [f"optimizer.lr={','.join(map(str, RATES[kind]))}", f"hydra.sweeper.race={str(race).lower()}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return open_study(f"sqlite:///{logs / 'studies.db'}", name)


def row_of(kind: str, repetition: int, logs: Path) -> tuple[object, ...]:
    """What a race and its full grid came to."""
    race, grid = (study_of(kind, repetition, race, logs) for race in (True, False))
    count = [len(s.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))) for s in (race, grid)]
    scores = {
        dict(k)["optimizer.lr"]: value_of([*of.values()], "val/acc") for k, of in by_settings(grid.trials).items()
    }
    fast = [v for rate, v in scores.items() if rate > BEHIND]
    slow = [v for rate, v in scores.items() if rate <= BEHIND]
    points = 100 * (sum(fast) / len(fast) - sum(slow) / len(slow)) if slow else 0.0
    standing = standing_of(race)
    left = [left.settings["optimizer.lr"] for left in standing.left] if standing else []
    rightly = sum(rate <= BEHIND for rate in left)
    what = f"{points:.0f} points, 4 of 6" if slow else "none"
    return what, repetition, *count, f"{100 * count[0] / count[1]:.0f}", len(left), f"{rightly} rightly"


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
