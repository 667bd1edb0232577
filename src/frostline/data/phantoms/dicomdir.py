"""A DICOMDIR: the table of contents that downloads from an archive or a disc bring along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from frostline.data.phantoms.dicom_objects import make_meta, make_uid

LEVELS = {  # what a record of each kind says, the first of it telling one from another
    "PATIENT": ("PatientID", "PatientName"),
    "STUDY": ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "StudyDescription"),
    "SERIES": ("SeriesInstanceUID", "Modality", "SeriesNumber"),
    "IMAGE": ("SOPInstanceUID", "InstanceNumber"),
}


class _Record(NamedTuple):
    """A record and those below it."""

    data: Dataset
    below: dict[str, _Record]


def write_dicomdir(path: Path, objects: Iterable[Dataset]) -> None:
    """Write the directory of `objects`.

    It names the files as they lay in the archive, `DICOM/IM000000`, which is not where they lie now: so it is with
    downloads that were sorted into classes, and the standard forbids longer names.
    """
    tree: dict[str, _Record] = {}
    for number, data in enumerate(objects):
        level = tree
        for kind, keywords in LEVELS.items():
            key = str(data[keywords[0]].value)
            level = level.setdefault(key, _Record(_make_record(kind, keywords, data, number), {})).below
    records = list(_flatten(tree.values()))
    directory = Dataset()
    directory.file_meta = make_meta(MediaStorageDirectoryStorage, make_uid("DICOMDIR", sorted(tree)))
    directory.FileSetID, directory.FileSetConsistencyFlag = "PHANTOMS", 0
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.DirectoryRecordSequence = [record.data for record in records]
    draft = BytesIO()
    directory.save_as(draft, enforce_file_format=True)
    written = dcmread(BytesIO(draft.getvalue())).DirectoryRecordSequence
    # Offsets have a fixed length: putting them in moves no record
    at = {id(record.data): item.seq_item_tell for record, item in zip(records, written, strict=True)}
    siblings = list(tree.values())
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = at[id(siblings[0].data)]
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = at[id(siblings[-1].data)]
    _chain(siblings, at)
    directory.save_as(path, enforce_file_format=True)


def _make_record(kind: str, keywords: Sequence[str], data: Dataset, number: int) -> Dataset:
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind
    if kind == "IMAGE":
        record.DirectoryRecordType = "SR DOCUMENT" if data.Modality == "SR" else "IMAGE"
        record.ReferencedFileID = ["DICOM", f"IM{number:06d}"]
        record.ReferencedSOPClassUIDInFile = data.SOPClassUID
        record.ReferencedSOPInstanceUIDInFile = data.SOPInstanceUID
        record.ReferencedTransferSyntaxUIDInFile = data.file_meta.TransferSyntaxUID
        keywords = keywords[1:]
    for keyword in keywords:
        setattr(record, keyword, data[keyword].value)
    return record


def _flatten(records: Iterable[_Record]) -> Iterable[_Record]:
    for record in records:
        yield record
        yield from _flatten(record.below.values())


def _chain(siblings: Sequence[_Record], at: dict[int, int]) -> None:
    """Link each record to the next one of its level and to the first one below."""
    for record, following in zip_longest(siblings, siblings[1:]):
        below = list(record.below.values())
        record.data.OffsetOfTheNextDirectoryRecord = at[id(following.data)] if following else 0
        record.data.OffsetOfReferencedLowerLevelDirectoryEntity = at[id(below[0].data)] if below else 0
        _chain(below, at)
