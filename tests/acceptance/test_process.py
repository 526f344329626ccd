"""`Client.process` and ``safelight process``: folders, ZIPs, and studies fetched from Orthanc.

Not covered: what the steps make of a series, which is theirs to test.
"""

import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from openpyxl import load_workbook
from pydicom import dcmread

from safelight import Client, unpacking
from safelight.client import NothingToProcess
from safelight.unpacking import UnusableArchive, unpack

TABLES = '[storage]\ndata = "data"\n[processing]\nworkers = 2\n'


@pytest.fixture
def client(tmp_path):
    """A client of a site where no daemon runs."""
    (tmp_path / "safelight.toml").write_text(TABLES)
    return Client(tmp_path / "safelight.toml")


@pytest.fixture
def zipped(tmp_path):
    """Function that writes a ZIP of files, by their names in it."""

    def write(members, **options):
        path = tmp_path / "given.zip"
        with zipfile.ZipFile(path, "w", **options) as archive:
            for name, file in members.items():
                archive.writestr(name, file if isinstance(file, bytes) else file.read_bytes())
        return path

    return write


def by_state(result):
    return {one.SeriesInstanceUID: one.state for one in result.series}


def test_a_folder_becomes_verified_arrays_a_workbook_and_a_package(client, stack, tmp_path):
    files = stack(slices=6)
    (files[0].parent / "notes.txt").write_text("no DICOM")
    told = []

    result = client.process(
        tmp_path / "sent",
        output_dir=tmp_path / "out",
        output_format="npz",
        package=True,
        on_progress=told.append,
    )

    (series,) = result.series
    assert result.is_complete
    assert (series.state, series.instances, result.skipped) == ("done", 6, 1)
    assert [step.processor for step in series.steps] == ["convert", "qc", "preview", "metadata"]
    (array,) = series.folder.glob("*.npz")
    data = np.load(array)["data"]
    assert (data.shape, data.dtype) == ((6, 16, 16), np.float32)
    assert sorted(data.max(axis=(1, 2))) == [15, 25, 35, 45, 55, 65]
    (workbook,) = result.workbooks
    rows = load_workbook(workbook)["DICOM_Metadata"].iter_rows(values_only=True)
    assert len(list(rows)) > 1
    (report,) = result.reports
    assert "6 of 6" in report.read_text(encoding="utf-8")
    (package,) = result.packages
    with zipfile.ZipFile(package) as archive:
        assert "A0001/report.html" in archive.namelist()
        assert f"A0001/{series.folder.name}/{array.name}" in archive.namelist()
    assert [(last := told[-2]).stage, last.done, last.total] == ["process", 6, 6]
    assert told[-1].stage == "write"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["A0001", "A0001.zip"]


def test_the_same_again_makes_nothing_again(client, stack, tmp_path):
    stack()
    first, again = (
        client.process(tmp_path / "sent", output_dir=tmp_path / "out") for _ in range(2)
    )
    assert [one.folder for one in again.series] == [one.folder for one in first.series]
    assert again.series[0].steps == first.series[0].steps
    (folder,) = (path for path in (tmp_path / "out" / "A0001").iterdir() if path.is_dir())
    manifest = folder / "manifest.json"
    assert again.series[0].folder == folder
    assert manifest.stat().st_mtime <= again.workbooks[0].stat().st_mtime


def test_series_are_left_out_by_modality_count_and_derivation(client, stack, tmp_path):
    uids = {
        name: dcmread(stack(**elements)[0]).SeriesInstanceUID
        for name, elements in {
            "wanted": {"Modality": "MR"},
            "CT": {},
            "few": {"Modality": "MR", "slices": 2},
            "frames": {"Modality": "MR", "slices": 1, "NumberOfFrames": 12},
            "derived": {"Modality": "MR", "ImageType": ["DERIVED", "SECONDARY"]},
        }.items()
    }
    result = client.process(
        tmp_path / "sent",
        output_dir=tmp_path / "out",
        run=["qc"],
        modalities=["MR"],
        minimum_instances=3,
        derived=False,
    )
    states = by_state(result)
    assert {name: states[uid] for name, uid in uids.items()} == {
        "wanted": "done",
        "CT": "left out",
        "few": "left out",
        "frames": "done",
        "derived": "left out",
    }
    reasons = {one.SeriesInstanceUID: one.reason for one in result.series}
    assert reasons[uids["CT"]] == "Modalities: its modality is none of MR"
    assert reasons[uids["few"]] == "Instances: fewer than 3 instances"
    assert reasons[uids["derived"]] == "Derived series: a derived series"
    assert result.is_complete


def test_names_in_a_zip_lead_nowhere(client, stack, zipped, tmp_path):
    first, second = stack(slices=2)
    archive = zipped({"../../evil.dcm": first, "/etc/evil": second, "folder/": b"", "a.txt": b"-"})

    result = client.process(archive, output_dir=tmp_path / "out", run=["qc"])

    assert (result.series[0].instances, result.skipped) == (2, 1)
    assert not list(tmp_path.parent.rglob("evil*"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["A0001"]


@pytest.mark.parametrize("harm", ["truncated", "flipped", "encrypted"])
def test_a_zip_that_cannot_be_unpacked_is_refused_and_leaves_nothing(
    client, stack, zipped, tmp_path, harm
):
    path = zipped({"SECRET^NAME.dcm": stack(slices=1)[0]}, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    if harm == "truncated":
        content = content[:60] + content[-100:]
    elif harm == "flipped":
        content[120:140] = bytes(20)
    else:
        content[6] |= 1
        content[content.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)

    with pytest.raises(UnusableArchive, match=r"damaged|encrypted") as refused:
        client.process(path, output_dir=tmp_path / "out")

    assert "SECRET" not in str(refused.value)
    assert not list((tmp_path / "out").iterdir())


def test_a_zip_that_is_larger_than_the_disk_is_given_up_in_time(zipped, tmp_path):
    path = zipped({"zeros": bytes(50_000_000)}, compression=zipfile.ZIP_DEFLATED)
    (tmp_path / "to").mkdir()
    free = shutil.disk_usage(tmp_path).free

    with pytest.raises(UnusableArchive, match="larger than the disk"):
        unpack(path, tmp_path / "to", reserve_bytes=free - 10_000_000)

    assert (tmp_path / "to" / "000000").stat().st_size < 20_000_000


def test_a_zip_bomb_is_given_up_by_what_comes_out_of_it(zipped, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "EASY_BYTES", 5_000_000)
    path = zipped(
        {f"zeros{n}": bytes(10_000_000) for n in range(2)}, compression=zipfile.ZIP_DEFLATED
    )
    (tmp_path / "to").mkdir()

    with pytest.raises(UnusableArchive, match="more than 200 times its size"):
        unpack(path, tmp_path / "to", reserve_bytes=0)

    written = sum(each.stat().st_size for each in (tmp_path / "to").iterdir())
    assert written <= max(5_000_000, 200 * path.stat().st_size)


def test_a_zip_of_too_many_files_is_not_begun(zipped, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 2)
    (tmp_path / "to").mkdir()
    with pytest.raises(UnusableArchive, match="the ZIP has 3 files, more than 2"):
        unpack(zipped(dict.fromkeys("abc", b"x")), tmp_path / "to", reserve_bytes=0)
    assert list((tmp_path / "to").iterdir()) == []


def test_what_cannot_be_processed_is_said(client, tmp_path):
    (tmp_path / "empty").mkdir()
    out = {"output_dir": tmp_path / "out"}
    with pytest.raises(NothingToProcess, match="no DICOM"):
        client.process(tmp_path / "empty", **out)
    with pytest.raises(NothingToProcess, match="there is no such file"):
        client.process(tmp_path / "absent", **out)
    with pytest.raises(NothingToProcess, match="either a source or an accession number"):
        client.process(**out)
    with pytest.raises(NothingToProcess, match="got convert, qcc"):
        client.process(tmp_path / "empty", run=["convert", "qcc"], **out)


def test_a_series_whose_job_fails_costs_the_others_nothing(client, stack, tmp_path):
    stack()
    broken = stack(SeriesNumber=9)
    for file in broken:
        file.write_bytes(file.read_bytes()[:-300])
    result = client.process(tmp_path / "sent", output_dir=tmp_path / "out")
    states = {one.folder.name[:3]: one.steps[0].state for one in result.series}
    assert states == {"003": "done", "009": "refused"}


@pytest.fixture
def site(tmp_path, orthanc, stack, storescu, free_port):
    """A configuration with Orthanc as the PACS; no daemon runs."""
    pacs = orthanc()
    file = tmp_path / "safelight.toml"
    file.write_text(
        f'{TABLES}[dicom]\nport = {free_port()}\n[[pacs]]\nname = "main"\nretrieve = "get"\n'
        f'ae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {pacs.dicom_port}\n'
    )
    stack(slices=5)
    stack(slices=4, SeriesNumber=4, Modality="MR")
    storescu(tmp_path / "sent", port=pacs.dicom_port, called="ORTHANC", options=("+sd", "+r"))
    return file


def run_process(config, *arguments):
    command = [sys.executable, "-m", "safelight", "process", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_study_is_fetched_and_processed_without_a_daemon(site, tmp_path):
    done = run_process(site, "A0001", "--out", str(tmp_path / "out"), "--modality", "CT", "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["is_complete"]
    retrieved = document["retrieved"]
    assert (retrieved["state"], retrieved["found"], retrieved["received"]) == ("whole", 5, 5)
    assert list(retrieved["left_out"].values()) == ["Modalities: its modality is none of CT"]
    (series,) = document["series"]
    assert (series["state"], series["instances"]) == ("done", 5)
    (image,) = (tmp_path / "out" / "A0001").glob("*/*.nii.gz")
    row = load_workbook(tmp_path / "out" / "A0001" / "metadata.xlsx")["Series_Summary"]
    names, values = row.iter_rows(values_only=True)
    summary = dict(zip(names, values, strict=True))
    assert (summary["Completeness"], summary["InstancesExpected"]) == ("listed", 5)
    assert image.stat().st_size > 0
    assert not (tmp_path / "data" / "results").exists() or not list(
        (tmp_path / "data" / "results").rglob("manifest.json")
    )


def test_an_accession_number_that_the_pacs_does_not_know_is_said(site, tmp_path):
    done = run_process(site, "NOWHERE1", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "the PACS has no study of this accession number" in done.stderr
