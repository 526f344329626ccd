"""Packages: what is in them, under which paths, and what is refused."""

import hashlib
import json
import random
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import openpyxl
import pytest
from click.testing import CliRunner

from processor.archive import Member, archive_stream, write_archive
from processor.errors import PackageError
from processor.job import run_job
from processor.package import package_studies
from rules.model import Step
from safelight.cli import cli

NAMES = ("convert", "qc", "preview", "metadata", "package")


def checked(path):
    """The names in a package, each of whose files has the digest its manifest says."""
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        listed = json.loads(archive.read("package.json"))["files"]
        for file in listed:
            content = archive.read(file["path"])
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            assert len(content) == file["bytes"]
        assert [file["path"] for file in listed] == archive.namelist()[:-1]
        return set(archive.namelist()[:-1])


def test_the_file_name_of_the_workbook_is_the_path_in_the_package(job, stack):
    request = job(stack(3), *NAMES)
    result = run_job(request)
    folder = request.results / result.folder
    sheet = openpyxl.load_workbook(folder / "metadata.xlsx")["DICOM_Metadata"]
    columns = [cell.value for cell in sheet[1]]
    names = checked(folder / "package.zip")
    assert sheet.cell(2, columns.index("FileName") + 1).value in names
    assert f"{result.folder}/preview.png" in names
    assert result.steps[-1].summary == f"{len(names)} files"


def test_the_instances_are_added_where_a_rule_asks(job, stack):
    request = job(stack(2), "metadata")
    steps = (*request.steps, Step("package", {"dicom": "yes"}))
    result = run_job(replace(request, steps=steps, key="k" * 64))
    names = checked(request.results / result.folder / "package.zip")
    dicom = {f"{result.folder}/dicom/{file.name}" for file in request.files}
    assert dicom < names


def test_a_package_is_streamed_piece_by_piece_with_the_same_files(tmp_path):
    sizes = {"a.txt": 10, "large.bin": 5 << 20, "b.nii.gz": 3 << 20}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(random.Random(name).randbytes(size))
    members = [Member(tmp_path / name, f"study/{name}") for name in sizes]
    pieces = list(archive_stream(members, 1 << 30))
    assert max(map(len, pieces)) < 2 << 20
    (tmp_path / "streamed.zip").write_bytes(b"".join(pieces))
    write_archive(tmp_path / "written.zip", members, 1 << 30)
    assert checked(tmp_path / "streamed.zip") == checked(tmp_path / "written.zip")
    assert len(checked(tmp_path / "streamed.zip")) == 3
    with pytest.raises(PackageError, match="more than the"):
        next(archive_stream(members, 1 << 20))


def test_what_is_too_large_is_refused_with_the_sizes(job, instance):
    large = instance(pixels=np.zeros((800, 800), np.uint16))  # 1.28 MB
    request = job([large], "qc")
    steps = (*request.steps, Step("package", {"dicom": "yes", "largest_mb": 1}))
    result = run_job(replace(request, steps=steps, key="k" * 64))
    assert result.steps[-1].state == "refused"
    assert "1.3 MB together, more than the 1.0 MB allowed" in result.steps[-1].summary
    assert not (request.results / result.folder / "package.zip").exists()


@pytest.mark.parametrize("names", [("a", "A"), ("/a",), ("../a",), ("b\\a",), ("package.json",)])
def test_unsafe_and_equal_paths_are_refused_before_anything_is_written(tmp_path, names):
    (tmp_path / "file").write_text("x")
    members = [Member(tmp_path / "file", name) for name in names]
    with pytest.raises(PackageError):
        write_archive(tmp_path / "out.zip", members, 100)
    assert not (tmp_path / "out.zip").exists()


def test_equal_contents_make_equal_packages(tmp_path):
    (tmp_path / "file").write_text("x" * 1000)
    members = [Member(tmp_path / "file", name) for name in ("b.txt", "a.gz")]
    for name, order in (("1.zip", members), ("2.zip", members[::-1])):
        write_archive(tmp_path / name, order, 10_000)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_a_study_is_packed_by_command_without_its_packages(job, stack, tmp_path):
    request = job(stack(2), *NAMES)
    result = run_job(request)
    study = request.results / result.folder.parent
    out = tmp_path / "study.zip"
    done = CliRunner().invoke(cli, ["package", str(study), "--out", str(out)])
    names = checked(out)
    assert done.output == f"{len(names)} files in {out}\n"
    assert f"{result.folder}/manifest.json" in names
    assert not any(name.endswith(".zip") for name in names)


def test_several_studies_are_packed_into_one(tmp_path):
    for study in ("A1", "A2"):
        (tmp_path / study).mkdir()
        (tmp_path / study / "report.html").write_text(study)
    out = tmp_path / "both.zip"
    arguments = [str(tmp_path / "A1"), str(tmp_path / "A2"), "--out", str(out)]
    assert CliRunner().invoke(cli, ["package", *arguments]).exit_code == 0
    assert checked(out) == {"A1/report.html", "A2/report.html"}


def test_a_study_that_cannot_be_packed_leaves_the_package_there_was(tmp_path):
    (tmp_path / "A1").mkdir()
    (tmp_path / "out.zip").write_text("old")
    with pytest.raises(PackageError, match="nothing"):
        package_studies([tmp_path / "A1"], tmp_path / "out.zip", 10)
    (tmp_path / "A1" / "file").write_text("x" * 11)
    with pytest.raises(PackageError, match="together"):
        package_studies([tmp_path / "A1"], tmp_path / "out.zip", 10)
    assert (tmp_path / "out.zip").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"A1", "out.zip"}
