"""De-identification: every attribute of the profile, in jobs, and what is searched for after it.

Not covered: whether text is burned into pixels that nothing says of, which nobody here looks at.
"""

import dataclasses
import json
import stat
from pathlib import Path

import numpy as np
import openpyxl
import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    generate_uid,
)

from processor.deid.profile import attributes
from processor.deid.pseudonyms import Pseudonyms, earlier
from processor.deid.site_key import site_key
from processor.deidentify import Deidentify, deidentifier, deidentify_files
from processor.disguise import published_keys
from processor.errors import IdentityRemains, NotDeidentified, OptionError, SiteKeyError
from processor.headers import quiet_reading
from processor.job import run_job
from processor.registry import KINDS
from processor.settings import DeidentifySettings, Mask, ProcessorSettings
from processor.study import StudyResults, write_study
from rules.errors import RuleError
from rules.model import Step
from rules.parse import parse_rules
from rules.texts import RuleText

UNKNOWN_TO_PYDICOM = {
    "00081301": "SQ", "00081302": "SQ", "00081303": "SQ", "00081304": "SQ", "00100011": "SQ",
    "00100012": "LT", "00100013": "LT", "00100014": "SQ", "00100015": "SQ", "00100016": "LT",
    "00100041": "SQ", "00100042": "LT", "00100043": "SQ", "00100044": "SQ", "00100045": "LT",
    "00100046": "SQ", "00100047": "UR", "00102162": "UC", "3004007F": "LO", "0040A034": "DT",
    "0040A035": "DT", "0040B034": "DT", "0040B036": "DT", "0040B03B": "LO", "0040B03F": "SH",
    "0040E012": "UR",
}  # fmt: skip
"""Attributes of the table that are newer than pydicom's dictionary, with their VR."""

OPTIONS_OF = {
    "dates_kept": {"dates": "kept"},
    "dates_shifted": {"dates": "shifted"},
    "uids": {"uids": "kept"},
    "descriptors": {"descriptors": "cleaned"},
    "patient": {"patient": "kept"},
    "device": {"device": "kept"},
    "institution": {"institution": "kept"},
}


@pytest.fixture
def settings(tmp_path):
    return DeidentifySettings(key_file=tmp_path / "keys" / "site.key")


@pytest.fixture
def deidentified(tmp_path, instance, settings):
    """One instance written, de-identified and read again."""

    def make(source=None, given=None, changed=settings, **elements):
        from_folder, to = tmp_path / "in", tmp_path / "out" / generate_uid()
        to.mkdir(parents=True)
        path = source or _save(instance(**elements), from_folder)
        with quiet_reading():  # as jobs and the command do
            done = deidentify_files([path], to, given or {}, changed)
        return pydicom.dcmread(done.files[0])

    return make


def _save(dataset, folder, syntax="1.2.840.10008.1.2.1"):
    folder.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def value_for(vr, number):
    """A value of a VR that stands nowhere else."""
    day = earlier("20200101", 10 + number)
    return {
        "DA": day,
        "DT": f"{day}101112.{number:06d}",
        "TM": f"101112.{number:06d}",
        "UI": f"1.2.999.{number}",
        "PN": f"Canary{_letters(number)}^Bird",
        "AS": f"{number % 100:03d}Y",
        "DS": f"{number}.25",
        "IS": str(number),
        "AT": 0x00100010,
        "UR": f"http://canary/{_letters(number)}",
        "CS": f"CANARY{_letters(number).upper()}",
        **dict.fromkeys(("FD", "FL"), number + 0.5),
        **dict.fromkeys(("US", "SS", "UL", "SL"), number),
        **dict.fromkeys(("OB", "OW", "UN", "OF", "OD", "OL"), b"canary" * 4),
    }.get(vr, f"canary{_letters(number)}")


def _letters(number):
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")


def listed():
    """The attributes of the table that are single elements of a dataset, with VR and a value."""
    for number, (tag, attribute) in enumerate(sorted(attributes().items())):
        if "x" in tag or int(tag[:4], 16) < 8:
            continue
        vr = UNKNOWN_TO_PYDICOM.get(tag) or dictionary_VR(int(tag, 16)).split(" ")[0]
        yield Tag(int(tag, 16)), attribute, vr, value_for(vr, number)


def everything():
    dataset = Dataset()
    for tag, _, vr, value in listed():
        if vr == "SQ":
            item = Dataset()
            item.PatientName = "Nested^Name"
            dataset[tag] = DataElement(tag, vr, Sequence([item]))
        else:
            dataset[tag] = DataElement(tag, vr, value)
    return dataset


def _applied(dataset, given, settings):
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    deidentifier(given, settings).apply(dataset)
    return dataset


def _expect(action, element, before):
    """That an element is as its action says."""
    if action == "X":
        assert element is None
    elif action == "K":
        assert element.VR == "SQ" or element.value == before
    elif action == "Z":
        assert element.value != before
    elif action == "D":
        assert element.value != before
        assert element.VR == "SQ" or not element.is_empty
    elif action == "U":
        assert element.VR == "SQ" or str(element.value).startswith("2.25.")
    else:
        raise AssertionError(action)


@pytest.mark.parametrize("depth", ["at the top", "in a sequence"])
def test_every_attribute_of_the_basic_profile_has_its_action(settings, depth):
    dataset = everything()
    if depth == "in a sequence":  # one that the table does not list
        holder = Dataset()
        holder.PatientID = "holder"
        holder.CTExposureSequence = Sequence([dataset])
        dataset = _applied(holder, {}, settings).CTExposureSequence[0]
    else:
        dataset = _applied(dataset, {}, settings)
    checked = 0
    for tag, attribute, _, before in listed():
        if tag == Tag("DeidentificationMethodCodeSequence"):
            continue
        _expect(attribute.basic_action, dataset.get(tag), before)
        checked += 1
    assert checked == 649
    assert "Nested" not in str(dataset)
    assert "canary" not in str(dataset).lower()


@pytest.mark.parametrize("option", OPTIONS_OF)
def test_an_option_keeps_or_cleans_what_its_column_lists_and_nothing_else(settings, option):
    dataset = _applied(everything(), OPTIONS_OF[option], settings)
    touched = 0
    for tag, attribute, vr, before in listed():
        code = attribute.options.get(option)
        element = dataset.get(tag)
        touched += code is not None
        if code == "K":
            assert vr == "SQ" or element.value == before, attribute.name
        elif code == "C":
            assert element is None or vr in ("TM", "SH") or element.value != before, attribute.name
        else:
            _expect(attribute.basic_action, element, before)
    assert touched > 5


def test_the_table_is_the_standards():
    actions = {attribute.basic for attribute in attributes().values()}
    assert len(attributes()) == 656
    assert actions == {"X", "Z", "D", "U", "X/Z", "X/D", "X/Z/D", "Z/D", "X/Z/U*"}
    assert attributes()["00100010"].basic == "Z"
    assert attributes()["00080018"].options == {"uids": "K"}


def test_the_methods_are_named_by_their_codes(deidentified):
    found = deidentified(given={"dates": "shifted", "descriptors": "cleaned"})
    codes = [item.CodeValue for item in found.DeidentificationMethodCodeSequence]
    assert found.PatientIdentityRemoved == "YES"
    assert codes == ["113100", "113101", "113105", "113107"]
    assert found.LongitudinalTemporalInformationModified == "MODIFIED"


def test_studies_of_a_patient_stay_together(deidentified):
    first = deidentified(given={"dates": "shifted"}, StudyInstanceUID="1.2.3")
    second = deidentified(
        given={"dates": "shifted"}, StudyInstanceUID="1.2.4", StudyDate="20240112"
    )
    other = deidentified(given={"dates": "shifted"}, PatientID="0043")
    assert first.PatientID == second.PatientID != other.PatientID
    assert first.PatientName if "PatientName" in first else True
    assert first.StudyInstanceUID != second.StudyInstanceUID
    days = [pydicom.valuerep.DA(one.StudyDate) for one in (first, second)]
    assert (days[1] - days[0]).days == 10
    assert first.StudyDate != other.StudyDate


def test_references_lead_to_the_new_uids(deidentified, instance):
    target = instance()
    image = Dataset()
    image.ReferencedSOPClassUID = target.SOPClassUID
    image.ReferencedSOPInstanceUID = target.SOPInstanceUID
    found = deidentified(ReferencedImageSequence=Sequence([image]))
    of_target = deidentified(SOPInstanceUID=target.SOPInstanceUID)
    reference = found.ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == of_target.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == target.SOPClassUID


def test_another_key_gives_other_pseudonyms(settings, deidentified, tmp_path):
    other = dataclasses.replace(settings, key_file=tmp_path / "other.key")
    assert deidentified().PatientID != deidentified(changed=other).PatientID


def test_uids_have_the_sites_root(settings, deidentified):
    found = deidentified(changed=dataclasses.replace(settings, uid_root="1.2.826.0.1.3680043.9"))
    assert found.SOPInstanceUID.startswith("1.2.826.0.1.3680043.9.")
    assert len(Pseudonyms(b"k" * 32, "1." + "2" * 33).uid("1.2.3")) <= 64
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID


def test_descriptions_keep_the_words_of_imaging(deidentified):
    found = deidentified(
        given={"descriptors": "cleaned"},
        PatientName="Brain^Jane",
        SeriesDescription="t1_mprage_sag Smith Brain brain2 1957-03-02 1957 w12345 3mm",
    )
    assert found.SeriesDescription == "t1_mprage_sag 3mm"


def test_what_is_empty_and_stays_is_empty_still(deidentified):
    found = deidentified(SliceThickness="", EchoTime="", AnnotationGroupUID="")
    assert found["SliceThickness"].is_empty
    assert found["EchoTime"].is_empty
    assert not found["AnnotationGroupUID"].is_empty


def test_raw_data_is_refused_and_a_segmentation_is_not(deidentified):
    raw = "1.2.840.10008.5.1.4.1.1.66"
    assert deidentified(SOPClassUID=f"{raw}.4").SOPClassUID == f"{raw}.4"
    with pytest.raises(NotDeidentified, match="raw data"):
        deidentified(SOPClassUID=raw)


def test_what_cannot_be_read_is_refused_without_its_value(deidentified, instance, tmp_path):
    path = _save(instance(AcquisitionDuration=1.0), tmp_path / "odd")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"FD\x08\x00\0\0", b"FD\x06\x00"))
    with pytest.raises(NotDeidentified, match="cannot be read or written"):
        deidentified(path)


def test_a_name_in_place_of_a_number_fails(deidentified, instance, tmp_path):
    path = _save(instance(PatientName="Doe^Jane"), tmp_path / "odd")
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x007 ", b"IS\x04\x00jane"))
    with pytest.raises(IdentityRemains, match="SeriesNumber"):
        deidentified(path)


def test_private_elements_go_except_safe_numbers(deidentified, instance, tmp_path):
    dataset = instance()
    safe = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    safe.add_new(0x0C, "IS", "1000")
    safe.add_new(0x0D, "CS", "JANE")
    dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "Jane")
    path = _save(dataset, tmp_path / "private")
    assert not any(element.tag.is_private for element in deidentified(path))
    kept = [element.tag for element in deidentified(path, {"private": "safe"}) if
            element.tag.is_private]  # fmt: skip
    assert kept == [Tag(0x0019, 0x0010), Tag(0x0019, 0x100C)]


def test_what_no_dictionary_has_goes_and_so_do_overlays(deidentified, instance, tmp_path):
    dataset = instance()
    dataset.add_new(0x00081FFE, "LO", "Jane")
    dataset.add_new(0x60000010, "US", 4)
    dataset.add_new(0x60003000, "OW", b"jane")
    dataset.add_new(0x50003000, "OW", b"jane")
    found = deidentified(_save(dataset, tmp_path / "odd"))
    assert not [tag for tag in (0x00081FFE, 0x60000010, 0x60003000, 0x50003000) if tag in found]


def test_neither_the_sender_nor_the_preamble_is_left(deidentified, instance, tmp_path):
    path = _save(instance(), tmp_path / "sent")
    dataset = pydicom.dcmread(path)
    dataset.preamble = b"JANE DOE".ljust(128, b"\0")
    dataset.file_meta.SourceApplicationEntityTitle = "WARD7"
    dataset.save_as(path)
    found = deidentified(path)
    assert found.preamble == b"\0" * 128
    assert "SourceApplicationEntityTitle" not in found.file_meta


ULTRASOUND = {
    "SOPClassUID": UltrasoundImageStorage,
    "Modality": "US",
    "Manufacturer": "ACME",
    "ManufacturerModelName": "Echo 9",
}
ECHO = Mask(((0, 0, 5, 2),), manufacturer="acme", model="Echo 9", rows=6, columns=5)


def test_known_regions_are_painted_over_and_the_rest_stays(settings, deidentified):
    masked = dataclasses.replace(settings, mask=(ECHO,))
    found = deidentified(changed=masked, BurnedInAnnotation="YES", **ULTRASOUND)
    expected = np.arange(30, dtype=np.uint16).reshape(6, 5)
    expected[:2] = 0
    assert np.array_equal(found.pixel_array, expected)
    assert found.BurnedInAnnotation == "NO"


@pytest.mark.parametrize(("planar", "compressed"), [(0, False), (1, False), (0, True)])
def test_colour_frames_are_painted_over(
    settings, deidentified, instance, tmp_path, planar, compressed
):
    pixels = np.random.default_rng(1).integers(1, 255, (2, 6, 5, 3), dtype=np.uint8)
    stored = pixels if planar == 0 else pixels.transpose(0, 3, 1, 2)
    dataset = instance(**ULTRASOUND)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration, dataset.NumberOfFrames = planar, 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = stored.tobytes()
    path = _save(dataset, tmp_path / "plain")
    if compressed:
        encoded = pydicom.dcmread(path)
        encoded.compress(RLELossless, generate_instance_uid=False)
        encoded.save_as(path)
    pixels[:, :2] = 0
    found = deidentified(path, changed=dataclasses.replace(settings, mask=(ECHO,)))
    assert np.array_equal(found.pixel_array, pixels)
    assert not found.file_meta.TransferSyntaxUID.is_compressed


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
        (ULTRASOUND, "often have text burned in"),
        ({**ULTRASOUND, "BurnedInAnnotation": "NO"}, "often have text burned in"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "captures and photographs"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "shows a screen"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "documents within instances"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "structured reports"),
        ({"EncapsulatedDocument": b"%PDF"}, "documents within instances"),
    ],
)
def test_what_cannot_be_cleaned_is_refused_with_the_reason(deidentified, elements, reason):
    with pytest.raises(NotDeidentified, match=reason):
        deidentified(**elements)


def test_a_rule_may_say_otherwise_of_pixels(settings, deidentified):
    told = {**ULTRASOUND, "BurnedInAnnotation": "NO"}
    assert deidentified(given={"pixels": "declared"}, **told).Modality == "US"
    kept = deidentified(given={"pixels": "kept"}, BurnedInAnnotation="YES")
    codes = [item.CodeValue for item in kept.DeidentificationMethodCodeSequence]
    assert "113101" not in codes  # Clean Pixel Data is not claimed
    none = Mask((), modality="US")
    assert deidentified(changed=dataclasses.replace(settings, mask=(none,)), **told)


def test_a_name_left_in_an_element_that_the_profile_keeps_fails(deidentified, tmp_path):
    with pytest.raises(IdentityRemains, match="SoftwareVersions") as raised:
        deidentified(
            given={"device": "kept"}, PatientName="Doe^Jane", SoftwareVersions="built by jane"
        )
    assert "jane" not in str(raised.value).lower()
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_a_damaged_file_is_refused(deidentified, instance, tmp_path):
    path = _save(instance(), tmp_path / "damaged")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(NotDeidentified, match="1 of 1 instances"):
        deidentified(path)


def test_the_site_key_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "keys" / "site.key"
    made = site_key(path)
    assert site_key(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["site.key"]
    path.chmod(0o640)
    with pytest.raises(SiteKeyError, match="chmod 600"):
        site_key(path)
    path.chmod(0o600)
    path.write_text("abc")
    with pytest.raises(SiteKeyError, match="64 hexadecimal digits"):
        site_key(path)


def test_the_key_shows_in_no_text_about_the_pseudonyms():
    assert "secret" not in repr(Pseudonyms(b"secret" * 8))


def test_a_wrong_option_is_named():
    with pytest.raises(OptionError, match="dates"):
        Deidentify().check_options({"dates": "moved"})


@pytest.mark.parametrize(
    "wrong", [{"uid_root": "2.25.x"}, {"safe_private": ("PatientID",)}, {"safe_private": ("x",)}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DeidentifySettings(**wrong)


def test_a_mask_must_say_of_which_images():
    with pytest.raises(ValueError, match="rectangles"):
        Mask(((0, 0, 1, 1),))
    with pytest.raises(ValueError, match="rectangles"):
        Mask(((0, -1, 1, 1),), modality="US")


# In jobs


@pytest.fixture
def deidentifying(job, settings):
    """Run a job that de-identifies first."""

    def run(source, *names, given=None, **changes):
        request = job(source, "deidentify", *names, settings=ProcessorSettings(deidentify=settings))
        steps = (Step("deidentify", given or {}), *request.steps[1:])
        request = dataclasses.replace(request, steps=steps, **changes)
        return request, run_job(request)

    return run


def _with_canaries(stack, tmp_path):
    """A series with a value of its own in every text attribute of the profile; those values."""
    canaries = set()
    series = stack(4)
    for dataset in series:
        for tag, _, vr, value in listed():
            if vr in ("SH", "LO", "ST", "LT", "UT", "UC", "PN", "AE", "UR") and tag.group != 2:
                dataset[tag] = DataElement(tag, vr, value)
                canaries.add(str(value).split("^")[0])
        dataset.PatientID, dataset.AccessionNumber = "canarypid", "canaryacc"
        dataset.EncapsulatedDocument = None
        del dataset[Tag("EncapsulatedDocument")]
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.999.77", "1.2.999.78"
        dataset.StudyDate, dataset.PatientBirthDate = "20240102", "19610203"
        dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "canaryprivate")
    return series, {*canaries, "canary", "1.2.999.77", "1.2.999.78", "20240102", "19610203"}


def test_no_canary_is_in_any_file_path_or_log(deidentifying, stack, tmp_path, caplog, capfd):
    caplog.set_level("DEBUG")
    series, canaries = _with_canaries(stack, tmp_path)
    names = ("convert", "qc", "preview", "metadata", "package")
    request, result = deidentifying(
        series,
        *names,
        given={"dates": "shifted", "descriptors": "cleaned"},
        study_uid="1.2.999.77",
        series_uid="1.2.999.78",
        destination="{PatientID}/{StudyDate}/{SeriesNumber}_{SeriesDescription}",
        facts={"grade": "listed", "evidence": "canary", "calling_ae": "canary", "instances": 4},
    )
    assert [step.state for step in result.steps] == ["done"] * 6
    write_study(StudyResults(tmp_path / "results" / "x", (request.results / result.folder,)), None)
    said = f"{result}{caplog.text}{capfd.readouterr()}"
    contents = {path: path.read_bytes() for path in request.results.rglob("*") if path.is_file()}
    for book in request.results.rglob("*.xlsx"):
        sheets = openpyxl.load_workbook(book).worksheets
        said += str([list(sheet.values) for sheet in sheets])
    assert len(list(request.results.rglob("*.xlsx"))) == 2
    for canary in canaries:
        assert canary.lower() not in said.lower()
        for path, content in contents.items():
            assert canary.lower() not in str(path.relative_to(request.results)).lower()
            assert canary.lower().encode() not in content.lower(), (canary, path.name)


def test_the_steps_after_it_work_on_the_new_instances(deidentifying, stack):
    request, result = deidentifying(stack(3), "convert", "metadata", "package")
    folder = request.results / result.folder
    manifest = json.loads((folder / "manifest.json").read_text())
    written = {pydicom.dcmread(path).SOPInstanceUID for path in folder.glob("*.dcm")}
    converted = next(iter(result.steps[1].details["files"].values()))
    assert set(converted) == written
    assert manifest["study_uid"] == pydicom.dcmread(next(folder.glob("*.dcm"))).StudyInstanceUID
    assert manifest["key"] in published_keys(request.key, request.settings.deidentify.key_file)
    assert manifest["key"] != request.key
    assert run_job(request) == result


def test_the_spool_is_left_as_it_was(deidentifying, stack, tmp_path):
    request, _ = deidentifying(stack(2), "convert")
    before = [pydicom.dcmread(path).PatientID for path in request.files]
    assert before == ["0042", "0042"]


def test_nothing_runs_on_a_series_that_is_not_deidentified(deidentifying, stack):
    request, result = deidentifying(stack(3, BurnedInAnnotation="YES"), "convert", "metadata")
    assert [step.state for step in result.steps] == ["refused"] * 3
    assert "3 of 3 instances" in result.steps[0].summary
    assert [path.name for path in (request.results / result.folder).iterdir()] == ["manifest.json"]
    assert "1.2.3.4" not in (request.results / result.folder / "manifest.json").read_text()


def test_a_series_whose_first_header_cannot_be_read_is_refused_too(
    deidentifying, instance, tmp_path
):
    path = _save(instance(AcquisitionDuration=1.0), tmp_path / "odd")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"FD\x08\x00\0\0", b"FD\x06\x00"))
    _, result = deidentifying([path], "convert")
    assert [step.state for step in result.steps] == ["refused"] * 2
    assert "cannot be read or written" in result.steps[0].summary


def test_it_must_be_the_first_step(job, stack, settings):
    request = job(
        stack(2), "convert", "deidentify", settings=ProcessorSettings(deidentify=settings)
    )
    with pytest.raises(OptionError, match="first step"):
        run_job(request)


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("deidentify", "forward")])
def test_a_rule_has_it_above_everything_else(name):
    text = f'[[rule]]\nname = "r"\n[rule.run]\n{name} = {{}}\ndeidentify = {{}}'
    with pytest.raises(RuleError, match="write it below deidentify"):
        parse_rules([RuleText("r.toml", text)], KINDS)


def test_a_study_has_one_workbook_with_names_and_one_without(deidentifying, job, stack, tmp_path):
    _, hidden = deidentifying(stack(2), "metadata")
    named = run_job(job(stack(2), "metadata"))
    results = tmp_path / "results"
    folders = (results / hidden.folder, results / named.folder)
    path = write_study(StudyResults(results / "M22_042", folders), None)
    assert path == results / "M22_042" / "metadata.xlsx"
    other = results / hidden.folder.parts[0] / "metadata.xlsx"
    for book, words in ((path, "0042"), (other, hidden.folder.parts[0])):
        rows = list(openpyxl.load_workbook(book)["Series_Summary"].values)
        assert len(rows) == 2
        assert words in str(rows)
    assert "0042" not in str(list(openpyxl.load_workbook(other)["Series_Summary"].values))


def test_only_known_keys_are_looked_for(tmp_path):
    assert published_keys("k", tmp_path / "none") == ("k",)
    assert not Path(tmp_path / "none").exists()
