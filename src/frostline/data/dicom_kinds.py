"""Which DICOM objects are axial CT slices, and the kind of the others, by Modality, SOP class and Image Type."""

import re
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from frostline.data.reading import LeftOut, NoImage, UnreadableImage

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MODALITY_OF = {  # of SOP classes that leave no choice
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.20": "NM",
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.6.1": "US",
    "1.2.840.10008.5.1.4.1.1.12.1": "XA",
    "1.2.840.10008.5.1.4.1.1.12.2": "RF",
    "1.2.840.10008.5.1.4.1.1.481.1": "RTIMAGE",
}
ENHANCED = re.compile(r".*Enhanced .*Image Storage")
NO_IMAGES = {  # modality: what it is
    "SR": "structured report",
    "SEG": "segmentation",
    "PR": "presentation state",
    "KO": "key object selection",
    "RTSTRUCT": "RT structure set",
    "RTPLAN": "RT plan",
    "RTDOSE": "RT dose",
    "RTRECORD": "RT record",
    "REG": "registration",
    "DOC": "document",
    "RAW": "raw data",
    "RWV": "real world values",
}
SCOUTS = ("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM")  # one thing by the names of several makers
LOSSY_COMPRESSION = "113040"  # DCM code for a derivation, PS3.16 CID 7203
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
AXIAL = np.cos(np.radians(35))  # a gantry is tilted by up to 30 degrees


class Kind(NamedTuple):
    """An object that is to be read."""

    modality: str
    is_hu: bool
    """A CT slice. A localizer is none: its values are no HU, PS3.3 C.8.2.1.1.5."""
    is_capture: bool
    """Secondary capture: a screen shot perhaps, of grey values."""


def classify(data: Dataset, keep: tuple[str, ...], *, header_alone: bool = False) -> Kind:
    """Tell what is to be read; `keep` names what is read although it is no axial CT slice of the scanner.

    One kind is asked for each of: modality, localizer, how it was made (secondary or derived), plane, and each that
    is not the usual one must be kept. DERIVED is no fault where only lossy compression made it so: the slice is the
    scanner's, as that of any JPEG picture. An absent orientation is taken for axial. With `header_alone` the pixels
    were not read, and are taken to be there.

    Raises NoImage, LeftOut with the kind that `keep` would have to name, UnreadableImage for a CT without pixels.
    """
    sop = text(data, "SOPClassUID") or text(data.file_meta, "MediaStorageSOPClassUID")
    name = UID(sop).name if sop else ""
    modality = text(data, "Modality").upper()
    has_pixels = header_alone or any(pixels in data for pixels in PIXELS)
    _refuse_no_image(data, has_pixels, sop, name, modality)
    modality = _modality(modality, sop, name)
    _require(modality != "CT", modality, "not CT", keep)
    image_type = [value.strip().upper() for value in text(data, "ImageType").split("\\")] + [""] * 3
    is_localizer = _is_localizer(data, image_type)
    _require(is_localizer, "localizer", "a survey, not a slice", keep)
    is_capture = sop == SECONDARY_CAPTURE or sop.startswith(SECONDARY_CAPTURE + ".")
    derived = image_type[0] == "DERIVED" and not _only_compressed(data, image_type)
    if is_localizer:
        pass  # however it was made
    elif is_capture or (image_type[1] == "SECONDARY" and not derived):
        _require(True, "secondary", "made after the scan, such as a screen shot", keep)
    else:
        _require(derived, "derived", "computed from other images", keep)
    if "SharedFunctionalGroupsSequence" in data or ENHANCED.fullmatch(name):
        raise LeftOut("enhanced DICOM", "a volume: `frostline slices FILE FOLDER` writes its slices")
    if (frames := number(data, "NumberOfFrames")) is not None and frames > 1:
        raise LeftOut("multi-frame DICOM", f"{frames:.0f} frames: `frostline slices FILE FOLDER` writes its slices")
    if not has_pixels:
        raise UnreadableImage(f"DICOM without pixel data: {name or 'of unknown kind'}")
    if not is_localizer:
        plane = _plane(data)
        _require(plane != "axial", plane, "not an axial slice", keep)
    return Kind(modality, modality == "CT" and not is_localizer, is_capture)


def text(data: Dataset, keyword: str) -> str:
    """An element as text, its values joined by a backslash; empty when absent or damaged."""
    try:
        value: Any = data.get(keyword)
    except Exception:  # pydicom converts at this moment, and damaged values raise nearly every type
        return ""
    values = [value] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else value
    return "\\".join("" if v is None else str(v) for v in values).strip(" \0")


def number(data: Dataset, keyword: str) -> float | None:
    """An element as one finite number; None when absent or empty. Raises UnreadableImage, without the value."""
    found = text(data, keyword)
    try:
        value = float(found) if found else None
    except ValueError:
        value = np.nan
    if (value is None and keyword in data and data[keyword].VM) or (value is not None and not np.isfinite(value)):
        raise UnreadableImage(f"damaged: {keyword} is no number")
    return value


def _refuse_no_image(data: Dataset, has_pixels: bool, sop: str, name: str, modality: str) -> None:
    known = bool(name) and name != sop
    if name == "Media Storage Directory Storage" or "DirectoryRecordSequence" in data:
        raise NoImage("DICOMDIR")
    if modality in NO_IMAGES:
        raise NoImage(f"DICOM {NO_IMAGES[modality]}")
    if known and "Image Storage" not in name:
        if " SR" in name:
            raise NoImage("DICOM structured report")
        for kind in ("Segmentation", "Presentation State"):
            if kind in name:
                raise NoImage(f"DICOM {kind.lower()}")
        raise NoImage(f"DICOM {name.removesuffix(' Storage')}")
    if not has_pixels and not known:
        if not sop:
            raise UnreadableImage("damaged: DICOM with neither SOP class nor pixel data")
        raise NoImage("DICOM of a private kind")


def _modality(stated: str, sop: str, name: str) -> str:
    """The code of the modality: CT only where neither Modality nor SOP class says otherwise."""
    implied = MODALITY_OF.get(sop) or ("CT" if "CT Image Storage" in name else "")
    if not re.fullmatch(r"[A-Z0-9_ ]{1,16}", stated):
        return implied or "OT"
    return implied if stated == "CT" and implied else stated


def _is_localizer(data: Dataset, image_type: list[str]) -> bool:
    if any(scout in value for value in image_type for scout in SCOUTS):
        return True
    described = text(data, "SeriesDescription").upper()
    return image_type[2] != "AXIAL" and described.startswith(SCOUTS)


def _only_compressed(data: Dataset, image_type: list[str]) -> bool:
    if text(data, "LossyImageCompression") != "01" or image_type[1] != "PRIMARY" or image_type[2] not in ("AXIAL", ""):
        return False
    codes = {text(item, "CodeValue") for item in data.get("DerivationCodeSequence") or ()}
    return codes <= {LOSSY_COMPRESSION}


def _plane(data: Dataset) -> str:
    try:
        cosines = np.array([float(v) for v in text(data, "ImageOrientationPatient").split("\\")])
        normal = np.cross(cosines[:3], cosines[3:])
    except ValueError:
        return "axial"  # absent, or no six numbers: the file does not say
    length = float(np.linalg.norm(normal))
    if not 0.1 < length < np.inf:
        return "axial"
    x, y, z = np.abs(normal) / length
    return "axial" if z >= AXIAL else "sagittal" if x >= AXIAL else "coronal" if y >= AXIAL else "oblique"


def _require(applies: bool, kind: str, what: str, keep: tuple[str, ...]) -> None:
    if applies and kind.casefold() not in {kept.casefold() for kept in keep}:
        raise LeftOut(kind, f"{what}; data.dicom_keep=[{kind}] reads it")
