"""What a file says beside its pixels: colour profile, EXIF, XMP, resolution and text, for pictures of a new size."""

from dataclasses import dataclass, field

from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Tags of TIFF and EXIF (CIPA DC-008). Of the first directory those that describe; the others lay out the old pixels.
_ORIENTATION, _EXIF, _GPS, _XMP, _ICC = 274, 34665, 34853, 700, 34675
_RESOLUTION_X, _RESOLUTION_Y, _RESOLUTION_UNIT, _INCH = 282, 283, 296, 2
_DESCRIBING = {270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096)}
_USER_COMMENT, _WIDTH, _HEIGHT, _INTEROPERABILITY = 37510, 40962, 40963, 40965
_XMP_IN_PNG, _COPIES = "XML:com.adobe.xmp", "Raw profile type "  # ImageMagick's copies of EXIF and others as text
_SEGMENT, _LONGEST_COMMENT = 65_500, 32_000  # bytes: of a JPEG's EXIF, XMP or comment, and of text in its EXIF
_LAYOUTS = ('{"shape"', "ImageJ=", "<?xml")  # descriptions of scientific software that tell the old pixels' layout
_PLACES = {  # what :meth:`Metadata.options` keeps it in
    "icc": {"icc_profile"}, "exif": {"exif"}, "xmp": {"xmp", "pnginfo"}, "text": {"pnginfo", "comment", "exif"},
}  # fmt: skip
_NAMES = {"icc": "colour profile", "exif": "EXIF", "xmp": "XMP", "text": "text"}


@dataclass(frozen=True, eq=False)
class Metadata:
    """What is kept of a file beside its pixels."""

    icc: bytes | None = None  # a colour profile of the pixels' own kind, RGB or gray
    exif: Image.Exif | None = None  # without orientation and thumbnail
    xmp: bytes | None = None
    dpi: tuple | None = None
    text: dict = field(default_factory=dict)  # by keyword, as in PNG; the comment of a JPEG or GIF is "Comment"

    def options(self, file_format, size):
        """Return Pillow's options to save a picture of (height, width) with all that BMP, JPEG, PNG or WEBP hold."""
        found = {"dpi": self.dpi}
        if file_format != "BMP":
            exif = self._filled(file_format, size)
            found["exif"] = exif.tobytes() if _says(exif) else None
            found["icc_profile"] = self.icc
        if file_format == "PNG":
            found["pnginfo"] = self._png_info()
        elif file_format in ("JPEG", "WEBP"):
            found["xmp"] = self.xmp
        if file_format == "JPEG":
            found["comment"] = self.text.get("Comment", "").encode()
            for name in ("exif", "xmp", "comment"):
                if len(found[name] or b"") > _SEGMENT:
                    del found[name]
        if file_format == "WEBP" and (self.icc or b"")[16:20] == b"GRAY":  # its pixels are RGB
            del found["icc_profile"]
        return {name: value for name, value in found.items() if value}

    def tags(self, size):
        """Return {tag: value} of all of it for a TIFF of (height, width)."""
        exif = self._filled("TIFF", size)
        found = dict(exif) | {tag: exif.get_ifd(tag) for tag in (_EXIF, _GPS)} | {_XMP: self.xmp, _ICC: self.icc}
        return {tag: value for tag, value in found.items() if value}

    def lost(self, file_format):
        """Name what a format does not hold of it, in words."""
        if file_format == "TIFF":
            return []
        kept = set(self.options(file_format, (1, 1)))
        lost = [name for name, places in _PLACES.items() if getattr(self, name) and not places & kept]
        if self._user_comment(file_format) is None and "text" not in lost:
            lost.append("text")
        return [_NAMES[name] for name in lost]

    def _png_info(self):
        info = PngInfo()
        for keyword, text in self.text.items():
            info.add_text(keyword, text)
        if self.xmp:
            info.add_itxt(_XMP_IN_PNG, self.xmp.decode("utf-8", "replace"))
        return info if info.chunks else None

    def _filled(self, file_format, size):
        """Return EXIF of a size (height, width), with all that the format has no other place for."""
        exif = _copied(self.exif or Image.Exif())
        own = exif.get_ifd(_EXIF)
        if own:
            own[_HEIGHT], own[_WIDTH] = size
        if comment := self._user_comment(file_format):
            own.setdefault(_USER_COMMENT, comment)
        if self.dpi and file_format in ("TIFF", "WEBP"):
            exif[_RESOLUTION_X], exif[_RESOLUTION_Y] = self.dpi
            exif[_RESOLUTION_UNIT] = _INCH
        if _says(exif):
            exif[_ORIENTATION] = 1
        return exif

    def _user_comment(self, file_format):
        """Return the bytes of EXIF's comment with the text that the format has no place for; None: it is too long."""
        elsewhere = {"PNG": self.text, "BMP": self.text, "JPEG": ("Comment",)}.get(file_format, ())
        words = "\n".join(f"{name}: {text}" for name, text in self.text.items() if name not in elsewhere)
        result = b"ASCII\0\0\0" + words.encode() if words.isascii() else b"UNICODE\0" + words.encode("utf-16-be")
        if file_format == "JPEG" and len(result) > _LONGEST_COMMENT:
            return None
        return result if words else b""


def _says(exif):
    """Tell whether EXIF says anything."""
    return bool(len(exif) or exif.get_ifd(_EXIF) or exif.get_ifd(_GPS))


def _copied(exif):
    """Return a copy of EXIF with what describes the picture, without orientation and thumbnail."""
    result = Image.Exif()
    for tag in _DESCRIBING & set(exif):
        if not str(exif[tag]).startswith(_LAYOUTS):
            result[tag] = _writable(exif[tag])
    for part in (_EXIF, _GPS):
        own = {tag: _writable(value) for tag, value in exif.get_ifd(part).items() if tag != _INTEROPERABILITY}
        result.get_ifd(part).update(own)
    return result


def _writable(value):
    """Pillow reads text as Latin-1 and writes it as ASCII; as bytes it stays what it was, by custom UTF-8."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def read_metadata(image, gray):
    """Return the Metadata of a picture that Pillow has loaded and turned upright, and in words what is not kept."""
    info, lost = image.info, []
    icc, kind = info.get("icc_profile") or None, "gray" if gray else "RGB"
    if icc and icc[16:20] != (b"GRAY" if gray else b"RGB "):
        space = icc[16:20].decode("ascii", "replace").strip()
        lost.append(f"the colour profile is not kept: it is of {space}, the result is {kind}")
        icc = None
    try:
        exif = _copied(image.getexif())
        exif.tobytes()
        exif = exif if _says(exif) else None
    except Exception:  # Pillow's parsers answer damage with nearly every exception there is
        exif = None
        lost.append("damaged EXIF is not kept")
    xmp = info.get("xmp") or info.get(_XMP_IN_PNG)
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return Metadata(icc, exif, xmp, _sensible(info.get("dpi")), _text(image)), lost


def _text(image):
    text = getattr(image, "text", {})
    text = {name: words for name, words in text.items() if name != _XMP_IN_PNG and not name.startswith(_COPIES)}
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and comment.strip(b"\0 "):
        text["Comment"] = comment.decode("utf-8", "replace").rstrip("\0")
    return text


def _sensible(dpi):
    """Return a resolution as two floats that every format can hold; None for none, such as a TIFF's 1 × 1."""
    values = tuple(map(float, dpi)) if isinstance(dpi, tuple) and len(dpi) == 2 else ()
    return values if values and all(1 < dots <= 65_535 for dots in values) else None
