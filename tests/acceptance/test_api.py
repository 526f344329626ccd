"""A program and a running daemon, from a token to a volume. What is answered: tests/web_status."""

import gzip
import io
import json
import stat
import zipfile

import nibabel as nib
import pytest
import requests


@pytest.fixture
def site(daemon):
    """A daemon with a user, and a session of a program with a token of theirs."""
    node = daemon()
    node.run("user", "add", "olga", "--role", "operator", input="correct horse battery\n")
    secret = node.run("user", "token", "olga", "nightly").stdout.splitlines()[0]
    with requests.Session() as program:
        program.headers["Authorization"] = f"Bearer {secret}"
        yield node, program, f"http://{node.web}/api/v1"


def upload(program, url, name, content, wait_until):
    given = program.post(f"{url}/uploads", files={"files": (name, content)}, timeout=60)
    assert given.status_code == 202, given.text
    one = f"{url}/uploads/{given.json()['number']}"
    wait_until(lambda: program.get(one, timeout=60).json()["has_ended"], 60)
    return program.get(one, timeout=60).json()["taken"]


def zip_of(*members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_program_uploads_a_series_and_downloads_its_volume(site, stack, wait_until):
    node, program, url = site
    packed = zip_of(*((path.name, path.read_bytes()) for path in stack(slices=6)))
    assert upload(program, url, "study.zip", packed, wait_until)["stored"] == 6
    node.wait_for_ended(1)

    (series,) = program.get(f"{url}/series", timeout=60).json()["items"]
    assert (series["state"], series["instances"]) == ("done", 6)
    (job,) = program.get(f"{url}/series/{series['id']}/jobs", timeout=60).json()["items"]
    (nifti,) = [each for each in job["outputs"] if each["kind"] == "nifti"]
    file = program.get(f"{url}/outputs/{nifti['id']}/file", timeout=60)
    image = nib.Nifti1Image.from_bytes(gzip.decompress(file.content))
    assert image.shape == (16, 16, 6)
    refused = program.post(f"{url}/jobs/{job['id']}/resend", timeout=60)
    assert (refused.status_code, refused.headers["Content-Type"]) == (
        409,
        "application/problem+json",
    )
    assert refused.json()["detail"] == (
        f"job {job['id']} is done; it cannot be changed. Nothing was done."
    )
    assert program.get(f"{url}/system/log", timeout=60).status_code == 403
    assert requests.get(f"{url}/series", timeout=60).status_code == 401
    audit = [json.loads(line) for line in (node.data / "audit.log").read_text().splitlines()]
    done = [(line["action"], line["user"]) for line in audit if line["token"] == "nightly"]
    assert done == [("files uploaded", "olga"), ("output downloaded", "olga")]


def test_what_an_archive_hides_stays_in_it(site, stack, wait_until, tmp_path):
    """Row 40 of the fault catalogue; bombs and too many files: test_process.py."""
    node, program, url = site
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    hostile = zip_of(
        (link, "/etc/passwd"), ("../../evil.dcm", b"x"), ("/etc/evil.dcm", b"x"), ("..\\evil", b"x")
    )
    taken = upload(program, url, "hostile.zip", hostile, wait_until)
    assert (taken["stored"], taken["refused"]) == (0, 4)
    assert {why for _, why in taken["reasons"]} == {"not a DICOM file (PS3.10)"}
    within = zip_of(("inner.zip", zip_of(("a.dcm", stack(slices=1)[0].read_bytes()))))
    assert upload(program, url, "outer.zip", within, wait_until)["refused"] == 1  # never unpacked
    assert not list(tmp_path.rglob("*evil*"))
    uploads = node.data / "uploads"  # a moment after the end is told
    wait_until(lambda: not list(uploads.iterdir()), "what was uploaded to be removed")


def test_an_administrators_program_tries_rules_puts_them_in_force_and_undoes_it(
    site, stack, wait_until
):
    node, program, url = site
    node.run("user", "add", "ada", "--role", "admin", input="correct horse battery\n")
    secret = node.run("user", "token", "ada", "rules").stdout.splitlines()[0]
    olga, program.headers["Authorization"] = program.headers["Authorization"], f"Bearer {secret}"

    def rules(path, asked=None):
        if asked is None:
            return program.get(f"{url}/rules{path}", timeout=60)
        return program.post(f"{url}/rules{path}", json=asked, timeout=60)

    packed = zip_of(*((path.name, path.read_bytes()) for path in stack(slices=6)))
    upload(program, url, "study.zip", packed, wait_until)
    node.wait_for_ended(1)
    begun = rules("/draft").json()
    drop = '[[rule]]\nname = "Few"\nmatch = { instances = { max = 9 } }\nthen = { drop = "few" }\n'
    draft = {"text": drop + begun["text"], "mark": begun["mark"]}
    assert rules("/draft", draft).json()["may_force"] is True
    tried = rules("/draft/try", {**draft, "series": 1}).json()
    assert (tried["draft"]["outcome"], tried["in_force"]["outcome"]) == ("drop", "process")
    said = tried["draft"]["rules"][0]
    assert (said["rule"], said["verdict"]) == ("Few", "yes")
    changes = rules("/draft/replay", draft).json()["changes"]
    assert [(one["kind"], one["count"]) for one in changes] == [("drop", 1)]

    forced = rules("/force", draft)
    assert forced.status_code == 200, forced.text
    assert rules("").json()["items"][0]["name"] == "Few"
    assert rules("/draft").json()["text"] == draft["text"]
    late = rules("/force", {"text": "# theirs", "mark": draft["mark"]})
    assert (late.status_code, "have changed since" in late.json()["detail"]) == (409, True)

    versions = rules("/versions").json()
    latest, first = versions["items"][0], versions["items"][-1]
    assert (latest["id"], latest["by"], first["by"]) == (forced.json()["number"], "ada", None)
    undone = rules(f"/versions/{first['id']}/force", {"mark": versions["mark"]})
    assert undone.status_code == 200, undone.text
    assert "Few" not in [one["name"] for one in rules("").json()["items"]]
    audit = [json.loads(line) for line in (node.data / "audit.log").read_text().splitlines()]
    told = [(one["action"], one["user"], one["token"], one["target"]) for one in audit]
    for number in (forced.json()["number"], undone.json()["number"]):
        assert ("rules put in force", "ada", "rules", f"version {number}") in told
    program.headers["Authorization"] = olga
    assert rules("/draft").status_code == 403
