"""The client against Orthanc and DCMTK's dcmqrscp, over real sockets.

Not covered: what a PACS does wrong (test_client_with_scripted_pacs.py), and Safelight's own
receiver as the destination (tests/acceptance).
"""

from datetime import date

import pydicom
import pytest

import query.move
from query.client import echo, find_instances, find_series, find_studies
from query.errors import AssociationRejected, PacsUnreachable, RetrieveRefused
from query.get import classes_of, get
from query.identifiers import Selection
from query.keys import DateRange, StudyCriteria, Wildcard
from query.move import Destination

US = {"calling_ae": "SAFELIGHT"}


@pytest.fixture
def destination(dcmtk_storescp):
    return dcmtk_storescp("SAFELIGHT")


@pytest.fixture
def dcmqrscp(tmp_path, free_port, program, run_peer):
    """Factory of DCMTK archives on a port; `modalities` as for Orthanc."""

    def start(modalities, ae_title="DCMQR"):
        port = free_port()
        storage = tmp_path / "dcmqrscp"
        storage.mkdir()
        hosts = [f"h{n} = ({ae}, {host}, {p})" for n, (ae, (host, p)) in enumerate(modalities)]
        configuration = tmp_path / "dcmqrscp.cfg"
        configuration.write_text(
            "\n".join(
                [
                    f"NetworkTCPPort = {port}",
                    "MaxPDUSize = 16384",
                    "MaxAssociations = 16",
                    "HostTable BEGIN",
                    *hosts,
                    "HostTable END",
                    "VendorTable BEGIN",
                    "VendorTable END",
                    "AETable BEGIN",
                    f"{ae_title} {storage} RW (100, 1024mb) ANY",
                    "AETable END",
                    "",
                ]
            )
        )
        run_peer([program("dcmqrscp"), "-c", str(configuration)], port)
        return port

    return start


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def pacs(request, destination, settings):
    """Orthanc, then dcmqrscp: each knows the destination SAFELIGHT."""
    start = request.getfixturevalue(request.param)
    known = {"SAFELIGHT": (destination.host, destination.port)}
    if request.param == "orthanc":
        return settings(start(known).dicom_port, "ORTHANC")
    return settings(start(list(known.items())), "DCMQR")


@pytest.fixture
def load(storescu):
    """Function that stores folders in a PACS with storescu."""

    def send(pacs, *folders, options=()):
        storescu(*folders, port=pacs.port, called=pacs.ae_title, options=options)

    return send


def move(pacs, study_uid, destination, on_progress=None):
    """Ask for one study, and return the outcome or raise the refusal."""
    there = Destination(destination.ae_title, destination.host, destination.port)
    (outcome,) = query.move.move(pacs, [Selection(study_uid)], there, on_progress=on_progress, **US)
    outcome.require_performed()
    return outcome


def test_a_pacs_answers_echo(pacs):
    echo(pacs, **US)


def test_a_study_is_found_by_its_accession_number_and_no_other_is(pacs, load, build_study):
    wanted = build_study({"CT": 2, "MR": 1}, AccessionNumber="A100", StudyDescription="Head")
    other = build_study({"CT": 1}, AccessionNumber="A1000")
    load(pacs, wanted.folder, other.folder)

    found = find_studies(pacs, StudyCriteria(accession_number="A100"), **US)

    assert [study.StudyInstanceUID for study in found.studies] == [wanted.StudyInstanceUID]
    study = found.studies[0]
    assert (study.AccessionNumber, study.PatientID, study.StudyDate) == (
        "A100",
        "P0042",
        "20260301",
    )
    assert study.PatientName == "Sample^Patient"
    assert study.StudyDescription == "Head"
    assert (found.truncated, found.dropped) == (False, 0)


def test_an_accession_number_with_a_star_is_taken_literally(pacs, load, build_study):
    starred = build_study({"CT": 1}, AccessionNumber="A*1")
    alike = build_study({"CT": 1}, AccessionNumber="AX1")
    load(pacs, starred.folder, alike.folder)

    literal = find_studies(pacs, StudyCriteria(accession_number="A*1"), **US)
    pattern = find_studies(pacs, StudyCriteria(accession_number=Wildcard("A*1")), **US)

    assert [study.StudyInstanceUID for study in literal.studies] == [starred.StudyInstanceUID]
    assert literal.dropped == 1
    assert {study.AccessionNumber for study in pattern.studies} == {"A*1", "AX1"}


@pytest.mark.parametrize(
    ("study_date", "expected"),
    [
        (date(2026, 3, 2), {"20260302"}),
        (DateRange(date(2026, 3, 2), date(2026, 3, 3)), {"20260302", "20260303"}),
        (DateRange(last=date(2026, 3, 2)), {"20260301", "20260302"}),
        (DateRange(first=date(2026, 3, 3)), {"20260303"}),
    ],
)
def test_studies_are_found_by_date(orthanc, settings, load, build_study, study_date, expected):
    pacs = settings(orthanc().dicom_port, "ORTHANC")
    days = ("20260301", "20260302", "20260303")
    load(pacs, *(build_study({"CT": 1}, StudyDate=day).folder for day in days))

    found = find_studies(pacs, StudyCriteria(study_date=study_date), **US)

    assert {study.StudyDate for study in found.studies} == expected


def test_studies_are_found_by_a_modality_and_by_a_description(orthanc, settings, load, build_study):
    # In its default encoding, Latin-1, Orthanc answers without the characters it cannot express.
    pacs = settings(orthanc(DefaultEncoding="Utf8").dicom_port, "ORTHANC")
    head = build_study({"CT": 1}, StudyDescription="头颅 CT")
    knee = build_study({"MR": 1}, StudyDescription="Knee [left]")
    load(pacs, head.folder, knee.folder)

    def uids(**criteria):
        found = find_studies(pacs, StudyCriteria(patient_id="P0042", **criteria), **US)
        return [study.StudyInstanceUID for study in found.studies]

    assert uids(modality="MR") == [knee.StudyInstanceUID]
    assert uids(description="头颅 CT") == [head.StudyInstanceUID]
    assert uids(description=Wildcard("Knee [*")) == [knee.StudyInstanceUID]
    assert uids(description="Shoulder") == []


def test_the_series_of_a_study_are_listed_with_or_without_a_modality(pacs, load, build_study):
    study = build_study({"CT": 3, "MR": 2})
    load(pacs, study.folder)

    series = find_series(pacs, study.StudyInstanceUID, **US)
    only_mr = find_series(pacs, study.StudyInstanceUID, modality="MR", **US)

    assert sorted(one.Modality for one in series) == ["CT", "MR"]
    assert [one.Modality for one in only_mr] == ["MR"]
    assert find_series(pacs, "1.2.3.4", **US) == ()


def test_orthanc_tells_how_many_instances_there_are(orthanc, settings, load, build_study):
    pacs = settings(orthanc().dicom_port, "ORTHANC")
    study = build_study({"CT": 3, "MR": 2}, AccessionNumber="A1", SeriesDescription="Schädel")
    load(pacs, study.folder)

    (found,) = find_studies(pacs, StudyCriteria(accession_number="A1"), **US).studies
    series = find_series(pacs, study.StudyInstanceUID, **US)

    assert found.NumberOfStudyRelatedSeries == 2
    assert found.NumberOfStudyRelatedInstances == 5
    assert set(found.ModalitiesInStudy) == {"CT", "MR"}
    assert {one.Modality: one.NumberOfSeriesRelatedInstances for one in series} == {
        "CT": 3,
        "MR": 2,
    }
    assert {one.SeriesDescription for one in series} == {"Schädel"}


def test_a_moved_study_arrives_whole_and_alone(pacs, load, build_study, destination):
    study = build_study({"CT": 6, "MR": 4})
    other = build_study({"CT": 2})
    load(pacs, study.folder, other.folder)
    progress = []

    outcome = move(pacs, study.StudyInstanceUID, destination, progress.append)

    assert destination.received() == study.all_instances
    assert not outcome.is_partial
    assert (outcome.status, outcome.sent, outcome.failed_sop_uids) == (0, 10, ())
    assert [step.completed for step in progress] == sorted(step.completed for step in progress)
    assert progress


def test_the_instances_of_a_series_are_listed(pacs, load, build_study):
    study = build_study({"CT": 6, "MR": 4})
    load(pacs, study.folder)

    listed = {
        series.Modality: sorted(
            one.SOPInstanceUID
            for one in find_instances(
                pacs, study.StudyInstanceUID, series.SeriesInstanceUID, image_type=True, **US
            )
        )
        for series in find_series(pacs, study.StudyInstanceUID, **US)
    }

    assert listed == {modality: sorted(uids) for modality, uids in study.instances.items()}


def test_a_series_and_an_instance_are_moved_without_the_rest(pacs, load, build_study, destination):
    study = build_study({"CT": 6, "MR": 4})
    load(pacs, study.folder)
    series = {one.Modality: one for one in find_series(pacs, study.StudyInstanceUID, **US)}
    wanted = study.instances["CT"][2]
    selections = [
        Selection(study.StudyInstanceUID, series["MR"].SeriesInstanceUID),
        Selection(study.StudyInstanceUID, series["CT"].SeriesInstanceUID, wanted),
    ]
    there = Destination(destination.ae_title, destination.host, destination.port)

    outcomes = list(query.move.move(pacs, selections, there, **US))

    assert [outcome.sent for outcome in outcomes] == [4, 1]
    assert destination.received() == sorted([*study.instances["MR"], wanted])


def test_several_instances_of_a_series_are_moved_by_one_list(pacs, load, build_study, destination):
    study = build_study({"CT": 6})
    load(pacs, study.folder)
    (series,) = find_series(pacs, study.StudyInstanceUID, **US)
    wanted = tuple(study.instances["CT"][1:4])
    selection = Selection(study.StudyInstanceUID, series.SeriesInstanceUID, SOPInstanceUIDs=wanted)
    there = Destination(destination.ae_title, destination.host, destination.port)

    (outcome,) = query.move.move(pacs, [selection], there, **US)

    assert (outcome.sent, outcome.is_partial) == (3, False)
    assert destination.received() == sorted(wanted)


def test_a_study_is_got_whole_on_the_same_association(pacs, load, build_study):
    study = build_study({"CT": 6, "MR": 4})
    load(pacs, study.folder, build_study({"CT": 2}).folder)
    kept = []

    def keep(instance):
        kept.append(instance.SOPInstanceUID)
        return 0x0000, ""

    selections = [Selection(study.StudyInstanceUID)]
    (outcome,) = get(pacs, selections, classes_of(["CT", "MR"]), keep, **US)

    assert sorted(kept) == study.all_instances
    assert (outcome.sent, outcome.is_partial) == (10, False)


def test_a_compressed_instance_is_got_in_its_own_transfer_syntax(
    orthanc, settings, load, test_data
):
    path = test_data / "05_dcm_qa_ts" / "dicom" / "In" / "5.dcm"
    compressed = pydicom.dcmread(path)
    pacs = settings(orthanc().dicom_port, "ORTHANC")
    load(pacs, path, options=("-xs",))
    kept = []

    def keep(instance):
        kept.append((instance.transfer_syntax_uid, bytes(instance.dataset)))
        return 0x0000, ""

    selections = [Selection(str(compressed.StudyInstanceUID))]
    list(get(pacs, selections, classes_of([compressed.Modality]), keep, **US))

    ((syntax, encoded),) = kept
    assert syntax == compressed.file_meta.TransferSyntaxUID
    assert compressed.PixelData in encoded


def test_a_real_study_arrives_with_every_instance_the_pacs_held(pacs, load, test_data, destination):
    folder = test_data / "08_dcm_qa_ct_ge" / "dicom"
    load(pacs, folder)
    sent = {}
    for path in folder.rglob("*.dcm"):
        instance = pydicom.dcmread(path, stop_before_pixels=True)
        sent.setdefault(str(instance.StudyInstanceUID), set()).add(str(instance.SOPInstanceUID))
    assert sent

    for study_uid in sent:
        assert not move(pacs, study_uid, destination).is_partial

    assert destination.received() == sorted(uid for uids in sent.values() for uid in uids)


def test_a_compressed_instance_arrives_in_its_own_transfer_syntax(
    orthanc, settings, load, test_data, destination
):
    path = test_data / "05_dcm_qa_ts" / "dicom" / "In" / "5.dcm"
    compressed = pydicom.dcmread(path)
    pacs = settings(
        orthanc({"SAFELIGHT": (destination.host, destination.port)}).dicom_port, "ORTHANC"
    )
    load(pacs, path, options=("-xs",))

    move(pacs, str(compressed.StudyInstanceUID), destination)

    (arrived,) = (pydicom.dcmread(path) for path in destination.folder.iterdir())
    assert arrived.file_meta.TransferSyntaxUID == compressed.file_meta.TransferSyntaxUID
    assert arrived.PixelData == compressed.PixelData


def test_an_unknown_destination_is_refused_with_what_to_enter(
    pacs, load, build_study, dcmtk_storescp
):
    stranger = dcmtk_storescp("STRANGER")
    study = build_study({"CT": 1})
    load(pacs, study.folder)

    # dcmqrscp answers 0xA801 as the standard says; Orthanc 0xC000 for every cause.
    with pytest.raises(RetrieveRefused) as refused:
        move(pacs, study.StudyInstanceUID, stranger)

    assert refused.value.status in {0xA801, 0xC000}
    assert f"AE title STRANGER, host 127.0.0.1, port {stranger.port}" in str(refused.value)
    assert stranger.received() == []


def test_a_destination_that_is_down_is_an_error_that_names_it(pacs, load, build_study, destination):
    study = build_study({"CT": 2})
    load(pacs, study.folder)
    destination.stop()

    with pytest.raises(RetrieveRefused, match=f"port {destination.port}|:{destination.port}"):
        move(pacs, study.StudyInstanceUID, destination)


def test_a_wrong_called_ae_title_is_rejected_with_the_key_to_correct(orthanc, settings):
    pacs = settings(orthanc().dicom_port, "WRONG")

    with pytest.raises(AssociationRejected, match=r"called AE title.*1/1/7.*correct ae_title"):
        echo(pacs, **US)


def test_a_pacs_that_has_stopped_is_unreachable(orthanc, settings):
    peer = orthanc()
    pacs = settings(peer.dicom_port, "ORTHANC")
    echo(pacs, **US)
    peer.stop()

    with pytest.raises(PacsUnreachable, match="connection refused"):
        echo(pacs, **US)
