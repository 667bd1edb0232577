"""`frostline predict`: which arguments are networks, which are images, and what is said at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frostline.errors import ConfigError, FrostlineError
from frostline.inference.caveats import caveats
from frostline.inference.ensemble import load_ensemble
from frostline.inference.patients import Patients, patient_finder
from frostline.inference.stream import answer, find_images
from frostline.inference.table import check_suffix, patient_rows, write_answers, write_rows
from frostline.runs.folder import find_finished
from frostline.terminal import progress

CHECKPOINT = ".ckpt"
NETWORKS = (CHECKPOINT, ".onnx")


def predict_files(
    arguments: Sequence[str],
    out: Path,
    batch_size: int,
    coverage: float,
    patient_table: Path | None = None,
    patient_pattern: str | None = None,
    mirrored: bool = False,
) -> str:
    """Write what the networks among `arguments` say of the images among them; returns what to tell of it.

    Raises `FrostlineError` where either is missing or cannot be read.
    """
    check_suffix(out)
    checkpoints, targets = split_arguments(arguments)
    networks = load_ensemble(checkpoints)
    ours = {out.resolve(), _of_patients(out).resolve()}  # of an earlier call, where it lies among the images
    files = [file for file in dict.fromkeys(find_images(targets)) if file.resolve() not in ours]
    if not files:
        raise FrostlineError(f"{out}: is the only file among the images; name the images, and another file for --out")
    task = networks[0].task
    patients = Patients()
    find_patient = patient_finder(files, patient_table, patient_pattern)
    answers = answer(networks, progress(files, "predicting"), find_patient, batch_size, coverage, mirrored)
    count = write_answers(patients.gather(answers), task, out, ensemble=len(networks) > 1)
    flagged, unlike = count["flagged"], count["unlike"]
    lines = [
        f"{out}: {len(files):,} files by {len(networks)} {'network' if len(networks) == 1 else 'networks'}: "
        + ", ".join(f"{count[name]:,} {name}" for name in task.classes)
        + (f"; {flagged:,} without an answer, and why in the column flag" if flagged else "")
    ]
    if unlike:
        lines.append(
            f"{unlike:,} are unlike the images it was trained on (column unlike beyond 1): do not rely on these"
        )
    if patients.sums:
        by_patient = _of_patients(out)
        write_rows(patient_rows(patients, task), by_patient)
        lines.append(f"{by_patient}: {len(patients.sums):,} patients, means over their slices")
    lines += caveats(networks, coverage)
    lines.append("A figure for research, no diagnosis.")
    return "\n".join(lines)


def _of_patients(out: Path) -> Path:
    return out.with_stem(f"{out.stem}_by_patient")


def split_arguments(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Checkpoints, and all that comes after the last of them. A run's folder, or one of runs, stands for its networks.

    Of a study's runs those count that were tested: its final training. Raises `ConfigError` where either is missing.
    """
    checkpoints: list[Path] = []
    for i, argument in enumerate(arguments):
        found = find_checkpoints(Path(argument))
        if not found:
            if not checkpoints:
                raise ConfigError(f"{argument}: no checkpoint (.ckpt), and no folder of runs; networks come first")
            return checkpoints, list(arguments[i:])
        checkpoints += found
    raise ConfigError(f"no images given after {arguments[-1]}: frostline predict CHECKPOINT... IMAGE_OR_FOLDER...")


def find_checkpoints(path: Path) -> list[Path]:
    """The checkpoint itself, or those of the finished runs in a folder, of a study those that were tested."""
    if path.suffix in NETWORKS:
        return [path]
    if not path.is_dir():
        return []
    runs = list(find_finished(path))
    tested = [run for run in runs if "test/acc" in run.read_metrics()]
    chosen = [run.best_checkpoint for run in tested or runs]
    gone = [file for file in chosen if not file.is_file()]
    if gone:
        raise FrostlineError(f"{gone[0]} is gone: its run is there, but not what it learnt")
    return chosen
