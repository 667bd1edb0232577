"""Many trials in one call: does memory, or the time that goes to each beside its training, grow?

    python benchmarks/soak.py [TRIALS]

Trains a tiny network on phantoms, 500 trials by default in one process, and writes benchmarks/results/soak.md, a row
for every tenth of them. Wall is from one trial's end to the next one's; training is what the run itself measures
(`seconds` in its metrics, data and evaluation included); the rest is the study's own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from frostline.runs.environment import environment_facts

ROOT = Path(__file__).parents[1]
TINY = (
    *("model=torchvision", "model.name=shufflenet_v2_x0_5", "data.phantom.patients=6", "data.phantom.slices=2"),
    *("data.phantom.size=64", "data.image_size=32", "trainer.max_epochs=1", "trainer.threads=1", "logger=csv"),
)
SEEDS = 10


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def main(trials: int) -> None:
    """Run the study, watch it, and write the table."""
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place) / "soak", Path(place) / "log"
        grid = (f"freeze=range({trials // SEEDS})", f"seed=range({SEEDS})")
        command = [sys.executable, "train.py", "-m", *TINY, *grid, f"logs_dir={place}", "study=soak"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        ends: list[float] = []
        memory: list[float] = []
        while process.poll() is None:
            done = len([*folder.glob("trial-*/metrics.json")])
            while len(ends) < done:
                ends.append(time.monotonic())
                memory.append(resident_mb(process.pid))
            time.sleep(0.05)
        if process.returncode:
            sys.exit(log.read_text()[-2000:])
        metrics = [json.loads((folder / f"trial-{i}" / "metrics.json").read_text()) for i in range(trials)]
        database = (Path(place) / "studies.db").stat().st_size / 1e6
    step = trials // 10
    rows = ["| trials | wall, s | training, s | the study's own, s | resident memory, MB |", "|---|---|---|---|---|"]
    for first in range(0, trials, step):
        place_in = range(max(1, first), min(first + step, len(ends)))
        wall = statistics.median(ends[i] - ends[i - 1] for i in place_in)
        training = statistics.median(metrics[i]["seconds"] for i in place_in)
        rows.append(
            f"| {first + 1} to {first + step} | {wall:.2f} | {training:.2f} | {wall - training:.2f} | "
            f"{memory[place_in[-1]]:.0f} |"
        )
    table, machine = "\n".join(rows), environment_facts()
    about = (
        f"`python benchmarks/soak.py {trials}` on {machine['processor']}, {machine['cores']} cores: "
        f"medians of each tenth; database {database:.1f} MB at the end."
    )
    (ROOT / "benchmarks" / "results" / "soak.md").write_text(f"# Soak\n\n{about}\n\n{table}\n")
    print(f"{about}\n\n{table}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
