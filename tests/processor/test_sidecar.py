"""What the JSON beside a NIfTI tells, and what it must not."""

import json

import pytest
from pydicom import config
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from processor.convert import Settings, convert_series
from processor.headers import quiet_reading
from processor.sidecar import sidecar, without_people

TEXT_VRS = {"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
TOLD = {
    "AttenuationCorrectionMethod",
    "BodyPartExamined",
    "ConvolutionKernel",
    "CorrectedImage",
    "DecayCorrection",
    "EchoPulseSequence",
    "FilterType",
    "ImageLaterality",
    "ImageType",
    "MRAcquisitionType",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "ParallelAcquisitionTechnique",
    "PatientPosition",
    "ProtocolName",
    "PulseSequenceName",
    "RandomsCorrectionMethod",
    "ReceiveCoilName",
    "ReconstructionMethod",
    "RescaleType",
    "ScanOptions",
    "ScanningSequence",
    "ScatterCorrectionMethod",
    "SequenceName",
    "SequenceVariant",
    "SeriesDescription",
    "SoftwareVersions",
    "Units",
    "ViewPosition",
}


def _keywords(vrs):
    return [entry[4] for entry in DicomDictionary.values() if entry[0] in vrs and entry[4]]


def _header(values):
    header = Dataset()
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        vr = DicomDictionary[tag][0]
        header[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
    return header


def _canary(keyword):
    return f"CANARY {keyword} END".upper()


def test_no_text_but_that_of_the_scanner_and_the_protocol_is_told():
    texts = {keyword: _canary(keyword) for keyword in _keywords(TEXT_VRS)}
    assert len(texts) > 1000
    with quiet_reading():
        header, item = _header(texts), _header(texts)
        for keyword in _keywords({"SQ"}):
            setattr(header, keyword, Sequence([item]))
        told = str(sidecar([[header]], {}))
    assert {keyword for keyword in texts if _canary(keyword) in told} == TOLD


def test_no_date_and_no_uid_is_told():
    dates = dict.fromkeys(_keywords({"DA"}), "19701231")
    dates |= dict.fromkeys(_keywords({"DT"}), "19701231080000")
    told = str(sidecar([[_header(dates | dict.fromkeys(_keywords({"UI"}), "1.2.3"))]], {}))
    assert told == "{'AcquisitionTime': '08:00:00.000000'}"


def test_no_number_of_the_patient_is_told():
    numbers = {key: "71" for key in _keywords({"DS", "IS"}) if key.startswith("Patient")}
    assert {"PatientWeight", "PatientSize"} <= set(numbers)
    assert sidecar([[_header(numbers)]], {}) == {}


def test_milliseconds_become_seconds():
    header = _header({"EchoTime": "2.5", "RepetitionTime": "2000", "InversionTime": "900"})
    header.ExposureTime = 500
    assert sidecar([[header]], {}) == {
        "EchoTime": 0.0025,
        "RepetitionTime": 2,
        "InversionTime": 0.9,
        "ExposureTime": 0.5,
    }


def test_what_differs_between_volumes_is_a_list():
    volumes = [[_header({"FlipAngle": str(angle)}) for _ in range(3)] for angle in (3, 15)]
    assert sidecar(volumes, {}) == {"FlipAngle": [3, 15]}


def test_what_differs_within_a_volume_is_left_out():
    headers = [_header({"XRayTubeCurrent": str(100 + k), "KVP": "120"}) for k in range(3)]
    assert sidecar([headers], {}) == {"KVP": 120}


def test_what_one_volume_does_not_tell_is_left_out():
    assert sidecar([[_header({"FlipAngle": "3"})], [_header({"KVP": "120"})]], {}) == {}


def test_lists_that_differ_between_volumes_are_left_out():
    volumes = [[_header({"ImageType": ["ORIGINAL", word]})] for word in ("M", "P")]
    assert sidecar(volumes, {}) == {}


def test_the_time_of_a_volume_is_that_of_its_first_slice():
    headers = [_header({"AcquisitionTime": f"1224{second}.5"}) for second in ("58", "57", "59")]
    assert sidecar([headers], {}) == {"AcquisitionTime": "12:24:57.500000"}


def test_an_echo_time_of_zero_is_none():
    """Philips writes it into field maps, which are made of two echoes."""
    assert sidecar([[_header({"EchoTime": "0"})]], {}) == {}


def test_enhanced_objects_have_other_elements_for_the_same():
    header = _header({"EffectiveEchoTime": 30.0, "InPlanePhaseEncodingDirection": "COLUMN"})
    header.MagnetizationTransfer, header.Spoiling = "NONE", "RF"
    assert sidecar([[header]], {}) == {
        "EchoTime": 0.03,
        "MTState": False,
        "SpoilingState": True,
        "InPlanePhaseEncodingDirectionDICOM": "COL",
    }


@pytest.mark.parametrize(
    ("manufacturer", "value", "factor"),
    [("SIEMENS", "p2", 2), ("Siemens", b"p3 s2 ", 3), ("SIEMENS", "s2", None), ("GE", "p2", None)],
)
def test_siemens_tells_its_acceleration_in_a_private_element(manufacturer, value, factor):
    header = _header({"Manufacturer": manufacturer})
    header.add_new(0x00511011, "UN" if isinstance(value, bytes) else "LO", value)
    told = sidecar([[header]], {})
    assert told.get("ParallelReductionFactorInPlane") == factor


@pytest.mark.parametrize(
    ("dose", "told"),
    [
        ("370000000", {"InjectedRadioactivity": 370, "InjectedRadioactivityUnits": "MBq"}),
        ("370", {}),
    ],
)
def test_the_injected_dose_is_told_where_its_unit_is_certain(dose, told):
    header = Dataset()
    header.RadiopharmaceuticalInformationSequence = [
        _header({"RadionuclideTotalDose": dose, "RadionuclideHalfLife": "6586.2"})
    ]
    assert sidecar([[header]], {}) == told | {"RadionuclideHalfLife": 6586.2}


def test_ours_comes_last_and_counts():
    told = sidecar([[_header({"Modality": "MR"})]], {"Modality": "OT", "Safelight": {}})
    assert list(told.items()) == [("Modality", "OT"), ("Safelight", {})]


def test_what_dcm2niix_tells_of_people_and_places_is_not_handed_on(job, stack, tmp_path):
    series = stack(4, Modality="MR", EchoTime=30, ProtocolName="t2 tse")
    for ds in series:
        ds.InstitutionName = ds.StationName = ds.StudyDescription = "CANARY"
        ds.DeviceSerialNumber = ds.ImageComments = ds.OperatorsName = "CANARY"
        ds.PerformedProcedureStepDescription = ds.InstitutionAddress = "CANARY"
    settings = Settings(engine="dcm2niix")
    (file,) = convert_series(job(series).files, tmp_path, "x", settings=settings).files
    told = file.beside[0].read_text()
    assert "CANARY" not in told
    assert json.loads(told)["EchoTime"] == 0.03
    assert json.loads(told)["ConversionSoftware"] == "dcm2niix"


def test_sidecars_of_others_lose_what_tells_of_the_patient(scans):
    found = sorted((scans / "10_imagedata" / "ref_dcm2niix").glob("*.json"))
    if not found:
        pytest.skip("10_imagedata is absent")
    for path in found:
        before = json.loads(path.read_text())
        after = without_people(before)
        lost = {name for name in before if name not in after}
        assert lost >= {"PatientName", "PatientID", "PatientWeight", "StudyInstanceUID"}
        assert after.keys() >= {"EchoTime", "FlipAngle", "SAR", "TxRefAmp"} & before.keys()
