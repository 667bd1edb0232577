"""Patients: the best source decides, the others fill in, and what is not known is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.data.patients import Patients, count_by_source, find_patients
from frostline.errors import ConfigError
from tests.data.made import record


def sets_of(patients: Patients) -> set[frozenset[int]]:
    """Which records are one patient."""
    named: dict[str, set[int]] = {}
    for i, name in enumerate(patients.names):
        if name is not None:
            named.setdefault(name, set()).add(i)
    return {frozenset(members) for members in named.values()}


def test_headers_tell_patients_where_nothing_else_is_given() -> None:
    records = [record("a", patient="p"), record("b", patient="p"), record("c", patient="q"), record("d")]
    patients = find_patients(records, None, None)
    assert sets_of(patients) == {frozenset({0, 1}), frozenset({2})}
    assert patients.sources == ("dicom", "dicom", "dicom", None)
    assert count_by_source(patients) == {"dicom": 2}


def test_a_table_outweighs_the_path_and_the_path_the_header() -> None:
    records = [record("P1_a", patient="x"), record("P1_b", patient="y"), record("c", patient="x"), record("P1_d")]
    patients = find_patients(records, {"P1_d": "someone else"}, r"(P\d)")
    assert patients.sources == ("pattern", "pattern", "dicom", "table")
    assert patients.names[3] == "table:someone else"
    assert patients.names[0] == patients.names[1] == patients.names[2]  # x is P1: the header joins what has no name


def test_a_better_source_tells_apart_what_the_header_joins() -> None:
    patients = find_patients([record("P1", patient="x"), record("P2", patient="x")], None, r"(P\d)")
    assert sets_of(patients) == {frozenset({0}), frozenset({1})}
    assert len(patients.links) == 0


def test_a_patient_id_that_all_files_share_says_nothing_and_studies_are_kept_together() -> None:
    records = [record(str(i), "ab"[i % 2], patient="p", study=f"s{i // 2}") for i in range(6)]
    patients = find_patients(records, None, None)
    assert patients.known == 0
    assert sorted(map(tuple, patients.studies.tolist())) == [(0, 1), (2, 3), (4, 5)]
    assert any("have one PatientID (anonymised alike?)" in remark for remark in patients.remarks)


def test_a_study_that_all_files_share_joins_nothing_where_patients_are_told_apart() -> None:
    records = [record(str(i), patient=f"p{i // 2}", study="s", series="e") for i in range(6)]
    patients = find_patients(records, None, None)
    assert len(patients.studies) == 0
    assert sets_of(patients) == {frozenset({0, 1}), frozenset({2, 3}), frozenset({4, 5})}


def test_a_study_of_its_own_for_every_file_makes_no_patient_known() -> None:
    patients = find_patients([record(str(i), study=f"s{i}", series=f"e{i}") for i in range(6)], None, None)
    assert patients.known == 0
    assert any("no PatientID, or a placeholder" in remark for remark in patients.remarks)


def test_images_without_a_name_join_all_names_of_their_patient_id_and_that_is_said() -> None:
    records = [record("P1", patient="x"), record("P2", patient="x"), record("c", patient="x")]
    patients = find_patients(records, None, r"(P\d)")
    assert sorted(map(tuple, patients.links.tolist())) == [(0, 2), (1, 2)]
    assert any("1 PatientIDs stand under several names" in remark for remark in patients.remarks)


def test_one_patient_alone_is_one_patient() -> None:
    assert sets_of(
        find_patients([record(str(i), patient="p", study="s", series="e") for i in range(4)], None, None)
    ) == {frozenset(range(4))}


def test_files_of_one_study_are_kept_together_also_where_one_of_them_lacks_the_patient_id() -> None:
    records = [record("a", patient="p", study="s"), record("b", study="s"), record("c", patient="q", study="t")]
    patients = find_patients(records, None, None)
    assert patients.names[1] is None
    assert patients.studies.tolist() == [[0, 1]]


@pytest.mark.parametrize("nobody", ["", "nan", "NA", "unknown", "Anonymous"])
def test_what_stands_in_place_of_a_name_names_nobody(nobody: str) -> None:
    assert find_patients([record("a"), record("b")], {"a": nobody, "b": nobody}, None).known == 0


def test_a_pattern_that_fits_half_of_the_files_says_so_and_one_that_fits_none_is_refused() -> None:
    records = [record("patient_1"), record("Patient02"), record("patient_3"), record("Patient04")]
    patients = find_patients(records, None, r"(patient_\d+)")
    assert "of 2 of 4 images no patient is known, such as Patient02" in patients.remarks
    with pytest.raises(ConfigError, match=r"data\.patient_pattern=\(Q\\d\): fits none of 4 paths, such as patient_1"):
        find_patients(records, None, r"(Q\d)")


def test_a_patient_in_two_classes_is_one_and_is_said() -> None:
    records = [record("benign/P1", "benign"), record("normal/P1", "normal"), record("normal/P2", "normal")]
    patients = find_patients(records, None, r"(P\d)")
    assert patients.names[0] == patients.names[1] != patients.names[2]
    (remark,) = patients.remarks
    assert "patients with images in more than one class: 1, such as benign/P1 and normal/P1; each is one" in remark
    assert '"([^/]+/P[0-9]+)"' in remark


@given(st.lists(st.tuples(st.sampled_from([None, "p", "q", "r"]), st.sampled_from([None, "x", "y"])), min_size=1))
def test_images_of_one_name_in_the_best_source_are_always_one_patient(
    known: list[tuple[str | None, str | None]],
) -> None:
    records = [record(str(i), patient=header) for i, (_, header) in enumerate(known)]
    table = {str(i): name for i, (name, _) in enumerate(known) if name is not None}
    patients = find_patients(records, table, None)
    for i, (name, header) in enumerate(known):
        assert (patients.names[i] is None) == (name is None and header is None)
        for j, (other, _) in enumerate(known):
            if name is not None and other is not None:
                assert (name == other) == (patients.names[i] == patients.names[j])
