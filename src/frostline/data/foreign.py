"""What a file is that is neither a picture nor DICOM: by its first bytes, and by its name where they say nothing."""

import zlib
from pathlib import Path

from frostline.data.reading import LeftOut, NoImage

SLICES = "`frostline slices FILE FOLDER` writes its slices"
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", "icon\r", "folder.htt"}
VOLUMES = {
    ".nii": "NIfTI volume",
    ".nii.gz": "NIfTI volume",
    ".mha": "MetaImage volume",
    ".mhd": "MetaImage volume",
    ".nrrd": "NRRD volume",
    ".nhdr": "NRRD volume",
    ".mgh": "MGH volume",
    ".mgz": "MGH volume",
    ".mnc": "MINC volume",
}
PICTURES = (  # formats that stay closed, by the first bytes
    (b"GIF8", "GIF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop picture"),
    (b"P2\n", "PGM"),
    (b"P5\n", "PGM"),
    (b"P6\n", "PPM"),
)
OTHERS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"Rar!", "RAR archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ", "xz archive"),
    (b"\x89HDF", "HDF5"),
    (b"SQLite format 3", "SQLite database"),
    (b"\xd0\xcf\x11\xe0", "Office document"),
    (b"\0\x05\x16\x07", "system file"),  # AppleDouble: macOS writes ._x.jpg beside x.jpg
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
)


def refuse_foreign(path: Path, head: bytes) -> None:
    """Raise LeftOut or NoImage for what `head`, the first bytes, are known to be; return where they say nothing."""
    if path.name.lower() in SYSTEM_FILES:
        raise NoImage("system file")
    if kind := _volume(head):
        raise LeftOut(kind, SLICES)
    if head.startswith(b"\x1f\x8b"):
        _refuse_gzip(path, head)
    if head.startswith(b"\x93NUMPY") or (head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz"):
        raise LeftOut("NumPy array", "save its slices as PNG or TIFF")
    for magic, kind in PICTURES:
        if head.startswith(magic):
            raise LeftOut(kind, "save it as PNG")
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
        raise LeftOut("HEIF", "save it as PNG")
    for magic, kind in OTHERS:
        if head.startswith(magic):
            raise NoImage(kind)


def refuse_by_name(path: Path, head: bytes) -> None:
    """Raise LeftOut for volumes and their parts, else NoImage: for files whose content is not known."""
    if kind := VOLUMES.get(_suffix(path)):
        raise LeftOut(kind, SLICES)
    refuse_part_of_volume(path)
    if not head:
        raise NoImage("empty file")
    raise NoImage("text" if _is_text(head) else f"unknown {path.suffix.lower()}".strip())


def refuse_part_of_volume(path: Path) -> None:
    """Raise LeftOut for the pixels of a volume whose header lies beside them (.mhd with .raw, .hdr with .img)."""
    headers = {".raw": (".mhd", ".nhdr"), ".zraw": (".mhd",), ".img": (".hdr",)}.get(path.suffix.lower(), ())
    for suffix in headers:
        for header in path.parent.glob(f"*{suffix}"):
            if header.stem == path.stem or path.name.encode() in _beginning(header):
                kind = VOLUMES.get(suffix, "NIfTI or Analyze volume")
                raise LeftOut(kind, f"part of the {suffix} file beside it; of that, {SLICES}")


def _volume(head: bytes) -> str | None:
    sizes = (head[:4], head[:4][::-1])
    if head[344:347] in (b"n+1", b"ni1") or (head[4:7] in (b"n+2", b"ni2") and b"\x1c\2\0\0" in sizes):
        return "NIfTI volume"
    if len(head) >= 348 and b"\x5c\1\0\0" in sizes:  # 348, the size of its header
        return "Analyze volume"
    if head.startswith(b"NRRD0"):
        return "NRRD volume"
    if head.startswith((b"ObjectType", b"NDims")) or (b"\nNDims" in head and b"DimSize" in head):
        return "MetaImage volume"
    return None


def _refuse_gzip(path: Path, head: bytes) -> None:
    try:
        inside = zlib.decompressobj(wbits=31).decompress(head, 512)
    except zlib.error:
        inside = b""
    if kind := VOLUMES.get(_suffix(path)) or _volume(inside):
        raise LeftOut(kind, SLICES)
    if inside[257:262] == b"ustar":
        raise NoImage("tar archive")
    if inside and _is_text(inside):
        raise NoImage("text, gzip")
    raise LeftOut("gzip file", "unpack it with gunzip")


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, as Windows writes it
        return True
    return not any(byte < 9 or 13 < byte < 27 for byte in head)


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(1 << 16)
    except OSError:
        return b""
