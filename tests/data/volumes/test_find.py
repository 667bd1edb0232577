"""Which volumes lie below a folder, and whose each is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  # as its own documentation does
from pydicom.uid import (
    MRImageStorage,
)

from frostline.data.volumes.findings import Choice
from frostline.data.volumes.write import write_slices, written_text
from tests.data.volumes.scans import (
    refusal,
    table,
    volume_of,
    write_series,
    write_volume,
)


def test_volume_files_of_one_name_in_two_sources_are_two_patients(chest: np.ndarray, tmp_path: Path) -> None:
    for name in ("benign", "normal"):
        (tmp_path / name).mkdir()
        write_slices(write_volume(tmp_path / name / "case_1.nii.gz", chest), tmp_path / "data" / name)
    assert len({patient for name in ("benign", "normal") for _, patient in table(tmp_path / "data" / name)}) == 2


def test_patients_are_told_apart_and_series_of_one_are_put_together(chest: np.ndarray, tmp_path: Path) -> None:
    source = tmp_path / "dicom"
    for number, (patient, study, series) in enumerate(
        [("A", "1.1", "1.1.1"), ("A", "1.2", "1.2.1"), ("B", "2", "2.1")]
    ):
        write_series(source / str(number), chest, PatientID=patient, StudyInstanceUID=study, SeriesInstanceUID=series)
    written = write_slices(source, tmp_path / "out", Choice(every=4))
    assert (written.slices, written.series, written.patients) == (6, 3, 2)
    assert "6 slices of 3 series of 2 patients" in written_text(written)
    by_pattern = write_slices(source, tmp_path / "pattern", Choice(every=4), patient_pattern="^([0-9]+)/")
    assert by_pattern.patients == 3
    for pattern, reason in (("^x(.)", "does not fit"), ("[", "no regular"), ("^[0-9]", "no group")):
        assert reason in refusal(source, tmp_path / "no", patient_pattern=pattern)


def test_without_an_id_a_study_is_a_patient_and_that_is_said(chest: np.ndarray, tmp_path: Path) -> None:
    for n in range(2):
        study = {"StudyInstanceUID": f"1.{n}", "SeriesInstanceUID": f"1.{n}.1"}
        write_series(tmp_path / "none" / str(n), chest, PatientID=None, **study)
        write_series(tmp_path / "nobody" / str(n), chest, PatientID="ANONYMOUS", **study)
        write_series(tmp_path / "alike" / str(n), chest, PatientID="HOSPITAL", **study)
    none, alike = (write_slices(tmp_path / kind, tmp_path / f"{kind}-out") for kind in ("none", "alike"))
    assert none.patients == write_slices(tmp_path / "nobody", tmp_path / "nobody-out").patients == 2
    assert none.notes[0].startswith("2 series without PatientID: each study is taken for a patient")
    assert alike.patients == 1
    assert alike.notes[0].startswith("2 studies that share their only PatientID")


def test_volume_files_of_one_name_are_patients_of_their_own(chest: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        write_volume(tmp_path / "in" / name / "ct.nii.gz", chest)
    written = write_slices(tmp_path / "in", tmp_path / "out")
    assert written.patients == written.series == 2
    assert written.notes[0].startswith("2 volume files: each is taken for a patient of its own")
    (tmp_path / "in" / "a" / "ct2.mha").symlink_to(write_volume(tmp_path / "ct2.mha", chest))
    joined = write_slices(tmp_path / "in", tmp_path / "joined", patient_pattern="^(.)/")
    assert (joined.series, joined.patients, joined.notes) == (3, 2, ())


def test_a_folder_without_ct_is_refused_with_what_it_holds(chest: np.ndarray, tmp_path: Path) -> None:
    write_series(tmp_path / "mr", chest, Modality="MR", SOPClassUID=MRImageStorage)
    assert "1 series left out: MR" in refusal(tmp_path / "mr", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing")
    assert "no axial CT series" in refusal(tmp_path / "empty", tmp_path / "out")
    assert "no such file or folder" in refusal(tmp_path / "absent", tmp_path / "out")


def test_volumes_that_are_no_ct_are_refused(chest: np.ndarray, tmp_path: Path) -> None:
    wrong = {
        "four.nii.gz": (volume_of(np.stack([chest, chest])), "4 dimensions"),
        "flat.mha": (volume_of(chest[0]), "2 dimensions"),
        "colour.nrrd": (volume_of(np.zeros((8, 8, 8, 3), np.uint8), colour=True), "3 values a voxel"),
        "mask.nii.gz": (volume_of((chest > 0).astype(np.uint8)), "values of 0 to 1 are not HU"),
        "shifted.nii.gz": (volume_of(chest + np.int16(1100)), "are not HU of a chest"),
        "padded.nii.gz": (volume_of(chest - np.int16(8000)), "are not HU of a chest"),
        "nan.mha": (volume_of(np.where(chest > 0, np.nan, chest).astype(np.float32)), "nan"),
    }
    for name, (image, reason) in wrong.items():
        sitk.WriteImage(image, str(tmp_path / name))
        assert reason in refusal(tmp_path / name, tmp_path / "out")
    (tmp_path / "broken.nii.gz").write_bytes(b"no NIfTI")
    assert "cannot be read" in refusal(tmp_path / "broken.nii.gz", tmp_path / "out")
    lost = tmp_path / "lost.nii"
    content = bytearray(write_volume(lost, chest).read_bytes())
    content[252:256] = bytes(4)  # qform_code and sform_code
    lost.write_bytes(content)
    assert "which way is up" in refusal(lost, tmp_path / "out")


def test_dicom_and_volume_files_are_not_taken_together(chest: np.ndarray, tmp_path: Path) -> None:
    write_volume(write_series(tmp_path / "both", chest) / "same.nii.gz", chest)
    assert "in two folders" in refusal(tmp_path / "both", tmp_path / "out")
