"""New images, read and predicted in batches: a bad file is a flagged row, and never stops the rest."""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from frostline.config.tables import read_table
from frostline.data.cache import as_tensor
from frostline.data.images import read_slice
from frostline.data.listing import files_below, is_hidden, may_be_image
from frostline.data.reading import ImageFacts, LeftOut, NoImage, Slice, UnreadableImage
from frostline.data.records import file_sha256
from frostline.errors import FrostlineError
from frostline.inference.network import Network, Said

NOTHING = ImageFacts("", float("nan"), float("nan"))  # known of a file that cannot be read
UNLIKE = "unlike the images it was trained on"
SEEN = {"train": "trained on", "val": "chosen by"}  # by split: what a network was by such an image


@dataclass(frozen=True)
class Answer:
    """What is said of one file: probabilities, or the reason why there are none."""

    path: str
    probabilities: tuple[float, ...] | None
    """Calibrated, by class; of several networks their mean."""
    entropy: float = float("nan")
    """Of the probabilities, in bits: 0 is sure, log2 of the number of classes knows nothing."""
    classes: tuple[int, ...] = ()
    """The prediction set, indices of classes; of several networks those that are in the sets of at least half."""
    positive: bool | None = None
    """Whether it reaches the threshold chosen in training; of several networks whether at least half say so, for it is
    the class that must not be missed; None: there is none."""
    disagreement: float | None = None
    """Share of several networks that name another class than all together; None of a single one."""
    unlike: float | None = None
    """How far it is from the training images, beyond 1 unlike them; of several networks their mean."""
    seen: str = ""
    """That this very file was `trained on`, or that a network was `chosen by` it: it says nothing of new images. Empty
    where that is not so, or no manifest lies beside the networks."""
    flag: str = ""
    """Why there is no answer, or why not to rely on it."""
    patient: str | None = None
    """Whose image it is, where that is known."""

    @property
    def predicted(self) -> int | None:
        """The likeliest class, an index of the network's `task.classes`; None of a bad file."""
        return None if self.probabilities is None else int(np.argmax(self.probabilities))


FindPatient = Callable[[Path, ImageFacts], "str | None"]


def find_images(targets: Sequence[str]) -> Iterator[Path]:
    """The files that images, folders and patterns such as `scans/*.dcm` name; of folders those that may be images.

    Raises `FrostlineError` for one that names nothing.
    """
    for target in targets:
        path, found = Path(target), False
        if path.is_dir():
            for below in files_below(path):
                if _counts(path, below):
                    found = True
                    yield path / below
            if not found:
                raise FrostlineError(f"{target}: no image below this folder")
        elif path.exists() or path.is_symlink():
            yield path
        else:
            names = sorted(glob.glob(target, recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
            if not names:
                raise FrostlineError(f"{target}: there is no such file or folder, and no file of such a name")
            yield from (Path(name) for name in names if Path(name).is_file())


def _counts(folder: Path, below: str) -> bool:
    """Whether a file in a folder may be an image, and is not hidden."""
    return not any(is_hidden(part) for part in Path(below).parts) and may_be_image(folder / below)


def count_others(targets: Sequence[str], ours: Collection[Path]) -> int:
    """Files in the folders among `targets` that `find_images` passes by, but for hidden ones and those of `ours`."""
    return sum(
        not _counts(Path(target), below) and not any(is_hidden(part) for part in Path(below).parts)
        for target in targets
        if Path(target).is_dir()
        for below in files_below(Path(target))
        if (Path(target) / below).resolve() not in ours
    )


def once_each(files: Iterable[Path]) -> Iterator[Path]:
    """Every file once, by whichever way it is named first."""
    seen: set[Path] = set()
    for file in files:
        if (real := file.resolve()) not in seen:
            seen.add(real)
            yield file


def answer(
    networks: Sequence[Network],
    files: Iterable[Path],
    find_patient: FindPatient,
    batch_size: int,
    coverage: float,
    mirrored: bool = False,
) -> Iterator[Answer]:
    """Predict `files` by one network, or by several that answer together, in the order of the files.

    A prediction set holds the true class of a new patient's image in a share `coverage` of cases, of each class; the
    majority vote of several such sets misses at most twice as often (Gasparin and Ramdas 2024, arXiv:2401.09379).

    With `mirrored` probabilities are means of the image's and its mirror image's; sets, threshold and distance, which
    validation images chose as they are, stay those of the image itself. One batch is computed while the next one is
    read, so that no more than two are in memory. Networks that read files in different ways each get their own images.
    """
    batches, splits = _in_batches(files, batch_size), splits_of(networks)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(_read_batch, networks, next(batches, []))
        while (read := coming.result()).files:
            coming = reader.submit(_read_batch, networks, next(batches, []))
            good = [file for file in read.files if file not in read.flags]
            told = _ask(networks, read.images, good, coverage, mirrored) if good else {}
            for file in read.files:
                patient = find_patient(file, read.facts.get(file, NOTHING))
                if file in told:
                    yield replace(told[file], patient=patient, seen=how_seen(file, splits))
                else:
                    yield Answer(str(file), None, flag=read.flags[file], patient=patient)


def splits_of(networks: Sequence[Network]) -> dict[str, str]:
    """Of the files that networks were trained or chosen by, by checksum: those whose manifests lie beside them."""
    found: dict[str, str] = {}
    for manifest in {network.file.with_name("manifest.csv") for network in networks}:
        with suppress(FrostlineError, OSError):
            rows = read_table(manifest, ["path", "sha256", "split"]).rows if manifest.is_file() else []
            for row in rows:
                if row["split"] in SEEN and found.get(row["sha256"]) != "train":
                    found[row["sha256"]] = row["split"]
    return found


def how_seen(file: Path, splits: Mapping[str, str]) -> str:
    """One of `SEEN` for a file that is one of those; empty for all others."""
    return SEEN.get(splits.get(file_sha256(file), ""), "") if splits else ""


@dataclass(frozen=True)
class _Read:
    """Files as they were read: images by how networks want them, and by file; of bad ones the reason."""

    files: list[Path]
    images: dict[tuple[object, int], dict[Path, torch.Tensor]]
    facts: dict[Path, ImageFacts]
    flags: dict[Path, str]


def _in_batches(files: Iterable[Path], size: int) -> Iterator[list[Path]]:
    left = iter(files)
    while some := [*islice(left, size)]:
        yield some


def _read_batch(networks: Sequence[Network], files: list[Path]) -> _Read:
    read = _Read(files, {}, {}, {})
    for network in networks:
        kind = network.reading, network.image_size
        if kind in read.images:
            continue
        read.images[kind] = {}
        for file in files:
            if file not in read.flags:
                found = read_for(file, network)
                if isinstance(found, str):
                    read.flags[file] = found
                else:
                    read.facts[file] = found.facts
                    read.images[kind][file] = as_tensor(found.grey, network.image_size)
    return read


def read_for(file: Path, network: Network) -> Slice | str:
    """The slice as a network wants it, or in a line why there is none."""
    try:
        return read_slice(file, network.reading)
    except NoImage as error:
        return f"no image: {error}"
    except (LeftOut, UnreadableImage) as error:
        return str(error)
    except MemoryError:
        return "does not fit into memory"


def answer_read(
    networks: Sequence[Network], files: Sequence[Path], images: torch.Tensor, coverage: float
) -> list[Answer]:
    """As `answer`, for images [N, 1, H, W] in 0..1 that were read from `files` and are the same for all networks."""
    read = dict(zip(files, images, strict=True))
    told = _ask(networks, {(n.reading, n.image_size): read for n in networks}, files, coverage)
    return [told[file] for file in files]


def _ask(
    networks: Sequence[Network],
    images: dict[tuple[object, int], dict[Path, torch.Tensor]],
    good: Sequence[Path],
    coverage: float,
    mirrored: bool = False,
) -> dict[Path, Answer]:
    said = []
    for network in networks:
        read = images[network.reading, network.image_size]
        batch = torch.stack([read[file] for file in good])
        one = network.say(batch, coverage)
        if mirrored:
            other = network.say(batch.flip(-1), coverage)
            one = one._replace(probabilities=(one.probabilities + other.probabilities) / 2)
        said.append(one)
    all_said = np.stack([one.probabilities for one in said])
    sets = np.mean([one.sets for one in said], axis=0) >= 0.5
    mean = all_said.mean(0)
    entropy = -(mean * np.log2(np.clip(mean, 1e-12, 1))).sum(1)
    agree = (all_said.argmax(2) == mean.argmax(1)).mean(0)
    unlike = _mean_unlike(said)
    known = [one.positive for one in said if one.positive is not None]
    most = np.mean(known, axis=0) >= 0.5 if len(known) == len(networks) else None
    finite = np.isfinite(mean).all(1)
    return {
        file: Answer(str(file), None, flag="the network gives no finite answer")
        if not finite[k]
        else Answer(
            str(file),
            tuple(map(float, mean[k])),
            float(entropy[k]),
            tuple(map(int, np.flatnonzero(sets[k]))),
            None if most is None else bool(most[k]),
            None if len(networks) == 1 else float(1 - agree[k]),
            None if unlike is None else float(unlike[k]),
            flag=UNLIKE if unlike is not None and unlike[k] > 1 else "",
        )
        for k, file in enumerate(good)
    }


def _mean_unlike(said: Sequence[Said]) -> np.ndarray | None:
    known = [one.unlike for one in said if one.unlike is not None]
    return np.mean(known, axis=0) if len(known) == len(said) else None
