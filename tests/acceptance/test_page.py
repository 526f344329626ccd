"""The page in headless Chromium, of a running daemon. Every route by itself: tests/web_status.

Screenshots of the run are kept in tests/artifacts.
"""

import gzip
import zipfile

from playwright.sync_api import expect
from pydicom.uid import generate_uid


def test_a_series_appears_by_itself_with_its_picture_and_its_file_can_be_downloaded(
    daemon, stack, storescu, tab, tmp_path, keep_picture
):
    node = daemon()
    page = tab
    page.goto(f"http://{node.web}/")
    expect(page.get_by_text("Nothing has arrived yet")).to_be_visible()

    storescu(stack(slices=8)[0].parent, port=node.port, called="SAFELIGHT", calling="CT01")
    row = page.locator("tr", has_text="Thorax")
    expect(row.get_by_text("8/8 frames verified")).to_be_visible(timeout=60_000)  # no reload
    expect(row.get_by_text("complete: association released")).to_be_visible()
    expect(
        row.get_by_text("DOE, JANE", exact=False).or_(row.get_by_text("Doe, Jane"))
    ).to_be_visible()
    picture = row.locator("img")
    expect(picture).to_be_visible()
    page.wait_for_function("element => element.naturalWidth > 0", arg=picture.element_handle())
    keep_picture(page, "now", full_page=False)

    row.get_by_role("link", name="3 Thorax").click()
    expect(page.get_by_text("it matches every series")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("link", name=".nii.gz").click()
    downloading.value.save_as(tmp_path / "download.nii.gz")
    content = gzip.decompress((tmp_path / "download.nii.gz").read_bytes())
    (published,) = node.outputs(next(iter(node.series().values())), "nifti")
    assert (tmp_path / "download.nii.gz").read_bytes() == published.read_bytes()
    assert content[344:348] == b"n+1\0"  # the magic of NIfTI-1
    keep_picture(page, "series")


def test_what_was_refused_or_set_aside_is_one_click_away(
    daemon, stack, storescu, tab, keep_picture
):
    node = daemon()
    uid, sop = generate_uid(), generate_uid()
    for patient in ("P1", "P2"):  # the second version of an instance is set aside
        (path,) = stack(slices=1, series_uid=uid, SOPInstanceUID=sop, PatientID=patient)
        storescu(path, port=node.port, called="SAFELIGHT")
        path.parent.rename(path.parent.with_name(patient))
    (bad,) = stack(slices=1, StudyInstanceUID="not.a.uid")
    node.run_sender(bad)
    page = tab
    page.goto(f"http://{node.web}/")
    page.get_by_role("link", name="1 file in quarantine").click(timeout=60_000)
    expect(page.get_by_text("StudyInstanceUID is not a valid UID")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("rowheader", name="SAFELIGHT_SEND").first).to_be_visible()
    expect(page.get_by_text("other bytes were kept before")).to_be_visible()
    keep_picture(page, "alarms")


def test_it_fits_a_phone(daemon, stack, storescu, tab, keep_picture):
    node = daemon()
    long_name = "t2_tse_dark-fluid_tra_p2_" * 3
    storescu(stack(SeriesDescription=long_name[:64])[0].parent, port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    page = tab
    page.set_viewport_size({"width": 400, "height": 800})
    for path in (
        "/",
        "/series/1",
        "/studies/1",
        "/alarms",
        "/network",
        "/system",
        "/uploads",
        "/search",
    ):
        page.goto(f"http://{node.web}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path
    keep_picture(page, "phone")


def test_a_person_orders_studies_from_a_pacs_and_follows_them_to_their_end(
    daemon, orthanc, stack, storescu, tab, free_port, keep_picture
):
    port = free_port()
    pacs = orthanc(modalities={"SAFELIGHT": ("127.0.0.1", port)})
    table = f'name = "archive"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {pacs.dicom_port}'
    node = daemon(toml=f"[[pacs]]\n{table}\n", port=port)
    storescu(stack(slices=4)[0].parent, port=pacs.dicom_port, called="ORTHANC")
    page = tab
    page.goto(f"http://{node.web}/retrieves")

    page.get_by_text("Retrieve studies by accession number").click()
    page.get_by_label("Accession numbers").fill("A0001, A0009\nA0001")
    page.get_by_label("What you call the list").fill("Knees")
    page.get_by_role("button", name="Retrieve").click()

    expect(page.get_by_role("heading", name="Knees")).to_be_visible()
    expect(page.locator("tr", has_text="A0001").get_by_text("whole")).to_be_visible(timeout=60_000)
    expect(page.locator("tr", has_text="A0001").get_by_text("4 of 4")).to_be_visible()
    expect(page.locator("tr", has_text="A0009").get_by_text("absent")).to_be_visible()
    keep_picture(page, "retrieve")
    page.get_by_role("button", name="Try again what is not whole").click()
    expect(page.locator("tr", has_text="A0009").get_by_text("absent")).to_be_visible(timeout=60_000)
    audit = (node.data / "audit.log").read_text()
    assert '"retrieve ordered"' in audit
    assert '"retrieve tried again"' in audit
    assert "A0001" not in audit
    assert page.goto(f"http://{node.web}/retrieves").ok
    page.get_by_text("Retrieve studies by accession number").click()
    page.get_by_label("Accession numbers").fill("***")
    page.get_by_role("button", name="Retrieve").click()
    expect(page.get_by_text("Nothing was done.")).to_be_visible()


def test_a_person_finds_a_study_fetches_what_is_missing_and_takes_it_home(
    daemon, orthanc, stack, storescu, tab, free_port, tmp_path, keep_picture
):
    port = free_port()
    pacs = orthanc(modalities={"SAFELIGHT": ("127.0.0.1", port)})
    table = f'name = "archive"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {pacs.dicom_port}'
    node = daemon(toml=f"[[pacs]]\n{table}\n", port=port)
    files = stack(slices=8)
    storescu(files[0].parent, port=pacs.dicom_port, called="ORTHANC")
    storescu(*files[:5], port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    page = tab
    page.goto(f"http://{node.web}/studies")

    page.get_by_label("Patient name or ID").fill("jane")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == f"http://{node.web}/studies"
    keep_picture(page, "studies")
    page.locator("tr .title").click()
    expect(page.get_by_text("No PACS has been asked")).to_be_visible()
    page.get_by_role("button", name="Ask a PACS, and fetch what is missing").click()
    expect(page.get_by_text("8 of 8")).to_be_visible(timeout=60_000)
    page.goto(f"http://{node.web}/studies/1")
    expect(page.get_by_text("Nothing: all that ORTHANC said")).to_be_visible()
    expect(page.get_by_text("8/8 frames verified")).to_be_visible(timeout=60_000)
    keep_picture(page, "study")

    page.get_by_role("button", name="Process all series again").click()
    page.locator("tr .title").click()
    expect(page.get_by_text("a person had it decided again")).to_be_visible()
    expect(page.get_by_role("heading", name="Revisions")).to_be_visible()
    expect(page.locator("article.job:not(.old)")).to_have_count(1)  # nothing is made twice
    page.goto(f"http://{node.web}/studies/1")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="All results (ZIP)").click()
    downloading.value.save_as(tmp_path / "study.zip")
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        assert archive.testzip() is None
        (published,) = node.outputs(next(iter(node.series().values())), "nifti")
        (name,) = [name for name in archive.namelist() if name.endswith(".nii.gz")]
        assert archive.read(name) == published.read_bytes()


def test_a_person_searches_a_pacs_tries_it_out_and_retrieves_what_was_chosen(
    daemon, orthanc, stack, storescu, tab, free_port, keep_picture
):
    port = free_port()
    pacs = orthanc(modalities={"SAFELIGHT": ("127.0.0.1", port)})
    table = f'name = "archive"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {pacs.dicom_port}'
    node = daemon(toml=f"[[pacs]]\n{table}\n", port=port)
    for slices, name in ((4, "Thorax"), (2, "Thorax MPR")):
        storescu(
            stack(slices=slices, SeriesDescription=name)[0].parent,
            port=pacs.dicom_port,
            called="ORTHANC",
        )
    page = tab
    page.goto(f"http://{node.web}/retrieves")
    page.get_by_role("link", name="Search a PACS").click()
    page.get_by_label("Patient name").fill("doe*")
    page.get_by_label("Modality").fill("ct")
    page.get_by_role("button", name="Search").click()
    page.get_by_label("Choose A0001").check()
    keep_picture(page, "search")
    page.get_by_role("button", name="Try it out first").click()
    expect(page.locator("tr", has_text="MPR").get_by_text("fetched")).to_be_visible()
    page.get_by_label("derived series and scouts").check()
    page.get_by_label("series with fewer instances than").fill("3")
    page.get_by_role("button", name="Try it out first").click()
    expect(page.locator("tr", has_text="MPR").get_by_text("left out: Least inst")).to_be_visible()
    page.get_by_label("Format").select_option("npz")
    page.get_by_label("Conversion").check()
    keep_picture(page, "plan")
    page.get_by_role("button", name="Retrieve").click()
    expect(page.locator("tr", has_text="A0001").get_by_text("whole")).to_be_visible(timeout=60_000)
    (row,) = node.wait_for_ended(1).values()
    assert [path.suffix for path in node.outputs(row, "npz")] == [".npz"]
    assert "A0001" not in page.url
    page.goto(f"http://{node.web}/search")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nothing was done.")).to_be_visible()  # it asks for everything


def test_a_person_looks_through_a_series(daemon, stack, storescu, tab, keep_picture):
    node = daemon()
    files = stack(slices=30)
    storescu(files[0].parent, port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    page = tab
    page.goto(f"http://{node.web}/series/1")
    page.get_by_role("link", name="Look at").click()
    canvas, stage = page.locator("canvas"), page.locator(".stage")

    def expect_shown(words, told):
        expect(canvas).to_have_attribute("data-shown", words)
        expect(page.locator(".where")).to_have_text(told)

    expect_shown("axial 0 0", "1 of 30")
    expect(page.get_by_text("Centre 40, width 400.")).to_be_visible()
    stage.hover()
    for _ in range(3):
        page.mouse.wheel(0, 100)
    expect_shown("axial 3 0", "4 of 30")
    stage.focus()
    for key, words, told in (
        ("ArrowDown", "axial 4 0", "5 of 30"),
        ("PageDown", "axial 14 0", "15 of 30"),
        ("End", "axial 29 0", "30 of 30"),
        ("ArrowRight", "axial 29 0", "30 of 30"),
        ("ArrowUp", "axial 28 0", "29 of 30"),
        ("Home", "axial 0 0", "1 of 30"),
    ):
        page.keyboard.press(key)
        expect_shown(words, told)
    page.get_by_label("Slice", exact=True).fill("8")
    expect_shown("axial 7 0", "8 of 30")
    assert 140 < grey(page) < 165  # 78 in a window from -160 to 240
    page.locator(".presets").select_option("lung")
    expect(page.get_by_text("Centre -600, width 1500.")).to_be_visible()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 425, box["y"] + 200, steps=4)
    page.mouse.up()
    expect(page.get_by_text("Centre -600, width 2250.")).to_be_visible()
    before = grey(page)
    page.get_by_label("inverted").check()
    page.wait_for_function(f"before => ({GREY})() !== before", arg=before)
    keep_picture(page, "viewer", full_page=False)
    page.get_by_role("button", name="coronal").click()
    expect(canvas).to_have_attribute("data-shown", "coronal 8 0")
    expect(page.locator(".letter.top")).to_have_text("H")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    keep_picture(page, "viewer-phone", full_page=False)


GREY = """() => {
  const canvas = document.querySelector("canvas");
  const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, -(canvas.width >> 1), -(canvas.height >> 1));
  return copy.getImageData(0, 0, 1, 1).data[0];
}"""


def grey(page):
    """The brightness of the middle of the slice."""
    return page.evaluate(GREY)


def test_an_administrator_looks_whether_everything_is_there(
    daemon, orthanc, stack, storescu, tab, free_port, keep_picture
):
    pacs = orthanc()
    table = 'name = "%s"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = %d'
    tables = "".join(
        f"[[pacs]]\n{table % one}\n"
        for one in (("archive", pacs.dicom_port), ("gone", free_port()))
    )
    sender = '[[dicom.accept]]\ncalling_ae = "CT01"\naddresses = ["127.0.0.1/32"]\n'
    node = daemon(toml=f"{tables}{sender}silent_hours = 0.00001\n")
    storescu(stack(slices=4)[0].parent, port=node.port, called="SAFELIGHT", calling="CT01")
    node.wait_for_ended(1)
    page = tab
    page.goto(f"http://{node.web}/")
    page.get_by_role("link", name="PACS").click()

    page.get_by_role("button", name="Send an echo to archive").click()
    expect(page.locator("tr", has_text="archive").get_by_text("yes")).to_be_visible()
    page.get_by_role("button", name="Send an echo to gone").click()
    expect(page.locator("tr", has_text="gone").get_by_text("cannot reach")).to_be_visible()
    expect(page.get_by_text("CT01 is silent.")).to_be_visible()
    expect(page.get_by_role("link", name="1 silent sender")).to_be_visible()
    keep_picture(page, "network")

    page.get_by_role("link", name="System").click()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("it balances: nothing is lost")).to_be_visible()
    page.get_by_role("button", name="Pause processing").click()
    expect(page.get_by_text("Work is held up")).to_be_visible()
    keep_picture(page, "system")
    page.get_by_role("button", name="Go on with everything").click()
    expect(page.get_by_role("button", name="Pause processing")).to_be_visible()
    log = page.get_by_label("The latest lines of the log, in UTC")
    expect(log).to_contain_text("asked to resume all")
