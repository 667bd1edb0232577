"""How long commands take before anything is trained, what a job of a study costs beside its training, peak memory.

    python benchmarks/commands.py [--repeats 5] [--out NAME]

Every repetition runs all commands one after the other; medians are told, with the lowest and highest. Writes
benchmarks/results/NAME.md; NAME is commands_cpu or commands_gpu. Seconds and memory are those of the whole process, as
the system counts them.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import torch
from speed import EPOCHS, make_images, options

from frostline.runs.environment import environment_facts

ROOT = Path(__file__).parents[1]
TRAIN = (sys.executable, str(ROOT / "train.py"))
# Ends the process when the optimiser has made its first step.
FIRST_STEP = (
    "import os, sys; from frostline.train import main; from frostline.training.module import FineTuner;"
    "FineTuner.on_train_batch_end = lambda *_: os._exit(0); sys.argv[0] = 'train.py'; main()"
)
TINY = (
    *("model=torchvision", "model.name=shufflenet_v2_x0_5", "data.phantom.patients=6", "data.phantom.slices=2"),
    *("data.phantom.size=64", "data.image_size=32", "trainer.max_epochs=1", "trainer.threads=1", "logger=csv"),
)
FEW, MORE = 3, 11  # jobs


def timed(*command: str) -> tuple[float, float]:
    """Seconds and peak memory, MB, of a command that has to succeed."""
    begin = perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return perf_counter() - begin, usage.ru_maxrss / 1024


def overhead_of_a_job() -> float:
    """Seconds that one more trial of a study takes, less those of its epoch."""
    with tempfile.TemporaryDirectory() as place:
        walls = []
        for count in (FEW, MORE):
            study = (f"seed=range({count})", f"study=jobs{count}", "freeze=10", f"logs_dir={place}")
            walls.append(timed(*TRAIN, "-m", *TINY, *study)[0])
        epochs = []
        for history in Path(place, f"jobs{MORE}").glob("trial-*/history.csv"):
            with history.open() as file:
                epochs += [float(row["seconds"]) for row in csv.DictReader(file)]
    assert len(epochs) == MORE, "every trial has one epoch"
    return (walls[1] - walls[0]) / (MORE - FEW) - statistics.mean(epochs)


def measure(data: Path) -> dict[str, float]:
    """Every row once."""
    frostline = str(Path(sys.executable).with_name("frostline"))
    found = {
        "`import torch`, s": timed(sys.executable, "-c", "import torch")[0],
        "`import lightning, torchvision`, s": timed(sys.executable, "-c", "import lightning, torchvision")[0],
        "`python train.py --help`, s": timed(*TRAIN, "--help")[0],
        "`frostline --help`, s": timed(frostline, "--help")[0],
    }
    with tempfile.TemporaryDirectory() as logs:
        for state in ("its images not drawn yet", "begun before"):
            begin = timed(sys.executable, "-c", FIRST_STEP, f"logs_dir={logs}", "logger=csv")
            found[f"`python train.py` to the end of its first step, {state}, s"] = begin[0]
    found["a job of a study beside its training, s"] = overhead_of_a_job()
    with tempfile.TemporaryDirectory() as logs:
        run = options(data, Path(logs), 224, 80, "trainer.frozen_gb=0")
        found["peak memory of `train.py`, 224 px, batch 16, freeze 80, MB"] = timed(*TRAIN, *run)[1]
    peer = (sys.executable, str(ROOT / "benchmarks" / "peer.py"), str(data), "224", "80", str(EPOCHS))
    found["of benchmarks/peer.py, MB"] = timed(*peer)[1]
    return found


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default=f"commands_{'gpu' if torch.cuda.is_available() else 'cpu'}")
    args = parser.parse_args()
    facts = environment_facts()
    with tempfile.TemporaryDirectory() as place:
        make_images(Path(place) / "data", 16)
        every = []
        for repeat in range(args.repeats):
            every.append(measure(Path(place) / "data"))
            print(f"{repeat + 1}/{args.repeats}  {every[-1]}", flush=True)
    lines = ["| | median (lowest to highest) |", "|---|---|"]
    for name in every[0]:
        values = [one[name] for one in every]
        lines.append(f"| {name} | {statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g}) |")
    about = (
        f"`python benchmarks/commands.py`, {args.repeats} repetitions, on {facts['processor']}, {facts['cores']} cores,"
        f" torch {torch.__version__}."
    )
    table = "\n".join(lines)
    (ROOT / "benchmarks" / "results" / f"{args.out}.md").write_text(f"# Commands\n\n{about}\n\n{table}\n")
    print(table)


if __name__ == "__main__":
    main()
