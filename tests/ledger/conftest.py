"""A ledger in a temporary folder, and records as the stages before it make them."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom.dsutils import encode

from ledger.records import NewJob
from ledger.writer import LedgerWriter
from listener.header import Header
from listener.identity import Identity
from listener.incoming import Incoming
from listener.journal import AssociationEvent, now
from listener.part10 import Origin, encode_file_meta
from listener.series import Arrival, Closure
from listener.spool import SeriesKey, Spool, SpoolSettings
from listener.watcher import Findings
from processor.model import JobResult, Output, StepResult
from rules.model import Decision, Reason, RuleReason, Step

KEY = SeriesKey("1.2.3", "1.2.3.4")


@pytest.fixture
def path(tmp_path):
    """Where the ledger is."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    """The ledger, open for writing."""
    with LedgerWriter(path) as writer:
        yield writer


@pytest.fixture
def arrival():
    """Function that builds the arrival of one instance; keyword arguments are elements."""

    def make(uid="1.2.3.4.1", key=KEY, association_id="a1", **elements):
        elements = {"Modality": "CT", "PatientID": "0042", "AccessionNumber": "A1", **elements}
        header = Header(
            Identity(*key, uid, "1.2.840.10008.5.1.4.1.1.2"),
            "1.2.840.10008.1.2.1",
            Origin("PACS1", "SAFELIGHT", association_id),
            {name: (value,) for name, value in elements.items()},
        )
        return Arrival(key, header, Path(f"/spool/{uid}.dcm"), 1000, uid.encode().hex())

    return make


@pytest.fixture
def event():
    """Function that builds an association event."""

    def make(name, association_id="a1", at=None, **values):
        values = {"calling_ae": "PACS1", "called_ae": "SAFELIGHT", "address": "::1", **values}
        return AssociationEvent(name, at or now(), association_id, **values)

    return make


@pytest.fixture
def record(ledger):
    """Function that records events and arrivals as one look of the watcher."""

    def findings(*arrivals, events=(), offsets=None):
        ledger.intake.record(Findings(tuple(events), arrivals, (), 0, offsets or {}))

    return findings


@pytest.fixture
def close(ledger):
    """Function that closes a series."""
    return lambda key=KEY: ledger.work.close_series(Closure(key, "released", "released, quiet"))


@pytest.fixture
def decide(ledger):
    """Function that records a decision that queues one job a key."""

    def process(series, *keys, outcome="process"):
        reasons = (RuleReason("All", "yes", (Reason("Modality = CT", "yes"),)),)
        decision = Decision(outcome, "All -> qc", (), reasons)
        jobs = [NewJob(key, "All", (Step("qc", {"a": 1}),)) for key in keys]
        ledger.work.record_decision(series, decision, jobs)

    return process


@pytest.fixture
def result():
    """Function that builds what a worker answers."""

    def make(key="k1", state="done", folder="A1/001-k1"):
        outputs = (Output("preview.png", "preview", 10, "ff"),)
        step = StepResult("qc", state, "Normal", {"low_quality": False}, outputs)
        return JobResult(key, Path(folder), (step,), 1.5)

    return make


@pytest.fixture
def one_job(record, arrival, close, decide, ledger):
    """A series that was closed and decided, with its one job claimed."""
    record(arrival("1", InstanceNumber=1.0))
    decide(close(), "k1")
    (job,) = ledger.jobs.claim(5)
    return job


@pytest.fixture
def spool(tmp_path):
    """An empty spool with no free-space floor."""
    return Spool(SpoolSettings(tmp_path / "spool", free_bytes_min=0))


@pytest.fixture
def make_instance():
    """Function that builds a CT instance; keyword arguments replace elements."""

    def make(**elements):
        instance = Dataset()
        instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, generate_uid()
        instance.StudyInstanceUID, instance.SeriesInstanceUID = KEY
        instance.Modality, instance.PatientID, instance.InstanceNumber = "CT", "P1", 1
        for keyword, value in elements.items():
            setattr(instance, keyword, value)
        return instance

    return make


@pytest.fixture
def land(spool):
    """Function that puts an instance into the spool as the receiver does."""

    def put(instance, association_id="a1"):
        identity = Identity(
            instance.StudyInstanceUID,
            instance.SeriesInstanceUID,
            instance.SOPInstanceUID,
            instance.SOPClassUID,
        )
        meta = encode_file_meta(
            identity.SOPClassUID,
            identity.SOPInstanceUID,
            ExplicitVRLittleEndian,
            Origin("PACS1", "SAFELIGHT", association_id),
        )
        incoming = Incoming(spool, meta)
        incoming.write([memoryview(encode(instance, False, True))])
        return incoming.keep(identity), spool.path_of(identity)

    return put
