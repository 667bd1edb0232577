"""How what a study and a data set cost grows: the first bottleneck on the way to 1,000 trials and a million images.

    python benchmarks/scaling.py studies [--trials 100 300 1000 3000] [--postgres ADDRESS]
    python benchmarks/scaling.py images [--images 1000 10000 100000] [--size 64]
    python benchmarks/scaling.py pages [--runs 10 100 1000]

Writes benchmarks/results/scaling_studies.md and so on, a row as it comes. `studies` asks for a cell of a
grid, reports two epochs and tells a value, in a study that has so many trials already; then it opens the study as
another process does. `images` makes PNGs of SIZE pixels, three classes, ten slices a patient, and reads them as a run
does: each number in a process of its own, whose peak of memory is told. `pages` trains ten runs of a tiny network,
copies them as further seeds of a study, and has `frostline report` make its page.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial
from PIL import Image
from soak import ROOT, TINY

from frostline.config.compose import compose_config
from frostline.data.dataset import scan_data, split_data
from frostline.runs.environment import environment_facts
from frostline.search.answers import Answers, packed
from frostline.search.queue import TrialQueue
from frostline.search.repeats import order_repeats
from frostline.search.storage import open_storage
from frostline.search.study import Plan, begin_study

RESULTS = Path(__file__).parent / "results"
ASKED = 20
FIRST = 10  # runs that are trained
CLASSES = ("benign", "malignant", "normal")


def plan_of(cells: int) -> Plan:
    """A grid of so many cells."""
    return Plan(
        name="scaling",
        objective="val/acc",
        space={"freeze": IntDistribution(0, cells - 1)},
        cells=[{"freeze": i} for i in range(cells)],
        trials=cells,
        pruner={"name": "none", "options": {}},
        margin=0.02,
        fixed={},
        data="",
        first=[],
    )


def fill(study: optuna.Study, plan: Plan, until: int) -> None:
    """Give the study as many complete trials as `until`, as runs leave them."""
    now = datetime.datetime.now()
    attributes = {"seconds": 60.0, "epochs": 2, "val/acc": 0.5, "correct": dict.fromkeys(CLASSES, (10, 20))}
    study.add_trials(
        [
            create_trial(
                state=TrialState.COMPLETE,
                value=i / until,
                params={"freeze": i},
                distributions=plan.space,
                user_attrs={**attributes, "start": str(now)},
                intermediate_values={0: 0.4, 1: 0.5},
            )
            for i in range(len(study.get_trials(deepcopy=False)), until)
        ]
    )


def one_trial(queue: TrialQueue) -> tuple[float, float]:
    """Seconds to ask for a trial, and to report and tell it."""
    begin = time.perf_counter()
    trial = queue.ask()
    asked = time.perf_counter()
    assert trial is not None
    for epoch in range(2):
        trial.report(0.1, epoch)
    trial.set_user_attr("seconds", 1.0)
    queue.study.tell(trial, 0.1)
    return asked - begin, time.perf_counter() - asked


def studies(trials: list[int], postgres: str | None) -> None:
    """Measure each kind of database, and write the table."""
    rows = [
        "| database | trials there | asking, ms | reporting and telling, ms | opening, ms |",
        "|---|---|---|---|---|",
    ]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = plan_of(max(trials) + ASKED * len(trials) + 1)
    with tempfile.TemporaryDirectory() as place:
        addresses = {"sqlite": f"sqlite:///{place}/studies.db", "journal": f"journal:///{place}/studies.journal"}
        for name, url in (addresses | ({"postgres": postgres} if postgres else {})).items():
            study = begin_study(url, plan)
            queue = TrialQueue(study, plan, Path(place) / name)
            with queue.hold_lock():
                for count in trials:
                    fill(study, plan, count)
                    times = [one_trial(queue) for _ in range(ASKED)]
                    ask, tell = (1000 * statistics.median(column) for column in zip(*times, strict=True))
                    begin = time.perf_counter()
                    optuna.load_study(study_name=plan.name, storage=open_storage(url)).get_trials(deepcopy=False)
                    opening = 1000 * (time.perf_counter() - begin)
                    rows.append(f"| {name} | {count:,} | {ask:.0f} | {tell:.0f} | {opening:.0f} |")
                    write("studies", rows)


def make_images(root: Path, count: int, size: int) -> None:
    """Write PNGs, ten slices of a patient that look like one another."""
    random = np.random.default_rng(0)
    for i in range(count):
        if i % 10 == 0:
            small = random.integers(0, 200, (8, 8), dtype=np.uint8)
            whole = np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC), np.int16)
        folder = root / CLASSES[i // 10 % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = (whole + random.integers(-12, 13, whole.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"patient_{i // 10:06}_slice_{i % 10}.png", compress_level=1)


def read(root: Path, logs: Path, size: int) -> dict[str, float]:
    """Seconds to read, to read again, to group and split; peak of memory, GB."""
    pattern = r"data.patient_pattern='(patient_\d+)_'"
    config = compose_config(
        ["data=folder", f"data.root={root}", f"logs_dir={logs}", f"data.image_size={size}", pattern]
    )
    cache = logs / "cache"
    found: dict[str, float] = {}
    begin = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal begin
        found[what] = round(time.perf_counter() - begin, 2)
        begin = time.perf_counter()

    scan_data(config.data, cache)
    lap("scan")
    scan_data(config.data, cache)
    lap("again")
    split_data(config.data, cache)
    lap("split")
    found["gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return found


def raced(depths: list[int]) -> None:
    """Measure races of so many settings on five folds with five seeds and 200 validation images, half done."""
    rows = ["| trials there | settings | asking, ms | asking with all looks, ms |", "|---|---|---|---|"]
    repeats = order_repeats({"seed": [*range(5)], "data.val_fold": [*range(5)]})
    for count in depths:
        cells = [{"freeze": i, **repeat} for repeat in repeats for i in range(count)]
        space = {"freeze": count, "seed": 5, "data.val_fold": 5}
        plan = replace(
            plan_of(len(cells)),
            space={name: IntDistribution(0, of - 1) for name, of in space.items()},
            cells=cells,
            repeats=repeats,
            race=True,
        )
        with tempfile.TemporaryDirectory() as place:
            study = begin_study(f"sqlite:///{place}/studies.db", plan)
            for fold in range(5):
                for name, about in packed(answers(fold, 0))[0].items():
                    study.set_user_attr(name, about)
            study.add_trials(
                [
                    create_trial(
                        value=0.5,
                        params=cell,
                        distributions=plan.space,
                        user_attrs=packed(answers(cell["data.val_fold"], k))[1],
                        intermediate_values={0: 0.4, 1: 0.5},
                    )
                    for k, cell in enumerate(cells[: len(cells) // 2])
                ]
            )
            queue = TrialQueue(study, plan, Path(place) / "logs")
            with queue.hold_lock():
                first, *rest = (1000 * one_trial(queue)[0] for _ in range(ASKED))
        rows.append(f"| {len(cells) // 2:,} | {count} | {statistics.median(rest):.0f} | {first:.0f} |")
        write("races", rows)


def answers(fold: int, seed: int) -> Answers:
    """What a trial keeps of 200 validation images, of which chance has half right."""
    right = np.random.default_rng(seed).random(200) < 0.5
    return Answers(f"fold {fold}", 3, right, np.arange(200) % 3, fold * 100 + np.arange(200) // 2)


def images(counts: list[int], size: int) -> None:
    """Measure each number of images, and write the table."""
    rows = [
        "| images | reading all, s | reading again, s | grouping and splitting, s | peak of memory, GB |",
        "|---|---|---|---|---|",
    ]
    for count in counts:
        with tempfile.TemporaryDirectory() as place:
            make_images(Path(place) / "data", count, size)
            command = [sys.executable, __file__, "read", f"{place}/data", f"{place}/logs", str(size)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        found = json.loads(said)
        rows.append(f"| {count:,} | {found['scan']} | {found['again']} | {found['split']} | {found['gb']} |")
        write("images", rows)


def more_seeds(logs: Path, runs: int) -> None:
    """Let the study have so many trials, copies of its first ones under other seeds."""
    study = optuna.load_study(study_name="pages", storage=open_storage(f"sqlite:///{logs}/studies.db"))
    first = [t for t in study.get_trials(deepcopy=False) if t.number < FIRST]
    for number in range(len(study.get_trials(deepcopy=False)), runs):
        like = first[number % FIRST]
        seed = like.params["seed"] + 2 * (number // FIRST)
        folder = logs / "pages" / f"trial-{number}"
        shutil.copytree(logs / "pages" / f"trial-{like.number}", folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps(metrics | {"seed": seed}))
        config = (folder / "config.yaml").read_text().replace(f"seed: {like.params['seed']}\n", f"seed: {seed}\n", 1)
        (folder / "config.yaml").write_text(config)
        study.add_trial(
            create_trial(
                value=like.value,
                params={**like.params, "seed": seed},
                distributions=like.distributions | {"seed": IntDistribution(0, 10**6)},
                user_attrs=like.user_attrs,
                intermediate_values=like.intermediate_values,
            )
        )


def pages(runs: list[int]) -> None:
    """Measure each number of runs, and write the table."""
    rows = ["| runs | page, s | peak of memory, GB | size of the page, MB |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as place:
        grid = (f"freeze=range({FIRST // 2})", "seed=0,1", f"logs_dir={place}", "study=pages")
        subprocess.run([sys.executable, "train.py", "-m", *TINY, *grid], cwd=ROOT, check=True, capture_output=True)
        for count in runs:
            more_seeds(Path(place), count)
            begin = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "frostline", "report", place], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            assert status == 0
            took, peak = time.perf_counter() - begin, used.ru_maxrss / 1e6
            size = (Path(place) / "report.html").stat().st_size / 1e6
            rows.append(f"| {count:,} | {took:.1f} | {peak:.2f} | {size:.1f} |")
            write("pages", rows)


def write(what: str, rows: list[str]) -> None:
    """Write the table as far as it is."""
    facts = environment_facts()
    about = f"`python benchmarks/scaling.py {' '.join(sys.argv[1:])}` on {facts['processor']}, {facts['cores']} cores."
    (RESULTS / f"scaling_{what}.md").write_text(f"# Growth: {what}\n\n{about}\n\n" + "\n".join(rows) + "\n")
    print(rows[-1], flush=True)


def main() -> None:
    """Read the command line."""
    if sys.argv[1:2] == ["read"]:
        print(json.dumps(read(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["studies", "races", "images", "pages"])
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--postgres")
    parser.add_argument("--settings", type=int, nargs="+", default=[8, 24, 80])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    if args.what == "studies":
        studies(args.trials, args.postgres)
    elif args.what == "races":
        raced(args.settings)
    elif args.what == "images":
        images(args.images, args.size)
    else:
        pages(args.runs)


if __name__ == "__main__":
    main()
