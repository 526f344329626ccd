"""The demo, as ``make demo`` runs it. The Makefile around it is tested by using it."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import openpyxl
import psutil
import pytest

from safelight.samples import sample_files


def command(*arguments):
    return [sys.executable, "-m", "safelight", "demo", *map(str, arguments)]


def run(*arguments, cwd):
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def test_a_folder_is_sent_and_each_series_is_told_with_its_evidence_and_results(tmp_path, stack):
    folder = stack(slices=6)[0].parent
    (folder / "notes.txt").write_text("not DICOM")
    result = run("--dicom", folder, "--data", tmp_path / "demo", "--no-stay", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Sending 6 instances" in result.stdout
    assert "(1 files are not DICOM)" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if "Thorax" in line]
    assert "closed: association released, then quiet for" in line
    assert "nifti ok (6/6 frames verified)" in line
    assert "qc " in line
    assert "6 instances in 1 series of 1 studies" in result.stdout
    workbook = openpyxl.load_workbook(tmp_path / "demo" / "results" / "metadata.xlsx")
    assert workbook["DICOM_Metadata"].max_row == 2
    assert result.stdout.rstrip().endswith("Stopped.")


def test_it_takes_the_next_free_ports_stays_up_and_ctrl_c_ends_it_cleanly(tmp_path, stack):
    folder = stack(slices=2)[0].parent
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        except OSError:
            pytest.skip("port 8080 is in use here already")
        process = subprocess.Popen(
            command("--dicom", folder, "--data", tmp_path / "demo"),
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
        )
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        page = next(line for line in lines if line.startswith("Page:")).split()[-1]
        assert page.startswith("http://127.0.0.1:80")
        assert not page.endswith(":8080")
        with urllib.request.urlopen(f"{page}/healthz") as answer:
            assert answer.status == 200
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait(60) == 0
    assert "Stopped." in rest
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


@pytest.mark.parametrize(
    ("dicom", "problem"), [("absent", "there is no such folder"), (".", "no DICOM Part 10 file")]
)
def test_a_folder_without_dicom_is_an_error(tmp_path, dicom, problem):
    result = run("--dicom", dicom, "--data", tmp_path / "demo", "--no-stay", cwd=tmp_path)
    assert result.returncode == 1
    assert problem in result.stderr


def test_a_data_folder_that_is_not_a_demos_is_left_alone(tmp_path, stack):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("keep")
    folder = stack(slices=1)[0].parent
    result = run("--dicom", folder, "--data", tmp_path / "mine", "--no-stay", cwd=tmp_path)
    assert result.returncode == 1
    assert "is not empty; choose another folder with DATA=folder" in result.stderr
    assert (tmp_path / "mine" / "precious").read_text() == "keep"


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_the_samples_are_of_many_kinds_and_each_instance_is_there_once():
    files = sample_files()
    assert len({file.SOPClassUID for file in files}) > 10
    assert len({file.TransferSyntaxUID for file in files}) > 5
    assert len(files) > 60
