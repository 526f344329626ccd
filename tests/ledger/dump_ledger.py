"""Makes a fixture: has the Safelight of a checkout receive and process, and dumps its ledger.

    python tests/ledger/dump_ledger.py CHECKOUT > tests/ledger/fixtures/MIGRATION.sql

for each new migration. CHECKOUT is a folder with the code of that version, such as of `git archive
COMMIT`; what it imports beside its own packages is that of the interpreter which runs this.
"""

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

SECONDS = 240
CONFIGURATION = """
[storage]
data = "data"
[dicom]
host = "127.0.0.1"
port = {dicom}
[[dicom.accept]]
calling_ae = "*"
addresses = ["127.0.0.0/8"]
[series]
quiet_seconds = 1
[web]
listen = "127.0.0.1:{web}"
[rules]
file = "rules.toml"
"""
RULES = """
[[rule]]
name = "Localizers"
[rule.match]
SeriesDescription = "Localizer"
[rule.then]
drop = "a localizer"
[[rule]]
name = "All"
[rule.run]
qc = {}
preview = {}
"""
ENDED = """SELECT (SELECT count(*) FROM jobs WHERE state = 'done')
    + (SELECT count(*) FROM series WHERE outcome = 'drop')"""
ADD_LIST = """
import inspect, sys
from pathlib import Path
from ledger.retrieve_records import RetrieveOrder
from ledger.writer import LedgerWriter
brings_a_rule = "rule" in inspect.signature(RetrieveOrder).parameters
rule = {"rule": '[[rule]]\\nname = "Brought"\\n[rule.run]\\nqc = {}\\n'} if brings_a_rule else {}
with LedgerWriter(Path(sys.argv[1])) as ledger:
    ledger.retrieves.add(RetrieveOrder("k1", "main", ("A1", "A2"), **rule))
"""


def main(checkout: Path) -> None:
    """Print the ledger of the version in `checkout` as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        ports = {"dicom": free_port(), "web": free_port()}
        (work / "safelight.toml").write_text(CONFIGURATION.format(**ports))
        (work / "rules.toml").write_text(RULES)
        path = os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")])
        environ = {**os.environ, "PYTHONPATH": path}
        run = [sys.executable, "-m", "safelight", "serve", "--config", "safelight.toml"]
        ledger = work / "data" / "ledger.sqlite"
        with subprocess.Popen(run, cwd=work, env=environ, stdout=sys.stderr) as daemon:
            try:
                send(ports["dicom"])
                wait_until(lambda: jobs_ended(ledger) == 2)
            finally:
                daemon.terminate()
        if (checkout / "ledger" / "retrieves.py").exists():
            subprocess.run([sys.executable, "-c", ADD_LIST, ledger], env=environ, check=True)
        with closing(sqlite3.connect(ledger)) as connection:
            sys.stdout.write("\n".join(connection.iterdump()) + "\n")


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def send(port: int) -> None:
    """Send two series, one of them a localizer, and an instance again."""
    sender = AE("FIXTURES")
    sender.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = None

    def is_established() -> bool:
        nonlocal association
        association = sender.associate("127.0.0.1", port, ae_title="SAFELIGHT")
        return bool(association.is_established)

    wait_until(is_established)
    slices = [a_slice("1.2.3.1", number, "Head") for number in range(3)]
    for instance in (*slices, slices[0], a_slice("1.2.3.2", 0, "Localizer")):
        assert association.send_c_store(instance).Status == 0
    association.release()


def a_slice(series_uid: str, number: int, description: str) -> Dataset:
    """One small CT slice."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{series_uid}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", series_uid
    ds.Modality, ds.PatientID, ds.AccessionNumber = "CT", "P1", "A1"
    ds.PatientName, ds.StudyDate, ds.StudyDescription = "Doe^Jane", "20260131", "CT head"
    ds.SeriesNumber, ds.SeriesDescription = 2, description
    ds.InstanceNumber, ds.ImagePositionPatient = number + 1, [0, 0, 2 * number]
    ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    ds.SliceThickness, ds.Rows, ds.Columns = 2, 16, 16
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (np.arange(256, dtype="<u2") + number).tobytes()
    return ds


def jobs_ended(ledger: Path) -> int:
    """How many jobs are done and series dropped; 0 while there is no ledger that can be read."""
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute(ENDED).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def wait_until(holds) -> None:
    """Look again and again."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the daemon did not do what was expected")
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
