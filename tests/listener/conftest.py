"""Instances built in code, a spool, and a running receiver on a port of its own."""

import time

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RJ

from listener.identity import Identity
from listener.incoming import Incoming
from listener.journal import JournalReader
from listener.part10 import Origin, encode_file_meta, silence_dicom_libraries
from listener.scp import Receiver
from listener.settings import AcceptRule, ReceiverSettings
from listener.spool import Spool, SpoolSettings

silence_dicom_libraries()

LOOPBACK = AcceptRule("*", ("127.0.0.0/8", "::1/128"))


@pytest.fixture
def make_instance():
    """Function that builds a CT instance of 8 x 8 pixels; keyword arguments replace elements."""

    def make(**elements):
        instance = Dataset()
        instance.SOPClassUID = CTImageStorage
        instance.SOPInstanceUID = generate_uid()
        instance.Modality = "CT"
        instance.PatientName = "Doe^Jane"
        instance.PatientID = "P1"
        instance.StudyInstanceUID = "1.2.3"
        instance.SeriesInstanceUID = "1.2.3.4"
        instance.InstanceNumber = 1
        instance.Rows = instance.Columns = 8
        instance.BitsAllocated = instance.BitsStored = 16
        instance.HighBit = 15
        instance.SamplesPerPixel = 1
        instance.PixelRepresentation = 0
        instance.PhotometricInterpretation = "MONOCHROME2"
        for keyword, value in elements.items():
            setattr(instance, keyword, value)
        if "PixelData" not in elements:
            instance.PixelData = np.arange(64, dtype="<u2").tobytes()
        return instance

    return make


@pytest.fixture
def spool(tmp_path):
    """An empty spool with no free-space floor."""
    return Spool(SpoolSettings(tmp_path / "spool", free_bytes_min=0))


def store(spool, identity, file_meta, dataset):
    """Keep an instance as the receiver does."""
    incoming = Incoming(spool, file_meta)
    incoming.write([memoryview(dataset)])
    return incoming.keep(identity)


@pytest.fixture
def land(spool):
    """Function that puts an instance into the spool as the receiver does."""

    def put(instance, association_id="a1", calling_ae="PACS1"):
        identity = Identity(
            instance.StudyInstanceUID,
            instance.SeriesInstanceUID,
            instance.SOPInstanceUID,
            instance.SOPClassUID,
        )
        origin = Origin(calling_ae, "SAFELIGHT", association_id)
        meta = encode_file_meta(
            identity.SOPClassUID, identity.SOPInstanceUID, ExplicitVRLittleEndian, origin
        )
        outcome = store(spool, identity, meta, encode(instance, False, True))
        return outcome, spool.path_of(identity)

    return put


@pytest.fixture
def receiving(spool, free_port):
    """Function that starts a receiver on the spool; it is stopped at the end."""
    running = []

    def start(**settings):
        settings = {"accept": (LOOPBACK,), "drain_seconds": 1.0, "host": "127.0.0.1", **settings}
        receiver = Receiver(ReceiverSettings(port=free_port(), **settings), spool)
        receiver.start()
        running.append(receiver)
        return receiver

    yield start
    for receiver in running:
        receiver.stop()


@pytest.fixture
def associate():
    """Function that opens an association as a storage SCU; it is ended at the end."""
    opened = []

    def request(receiver, sop_classes=(CTImageStorage,), called_ae="SAFELIGHT", calling_ae="PACS1"):
        ae = AE(calling_ae)
        for sop_class in sop_classes:
            ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
        answers = []
        association = ae.associate(
            "127.0.0.1",
            receiver.port,
            ae_title=called_ae,
            evt_handlers=[(evt.EVT_PDU_RECV, lambda event: answers.append(event.pdu))],
        )
        # pynetdicom takes an A-ASSOCIATE-RJ that comes at once for a failed connection.
        rejections = (answer for answer in answers if isinstance(answer, A_ASSOCIATE_RJ))
        association.rejection = next(rejections, None)
        opened.append(association)
        return association

    yield request
    for association in opened:
        if association.is_established:
            association.release()


@pytest.fixture
def journal_of(spool):
    """Function that waits until the journal holds an event of one name, and returns its events."""

    def wait_for(name):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            events = list(JournalReader(spool.journal, {}).read())
            found = [event for event in events if event.event == name]
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no {name!r} in {[event.event for event in events]}")

    return wait_for
