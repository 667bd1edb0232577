"""The DICOM objects of a synthetic patient: CT slices and what else a study holds. Plain values in, data sets out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from scipy.ndimage import gaussian_filter

from frostline.data.phantoms.canvas import Field
from frostline.data.phantoms.cohort import TONE, Patient, scan_patient

SLICE_MM = 2.5  # distance of slices at a `step` of 1
LOWEST_HU, HIGHEST_HU = -1024, 3071  # what 12 bits hold

CT_SERIES, PET_SERIES, CAPTURES, REPORTS = 2, 3, 4, 5
SERIES = {CT_SERIES: "CT chest", PET_SERIES: "PET", CAPTURES: "Screen shots", REPORTS: "Report"}


def make_uid(*parts: object) -> UID:
    """A UID that depends on `parts` alone."""
    return generate_uid(entropy_srcs=["frostline phantom", *(f"{part!r};" for part in parts)])


def make_meta(sop_class: UID, instance: UID) -> FileMetaDataset:
    """The file meta information, its bytes independent of pydicom's version."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = make_uid("implementation"), "FROSTLINE"
    return meta


@dataclass(frozen=True)
class Study:
    """One patient's examination, which makes the objects.

    Attributes:
        patient: whose it is.
        seed: of the cohort.
        size: width and height of the CT in pixels.
        intercept: of the rescale; -1024 stores 12 bits unsigned, 0 stores HU, signed.
    """

    patient: Patient
    seed: int
    size: int
    intercept: int

    @cached_property
    def hu(self) -> Field:
        """The CT, float64 [slices, size, size] in HU, drawn when it is asked for."""
        return scan_patient(self.seed, self.patient, self.size)

    @cached_property
    def pixel_mm(self) -> float:
        """Width of a pixel."""
        rng = np.random.default_rng([self.seed, self.patient.number, TONE])
        return round(float(rng.uniform(320, 420)) / self.size, 4)

    def uid(self, *parts: object) -> UID:
        """The UID of something of this study."""
        return make_uid(self.seed, self.size, self.intercept, tuple(self.patient), *parts)

    def slice_uid(self, index: int) -> UID:
        """The SOP Instance UID of a CT slice."""
        return self.uid("instance", CT_SERIES, index + 1)

    def series_uid(self) -> UID:
        """The Series Instance UID of the CT."""
        return self.uid("series", CT_SERIES)

    def slice(self, index: int) -> Dataset:
        """An axial CT slice, slice 0 the lowest."""
        data = self._image(CTImageStorage, "CT", CT_SERIES, index + 1, ["ORIGINAL", "PRIMARY", "AXIAL"])
        self._place(data, index)
        self._store_hu(data, self.hu[index])
        data.KVP, data.ConvolutionKernel, data.GantryDetectorTilt = "120", "STANDARD", "0"
        return data

    def localizer(self) -> Dataset:
        """A frontal projection, of the same series as the slices."""
        frontal = self.hu.mean(axis=1)[::-1]  # the head up
        data = self._image(CTImageStorage, "CT", CT_SERIES, 0, ["ORIGINAL", "PRIMARY", "LOCALIZER"])
        self._place(data, 0)
        data.ImageOrientationPatient, data.PatientOrientation = ["1", "0", "0", "0", "0", "-1"], ["L", "F"]
        self._store_hu(data, frontal[np.arange(self.size) * len(frontal) // self.size])
        return data

    def pet(self, index: int) -> Dataset:
        """A PET slice at the place of a CT slice: half the matrix, uptake in Bq/ml, a rescale that gives no HU."""
        body = np.where(self.hu[index, ::2, ::2] > -300, 4000.0, 100.0)
        data = self._image(PositronEmissionTomographyImageStorage, "PT", PET_SERIES, index + 1, ["ORIGINAL", "PRIMARY"])
        self._place(data, index, 2 * self.pixel_mm)
        _store(data, gaussian_filter(body, 1.5) / 0.8, np.uint16)
        data.RescaleIntercept, data.RescaleSlope, data.Units, data.CountsSource = "0", "0.8", "BQML", "EMISSION"
        data.SeriesType, data.DecayCorrection, data.CorrectedImage = ["WHOLE BODY", "IMAGE"], "START", ["DECY", "ATTN"]
        data.ImageIndex = index + 1
        return data

    def capture(self) -> Dataset:
        """A screen shot of the middle slice with a bar burned in, 8 bit: derived, secondary, in no units."""
        grey = (self.hu[len(self.hu) // 2] + 1000) * (255 / 1400)
        grey[: len(grey) // 12, : len(grey) // 3] = 255
        data = self._image(SecondaryCaptureImageStorage, "CT", CAPTURES, 1, ["DERIVED", "SECONDARY"])
        data.ConversionType, data.BurnedInAnnotation = "WSD", "YES"
        _store(data, grey, np.uint8)
        return data

    def report(self) -> Dataset:
        """A structured report: an object without pixels."""
        data = self._object(BasicTextSRStorage, "SR", REPORTS, 1)
        data.ContentDate, data.ContentTime = data.StudyDate, data.StudyTime
        data.CompletionFlag, data.VerificationFlag = "COMPLETE", "UNVERIFIED"
        data.ValueType, data.ContinuityOfContent = "CONTAINER", "SEPARATE"
        data.ConceptNameCodeSequence = [_code("18748-4", "LN", "Diagnostic imaging report")]
        finding = Dataset()
        finding.RelationshipType, finding.ValueType, finding.TextValue = "CONTAINS", "TEXT", "Synthetic, of no patient."
        finding.ConceptNameCodeSequence = [_code("121071", "DCM", "Finding")]
        data.ContentSequence = [finding]
        return data

    def _object(self, sop_class: UID, modality: str, series: int, instance: int) -> Dataset:
        """What all objects say of patient, study and series."""
        data, name = Dataset(), self.patient.name
        data.SpecificCharacterSet = "ISO_IR 100"
        data.SOPClassUID, data.SOPInstanceUID = sop_class, self.uid("instance", series, instance)
        data.file_meta = make_meta(sop_class, data.SOPInstanceUID)
        data.StudyDate = data.SeriesDate = (date(2020, 1, 1) + timedelta(days=self.patient.number)).strftime("%Y%m%d")
        data.StudyTime = data.SeriesTime = "120000"
        data.AccessionNumber = data.ReferringPhysicianName = data.PatientBirthDate = data.PatientSex = ""
        data.Modality, data.Manufacturer, data.StudyDescription = modality, "frostline", "CHEST"
        data.SeriesDescription = SERIES[series]
        data.PatientName, data.PatientID = name.replace("-", "^"), name
        data.StudyInstanceUID, data.SeriesInstanceUID = self.uid("study"), self.uid("series", series)
        data.StudyID, data.SeriesNumber, data.InstanceNumber = "1", series, instance
        return data

    def _image(self, sop_class: UID, modality: str, series: int, instance: int, kind: list[str]) -> Dataset:
        data = self._object(sop_class, modality, series, instance)
        data.ImageType, data.BodyPartExamined, data.PatientPosition = kind, "CHEST", "HFS"
        data.ContentDate = data.AcquisitionDate = data.StudyDate
        data.ContentTime = data.AcquisitionTime = data.StudyTime
        data.AcquisitionNumber, data.PatientOrientation = 1, ["L", "P"]
        return data

    def _place(self, data: Dataset, index: int, pixel_mm: float | None = None) -> None:
        """Where slice `index` lies in the patient, in mm: x to the left, y to the back, z to the head."""
        width, pixel = self.size * self.pixel_mm, pixel_mm or self.pixel_mm
        thick = SLICE_MM * self.patient.step
        corner, z = f"{(pixel - width) / 2:.3f}", f"{index * thick:.3f}"
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = self.uid("frame"), ""
        data.ImageOrientationPatient, data.ImagePositionPatient = ["1", "0", "0", "0", "1", "0"], [corner, corner, z]
        data.SliceThickness, data.SliceLocation, data.PixelSpacing = f"{thick:.3f}", z, [f"{pixel:.4f}"] * 2

    def _store_hu(self, data: Dataset, hu: Field) -> None:
        stored = np.clip(hu, LOWEST_HU, HIGHEST_HU) - self.intercept
        _store(data, stored, np.int16 if self.intercept > LOWEST_HU else np.uint16)
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = str(self.intercept), "1", "HU"
        data.WindowCenter, data.WindowWidth = "-600", "1500"


def _store(data: Dataset, values: Field, dtype: type[np.int16 | np.uint16 | np.uint8]) -> None:
    """Put one grey image [H, W] into `data`, rounded and clipped to `dtype`."""
    limits = np.iinfo(dtype)
    pixels: NDArray[np.integer] = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = limits.bits
    data.HighBit, data.PixelRepresentation = limits.bits - 1, int(limits.min < 0)
    raw = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    data = Dataset()
    data.CodeValue, data.CodingSchemeDesignator, data.CodeMeaning = value, scheme, meaning
    return data
