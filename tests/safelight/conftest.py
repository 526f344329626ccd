"""The coordinator's loop with a real ledger, spool and workers, run in the test itself.

After each round the loop calls back; there a test looks, does something, and ends it.
"""

import threading
import time

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from safelight.cluster import cluster_of
from safelight.config import load_config
from safelight.pipeline import Pipeline

SECONDS = 150
ALL = ("queued", "running", "done", "dead", "superseded", "cancelled")


@pytest.fixture
def config(tmp_path):
    """A site's configuration, with the folders its daemon makes."""
    file = tmp_path / "safelight.toml"
    file.write_text(
        '[storage]\ndata = "data"\n[series]\nquiet_seconds = 0.05\n'
        '[processing]\nworkers = 1\n[rules]\nfile = "rules.toml"\n'
    )
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "All"\n[rule.run]\nconvert = {}\n')
    config = load_config(file, {})
    for folder in (config.storage.results, config.storage.scratch, config.storage.requests):
        folder.mkdir(parents=True)
    return config


@pytest.fixture
def land(config):
    """Function that puts instances of a new series into the spool and returns its UID."""

    folders = config.storage.spool / "instances" / "1.2.3"

    def series(instances=2, rows=16, columns=16, uid=None):
        uid = uid or f"1.2.3.{len(list(folders.glob('*'))) + 1}"
        folder = folders / uid
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(instances):
            path = folder / f"{uid}.{number}.dcm"
            slice_of(uid, number, rows, columns).save_as(path, enforce_file_format=True)
        return uid

    return series


@pytest.fixture
def write():
    """Function that writes an instance of a CT, without its pixels; keywords are elements."""

    def one(path, **elements):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.77", "1.2.77.3", "CT"
        ds.PatientName, ds.PatientID, ds.StudyDate = "Doe^Jane", "P4711", "20240102"
        for keyword, value in elements.items():
            setattr(ds, keyword, value)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)

    return one


def slice_of(series_uid, number, rows, columns):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{series_uid}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", series_uid
    ds.Modality, ds.PatientID, ds.AccessionNumber = "CT", "P1", "A1"
    ds.InstanceNumber, ds.ImagePositionPatient = number + 1, [0, 0, 2 * number]
    ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    ds.SliceThickness, ds.Rows, ds.Columns = 2, rows, columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.random.default_rng(number).bytes(rows * columns * 2)
    return ds


@pytest.fixture
def run(config):
    """Function that runs the loop until `look`, called each round with the reader, is true."""

    def until(look, config=config):
        stop, deadline = threading.Event(), time.monotonic() + SECONDS
        with (
            LedgerWriter(config.storage.ledger) as ledger,
            Pipeline(config, ledger, threading.Event(), cluster_of(config)) as pipeline,
        ):
            reader = LedgerReader(config.storage.ledger)

            def alive(_):
                assert time.monotonic() < deadline, reader.jobs(ALL)
                if look(reader):
                    stop.set()

            pipeline.run(stop, alive)
            found = reader.jobs(ALL)
            reader.close()
        return found

    return until
