"""Two hundred made-up values, one in each of as many elements, and how they would show elsewhere.

A value of text holds `STEM`, a date or time is of a year and a second that nothing else has. UIDs
are no canaries: things are named by them.
"""

import base64
from dataclasses import replace
from urllib.parse import quote

from canary import encoded, make_dataset
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

STEM = "Känarivogel"
_FOLDED = "Kanarivogel"
_YEAR, _SECOND = "1871", "235958.871"
_MONTHS = [f"{month:02d}" for month in range(1, 13)]
_TEXTS = {"PN": 35, "LO": 90, "SH": 40, "ST": 20, "LT": 20, "UT": 20, "UC": 3, "UR": 3, "AE": 2}
_TIMES = {"DA": 30, "DT": 15, "TM": 15}
_CODES = {"CS": 15}
_GROUPS = (0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)
# What decides how an instance is read, rather than what it says.
_NEEDED = {"SpecificCharacterSet", "TimezoneOffsetFromUTC", "CodingSchemeDesignator", "Modality"}


def _plain_keywords(vr):
    for tag, (kind, multiplicity, _, retired, _) in DicomDictionary.items():
        if (kind, multiplicity, retired) == (vr, "1", "") and tag >> 16 in _GROUPS:
            keyword = keyword_for_tag(tag)
            if keyword not in _NEEDED:
                yield keyword


def _value(vr, number):
    if vr in ("AE", "CS"):
        return f"KANARIVOGEL{number:03d}"
    if vr == "UR":
        return f"http://kanarivogel/{number}"
    if vr == "DA":
        return f"{_YEAR}{number % 12 + 1:02d}{number % 28 + 1:02d}"
    if vr == "DT":
        return f"{_YEAR}{number % 12 + 1:02d}01{_SECOND}{number:03d}"
    if vr == "TM":
        return f"{_SECOND}{number:03d}"
    if vr == "SH":
        return f"{STEM}{number}"
    return f"{STEM}^{number}=Vögel" if vr == "PN" else f"{STEM} {number}"


def canaries():
    """Keyword to value: the first elements of the standard of each VR that holds text or time."""
    found = {}
    first = ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "SeriesDescription")
    for vr, many in {**_TEXTS, **_TIMES, **_CODES}.items():
        keywords = sorted(_plain_keywords(vr), key=lambda keyword: keyword not in first)
        found |= {keyword: _value(vr, len(found) + n) for n, keyword in enumerate(keywords[:many])}
    return found


def _nested(depth):
    item = Dataset()
    item.CodeMeaning, item.CodeValue, item.PersonName = f"{STEM} {depth}", "X", f"{STEM}^{depth}"
    if depth:
        item.PersonIdentificationCodeSequence = Sequence([_nested(depth - 1)])
    return item


def canaried(**elements):
    """A CT instance that is full of them; keywords replace elements, None removes one."""
    values = {"SpecificCharacterSet": "ISO_IR 192", **canaries()}
    values["ReferencedRequestSequence"] = Sequence([_nested(3)])
    instance = make_dataset(**{**values, **elements})
    block = instance.private_block(0x0011, "KANARIVOGEL 1.0", create=True)
    for number, vr in enumerate(("LO", "PN", "DA", "UT")):
        block.add_new(number, vr, _value(vr, number))
    for number, vr in enumerate(("UN", "OB"), 8):
        block.add_new(number, vr, f"{_FOLDED} {number} ".encode())
    return encoded(instance)


def with_text_for(keyword):
    """A canaried instance that has text where this element has numbers."""
    number = "-2147483647"  # as long as the text that takes its place
    many = {"PixelSpacing": 2, "ImagePositionPatient": 3}.get(keyword, 1)
    sent = canaried(**{keyword: [number] * many if many > 1 else number})
    text = sent.dataset.replace(number.encode(), _FOLDED.upper().encode())
    return replace(sent, dataset=text)


def shapes():
    """How a canary could be written: as it is, folded, escaped, encoded; all in lower case."""
    found = {_YEAR + month for month in _MONTHS} | {_SECOND, _SECOND.replace(".", "")}
    found.add(STEM[2:])  # where what is not ASCII was replaced or left out
    for text in (STEM, _FOLDED, STEM.encode().decode("latin-1")):
        encodings = quote(text), ascii(text)[1:-1], text.encode().hex(), repr(text.encode())[2:-1]
        found |= {text, *encodings}
    return {shape.lower() for shape in found}


def base64_shapes():
    """Base64 of a canary, wherever it begins; its ends are of its neighbours, and left out."""
    found = set()
    for text in (STEM, _FOLDED, _FOLDED.upper()):
        for before in range(3):
            content = bytes(before) + text.encode()
            whole = base64.b64encode(content).decode().rstrip("=")
            found.add(whole[-(-before * 8 // 6) : len(content) * 8 // 6])
    return found
