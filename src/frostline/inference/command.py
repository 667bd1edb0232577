"""`frostline predict`: which arguments are networks, which are images, and what is said at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frostline.errors import ConfigError, FrostlineError
from frostline.inference.caveats import caveats
from frostline.inference.ensemble import load_ensemble
from frostline.inference.patients import Patients, patient_finder
from frostline.inference.stream import answer, count_others, find_images, once_each
from frostline.inference.table import check_suffix, patient_rows, write_answers, write_rows
from frostline.runs.folder import RunFolder, find_finished
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
    by_patient = out.with_stem(f"{out.stem}_by_patient")
    ours = {out.resolve(), by_patient.resolve()}  # of an earlier call, where it lies among the images
    for written in (out, by_patient):
        check_suffix(written)
        if patient_table is not None and written.resolve() == patient_table.resolve():
            raise FrostlineError(f"{written}: is the table of patients; name another file for --out")
        if written.exists() and RunFolder(written.parent).is_begun:
            raise FrostlineError(f"{written}: is a file of a run; name another one for --out")
    checkpoints, targets = split_arguments(arguments)
    networks = load_ensemble(checkpoints)
    files = [file for file in once_each(find_images(targets)) if file.resolve() not in ours]
    if not files:
        raise FrostlineError(f"{out}: is the only file among the images; name the images, and another file for --out")
    task = networks[0].task
    patients = Patients()
    find_patient = patient_finder(files, patient_table, patient_pattern)
    answers = answer(networks, progress(files, "predicting"), find_patient, batch_size, coverage, mirrored)
    count = write_answers(patients.gather(answers), task, out, ensemble=len(networks) > 1)
    flagged, unlike, passed = count["flagged"], count["unlike"], count_others(targets, ours)
    lines = [
        f"{out}: {len(files):,} files by {len(networks)} {'network' if len(networks) == 1 else 'networks'}: "
        + ", ".join(f"{count[name]:,} {name}" for name in task.classes)
        + (f"; {flagged:,} without an answer, and why in the column flag" if flagged else "")
    ]
    if passed:
        lines.append(f"{passed:,} other files in these folders were passed by: no images by suffix, and no DICOM")
    if unlike:
        lines.append(
            f"{unlike:,} are unlike the images it was trained on (column unlike beyond 1): do not rely on these"
        )
    if count["seen"]:
        lines.append(
            f"{count['seen']:,} were trained on, or a network was chosen by them (column seen): these say nothing of "
            "new images"
        )
    if patients.seen:
        write_rows(patient_rows(patients, task), by_patient)
        doubtful = sum(of.unlike > 0 for of in patients.seen.values())
        lines.append(
            f"{by_patient}: {len(patients.seen):,} patients, means over their slices"
            + (f"; in {doubtful:,} of them slices are unlike the training images (column unlike)" if doubtful else "")
        )
    else:
        by_patient.unlink(missing_ok=True)  # of an earlier call: it would seem to belong to these answers
    lines += caveats(networks, coverage)
    lines.append("A figure for research, no diagnosis.")
    return "\n".join(lines)


def split_arguments(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Checkpoints, and all that comes after the last of them. A run's folder, or one of runs, stands for its networks.

    Of a study's runs those count that were tested: its final training. Raises `ConfigError` where either is missing.
    """
    checkpoints: list[Path] = []
    for i, argument in enumerate(arguments):
        found = find_checkpoints(Path(argument))
        if not found and checkpoints:
            for image in map(Path, arguments[i:]):
                if image.suffix in NETWORKS or RunFolder(image).is_begun:
                    raise ConfigError(f"{image}: is no image; networks come first, and of runs those that are finished")
            return checkpoints, list(arguments[i:])
        checkpoints += found or require_checkpoints([Path(argument)])
    raise ConfigError(f"no images given after {arguments[-1]}: frostline predict CHECKPOINT... IMAGE_OR_FOLDER...")


def require_checkpoints(paths: Sequence[Path]) -> list[Path]:
    """Those that `paths` stand for. Raises `ConfigError` for one that stands for none."""
    found: list[Path] = []
    for path in paths:
        inside = find_checkpoints(path)
        if not inside:
            raise ConfigError(
                f"{path}: no checkpoint (.ckpt, .onnx), and no folder of finished runs; networks come first"
            )
        found += inside
    return found


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
