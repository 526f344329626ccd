"""Uploads, from a browser to the spool and its ledger. The route by itself: tests/web_status."""

import struct
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO

from ledger.reader import LedgerReader


@pytest.fixture
def upload_page(daemon, chromium):
    """A daemon and the page for uploads in Chromium."""
    node = daemon()
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"http://{node.web}/uploads")
    yield node, page
    context.close()


def give(page, files, field="DICOM files"):
    page.get_by_label(field).set_input_files(files)
    page.get_by_role("button", name="Upload").click()


def zip_of(path, *files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def test_a_zip_enters_by_the_same_door_as_what_is_sent(
    upload_page, stack, storescu, tmp_path, keep_picture
):
    node, page = upload_page
    files = stack(slices=6)
    storescu(files[0], port=node.port, called="SAFELIGHT")  # one is here already
    named = [(f"DOE_JANE/{path.name}", path.read_bytes()) for path in files]
    bad = dcmread(files[1])
    bad.SOPInstanceUID = "not.a.uid"
    broken = DicomBytesIO()
    bad.save_as(broken)
    extra = [("DOE_JANE/notes.txt", b"hello"), ("DOE_JANE/bad.dcm", broken.getvalue())]
    archive = zip_of(tmp_path / "study.zip", *named, *extra, ("DICOMDIR", dicomdir()))

    give(page, archive)
    expect(page.get_by_text("5 new instances")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("1 here already")).to_be_visible()
    expect(page.get_by_text("2 refused")).to_be_visible()
    page.get_by_text("What was refused, and why").click()
    expect(page.get_by_text("study.zip, file 7: not a DICOM file (PS3.10)")).to_be_visible()
    expect(page.get_by_text("SOPInstanceUID is not a valid UID")).to_be_visible()
    keep_picture(page, "upload")

    node.wait_for_ended(1)
    (kept,) = node.series()
    assert "DOE_JANE" not in (node.config.parent / "log").read_text()
    reader = LedgerReader(node.data / "ledger.sqlite")
    try:
        uploads = [row for row in reader.associations() if row.calling_ae == "UPLOAD"]
    finally:
        reader.close()
    assert [(row.state, row.stored, row.duplicates) for row in uploads] == [("released", 5, 1)]
    page.get_by_role("link", name="See the series").click()
    expect(page.get_by_text("6/6 frames verified")).to_be_visible(timeout=60_000)
    page.goto(f"http://{node.web}/system")
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("it balances: nothing is lost")).to_be_visible()
    assert kept


def test_folders_and_dropped_files_are_taken(upload_page, stack):
    node, page = upload_page
    first, second = stack(slices=3), stack(slices=2)
    give(page, first[0].parent, "or a folder")
    expect(page.get_by_text("3 new instances")).to_be_visible(timeout=60_000)
    content = [list(path.read_bytes()) for path in second]
    page.evaluate(
        """(contents) => {
          const transfer = new DataTransfer();
          contents.forEach((one, n) =>
            transfer.items.add(new File([new Uint8Array(one)], `${n}.dcm`)));
          dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
        }""",
        content,
    )
    expect(page.get_by_text("2 new instances")).to_be_visible(timeout=60_000)
    node.wait_for_ended(2)


def test_hostile_archives_are_refused_with_the_reason(upload_page, tmp_path):
    """What a ZIP can do beyond this: tests/acceptance/test_process.py, which shares the code."""
    _, page = upload_page
    slip = zip_of(tmp_path / "slip.zip", ("../../../etc/passwd", b"x"))
    give(page, slip)
    expect(page.get_by_text("slip.zip, file 1: not a DICOM file (PS3.10)")).to_be_visible()
    lying = zip_of(tmp_path / "lying.zip", ("a", b"x" * 1000))
    content = bytearray(lying.read_bytes())
    content[-22 - 46 : -22 - 46 + 4] = struct.pack("<I", 0)
    (tmp_path / "damaged.zip").write_bytes(content)
    give(page, tmp_path / "damaged.zip")
    expect(page.get_by_text("damaged.zip: ", exact=False)).to_be_visible(timeout=60_000)
    assert not list(tmp_path.rglob("passwd"))


def dicomdir():
    return Path(get_testdata_file("DICOMDIR")).read_bytes()
