"""What a synthetic data set holds, and the table of whose each file is."""

import csv
from collections.abc import Sequence
from pathlib import Path

Truth = Sequence[tuple[str, str]]  # path below the data set's folder, with slashes, and the patient


def is_written(root: Path, files: Truth) -> bool:
    """Whether `root` exists with these files. Raises FileExistsError when it exists without one of them."""
    if not root.exists():
        return False
    lost = next((file for file, _ in files if not (root / file).is_file()), None)
    if lost is not None:
        raise FileExistsError(f"{root} is another data set, without {lost}: remove it or choose another folder")
    return True


def check_truth_path(truth: Path | None, root: Path) -> None:
    """Raise ValueError when the table of the patients would lie within the data set, which is to keep them secret."""
    if truth is not None and truth.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"the true patients belong outside of the data set {root}, not into {truth}")


def write_truth(truth: Path | None, files: Truth) -> None:
    """Write the columns `file` and `patient`, if anywhere."""
    if truth is None:
        return
    truth.parent.mkdir(parents=True, exist_ok=True)
    with truth.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("file", "patient"), *files])
