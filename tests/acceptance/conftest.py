"""A daemon as a site runs it: ``safelight serve`` in a process of its own, on its own folders."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from listener.part10 import silence_dicom_libraries

silence_dicom_libraries()

ANYONE_HERE = """
[[dicom.accept]]
calling_ae = "*"
addresses = ["127.0.0.0/8"]
"""
ENDED = {"done", "kept", "dropped", "attention"}


@dataclass
class Daemon:
    """A running daemon."""

    process: subprocess.Popen
    config: Path
    data: Path
    port: int
    web: str
    wait_until: Callable

    def reader(self):
        """The ledger, as the page reads it."""
        return LedgerReader(self.data / "ledger.sqlite")

    def series(self):
        """The series of the ledger by their UID."""
        try:
            reader = self.reader()
        except NoLedger:
            return {}
        try:
            return {row.SeriesInstanceUID: row for row in reader.series(limit=10_000)}
        finally:
            reader.close()

    def wait_for_ended(self, count, seconds=150):
        """Wait until `count` series have ended, and return them by UID."""
        self.wait_until(
            lambda: sum(row.state in ENDED for row in self.series().values()) >= count,
            f"{count} series to end",
            seconds,
        )
        return self.series()

    def wait_for_series(self, series_uid, seconds=150):
        """Wait until a series has ended, and return it."""
        self.wait_until(
            lambda: (row := self.series().get(series_uid)) is not None and row.state in ENDED,
            f"series {series_uid} to end",
            seconds,
        )
        return self.series()[series_uid]

    def outputs(self, row, kind):
        """The published files of one kind of a series' current revision, as paths."""
        reader = self.reader()
        try:
            return [
                self.data / "results" / output.path
                for job in reader.jobs_of(row.id)
                if job.state == "done"
                for output in job.outputs
                if output.kind == kind
            ]
        finally:
            reader.close()

    def run(self, *arguments, **options):
        """Run ``safelight`` with this daemon's configuration."""
        command = [sys.executable, "-m", "safelight", *arguments, "--config", str(self.config)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, **options
        )

    def run_sender(self, path):
        """Send a file or folder to this daemon with ``safelight send``."""
        command = [sys.executable, "-m", "safelight", "send", str(path)]
        command += ["--to", f"127.0.0.1:{self.port}", "--aet", "SAFELIGHT"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def children(self):
        """Process numbers of the receiver, the coordinator and whatever they started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self):
        """End the supervisor as a power cut would end it."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """End it in order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture
def daemon(tmp_path, free_port, wait_until):
    """Factory: ``daemon(toml="...")`` starts one; the same `name` again uses the same folders."""
    with _daemons(tmp_path, free_port, wait_until) as start:
        yield start


@pytest.fixture(scope="module")
def lasting_daemon(tmp_path_factory, free_port, wait_until):
    """A daemon for all tests of a module that look at nothing but the series they send."""
    with _daemons(tmp_path_factory.mktemp("lasting"), free_port, wait_until) as start:
        yield start()


@pytest.fixture
def tab(chromium):
    """A page of headless Chromium; what it complains about fails the test."""
    complaints = []
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # What cannot be done is answered with 409, as some tests ask for.
    assert [text for text in complaints if "409 (Conflict)" not in text] == []


@contextmanager
def _daemons(parent, free_port, wait_until):
    running = []

    def start(toml="", name="site", quiet=0.5, port=None, dicom=""):
        folder = parent / name
        folder.mkdir(exist_ok=True)
        port, web = port or free_port(), f"127.0.0.1:{free_port()}"
        config = folder / "safelight.toml"
        config.write_text(
            f'[dicom]\nport = {port}\n{dicom}\n[web]\nlisten = "{web}"\n[storage]\ndata = "data"\n'
            f"[series]\nquiet_seconds = {quiet}\n{toml}\n"
            + ("" if "dicom.accept" in toml else ANYONE_HERE)
        )
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "safelight", "serve", "--config", str(config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        line = process.stdout.readline()
        process.stdout.close()
        running.append(process)
        assert line.startswith("DICOM"), (folder / "log").read_text()[-2000:]
        return Daemon(process, config, folder / "data", port, web, wait_until)

    try:
        yield start
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


@pytest.fixture
def stack(tmp_path):
    """Function that writes an axial CT stack built in code and returns its files.

    Spacing 1 x 1 x 2 mm, the first slice at (-8, -8, 0), stored value = slice number * 10 + column.
    """

    def write(slices=8, study_uid="1.2.826.1", series_uid=None, **elements):
        series_uid = series_uid or generate_uid()
        folder = tmp_path / "sent" / series_uid
        folder.mkdir(parents=True)
        files = []
        for number in range(slices):
            instance = Dataset()
            instance.file_meta = FileMetaDataset()
            instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            instance.SOPClassUID = CTImageStorage
            instance.SOPInstanceUID = generate_uid()
            instance.StudyInstanceUID, instance.SeriesInstanceUID = study_uid, series_uid
            instance.Modality, instance.PatientID, instance.PatientName = "CT", "P1", "Doe^Jane"
            instance.AccessionNumber, instance.StudyDate = "A0001", "20260101"
            instance.SeriesNumber, instance.SeriesDescription = 3, "Thorax"
            instance.InstanceNumber = number + 1
            instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            instance.ImagePositionPatient = [-8, -8, 2 * number]
            instance.PixelSpacing, instance.SliceThickness = [1, 1], 2
            instance.Rows = instance.Columns = 16
            instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
            instance.BitsAllocated = instance.BitsStored = 16
            instance.HighBit, instance.PixelRepresentation = 15, 0
            instance.RescaleSlope, instance.RescaleIntercept = 1, 0
            row = np.arange(16, dtype="<u2") + number * 10
            instance.PixelData = np.tile(row, (16, 1)).tobytes()
            for keyword, value in elements.items():
                setattr(instance, keyword, value)
            path = folder / f"{number:03d}.dcm"
            instance.save_as(path, enforce_file_format=True)
            files.append(path)
        return files

    return write
