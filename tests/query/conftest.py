"""A PACS that follows a script (pynetdicom), a silent one (a socket), and a study built in code."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.dsutils import decode, encode

from query.client import StudyRootFind, Verification
from query.get import StudyRootGet
from query.move import StudyRootMove
from query.settings import PacsSettings

STORAGE_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
}


@pytest.fixture
def settings() -> Callable[..., PacsSettings]:
    """Function that returns the settings of a PACS on a port, with short time limits."""

    def make(port: int, ae_title: str = "PACS1", **more) -> PacsSettings:
        limits = {"connect_seconds": 5, "response_seconds": 5, "move_seconds": 5, **more}
        return PacsSettings(name="main", ae_title=ae_title, host="127.0.0.1", port=port, **limits)

    return make


@pytest.fixture(scope="session")
def ending() -> Iterator[Callable[..., None]]:
    """Function that ends a server in the background: pynetdicom takes half a second for it."""
    threads = []

    def end(server, connections) -> None:
        server.shutdown()
        for connection in connections:  # pynetdicom forgets some of those a client cut
            connection.close()

    def end_in_background(*server_and_connections) -> None:
        threads.append(threading.Thread(target=end, args=server_and_connections))
        threads[-1].start()

    yield end_in_background
    for thread in threads:
        thread.join()


@pytest.fixture
def scripted_pacs(settings, ending) -> Iterator[Callable[..., PacsSettings]]:
    """Factory: ``scripted_pacs({evt.EVT_C_FIND: handler}, services=..., limits...)``.

    Of the SOP classes in `roles` it lets us be the SCP. The `ae` argument changes the pynetdicom
    AE before it starts.
    """
    with ExitStack() as running:

        def start(handlers=None, *, services=None, roles=(), ae=None, **limits) -> PacsSettings:
            entity = AE("PACS1")
            for service in services or (Verification, StudyRootFind, StudyRootMove, StudyRootGet):
                entity.add_supported_context(service)
            for sop_class in roles:
                entity.add_supported_context(sop_class, scu_role=True, scp_role=True)
            for key, value in (ae or {}).items():
                setattr(entity, key, value)
            connections = []
            remember = (evt.EVT_CONN_OPEN, lambda e: connections.append(e.assoc.dul.socket.socket))
            server = entity.start_server(
                ("127.0.0.1", 0), block=False, evt_handlers=[remember, *(handlers or {}).items()]
            )
            running.callback(ending, server, connections)
            return settings(server.socket.getsockname()[1], **limits)

        yield start


@pytest.fixture
def listening_socket() -> Iterator[socket.socket]:
    """A TCP socket that is connected to and never answers unless the test does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def answer() -> Callable[..., Dataset]:
    """Function that returns a C-FIND answer; bytes are sent as they are, undecoded."""

    def element(keyword, value) -> bytes:
        if not isinstance(value, bytes):
            dataset = Dataset()
            setattr(dataset, keyword, value)
            return encode(dataset, True, True)
        tag = Tag(keyword)
        return struct.pack("<HHL", tag.group, tag.element, len(value)) + value

    def make(**values) -> Dataset:
        in_order = sorted(values, key=Tag)
        stream = b"".join(element(keyword, values[keyword]) for keyword in in_order)
        # What pydicom has read and not looked at it writes again byte by byte.
        return decode(BytesIO(stream), True, True)

    return make


@dataclass(frozen=True)
class BuiltStudy:
    """A study on disk: its UID, the SOP Instance UIDs of each modality, and the folder."""

    StudyInstanceUID: str
    instances: dict[str, list[str]]
    folder: Path

    @property
    def all_instances(self) -> list[str]:
        return sorted(uid for uids in self.instances.values() for uid in uids)


@pytest.fixture
def build_study(tmp_path: Path) -> Callable[..., BuiltStudy]:
    """Function that writes a study: ``build_study({"CT": 5, "MR": 3}, AccessionNumber="A1")``."""

    def build(counts: dict[str, int], **elements) -> BuiltStudy:
        study_uid = generate_uid()
        folder = tmp_path / f"study-{study_uid}"
        folder.mkdir()
        instances = {}
        for modality, count in counts.items():
            series_uid = generate_uid()
            instances[modality] = [
                _write_instance(folder, study_uid, series_uid, modality, number, elements)
                for number in range(1, count + 1)
            ]
        return BuiltStudy(study_uid, instances, folder)

    return build


def _write_instance(folder, study_uid, series_uid, modality, number, elements) -> str:
    instance = Dataset()
    instance.SpecificCharacterSet = "ISO_IR 192"
    instance.SOPClassUID = STORAGE_CLASSES[modality]
    instance.SOPInstanceUID = generate_uid()
    instance.StudyInstanceUID, instance.SeriesInstanceUID = study_uid, series_uid
    instance.Modality, instance.InstanceNumber, instance.SeriesNumber = modality, number, 1
    instance.PatientID, instance.PatientName = "P0042", "Sample^Patient"
    instance.StudyDate, instance.StudyID = "20260301", "1"
    for keyword, value in elements.items():
        setattr(instance, keyword, value)
    instance.Rows = instance.Columns = 8
    instance.BitsAllocated = instance.BitsStored = 16
    instance.HighBit, instance.PixelRepresentation, instance.SamplesPerPixel = 15, 0, 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.PixelData = bytes(128)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.save_as(folder / f"{instance.SOPInstanceUID}.dcm", enforce_file_format=True)
    return str(instance.SOPInstanceUID)
