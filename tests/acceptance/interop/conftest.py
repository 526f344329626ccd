"""A daemon that lasts for a module, and instances in every transfer syntax to send to it.

Nothing here is processed: the daemon's series stay open, so that only reception is at work.
"""

import json
import os
import re
import subprocess
import sys
import uuid
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HEVCMP51,
    HTJ2K,
    MPEG2MPML,
    MPEG4HP41,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    EncapsulatedSTLStorage,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEGLSNearLossless,
    JPIPHTJ2KReferencedDeflate,
    SecondaryCaptureImageStorage,
    VideoEndoscopicImageStorage,
    generate_uid,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import Verification

from listener.part10 import silence_dicom_libraries

silence_dicom_libraries()

ANYONE_HERE = '[[dicom.accept]]\ncalling_ae = "*"\naddresses = ["127.0.0.0/8"]\n'

BUNDLED = {
    "implicit little endian": "MR_small_implicit.dcm",
    "explicit little endian": "CT_small.dcm",
    "explicit big endian": "MR_small_bigendian.dcm",
    "deflated": "image_dfl.dcm",
    "JPEG baseline": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG baseline, 30 frames": "examples_ybr_color.dcm",
    "JPEG extended": "JPGExtended.dcm",
    "JPEG lossless": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LS lossless": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000 lossless": "MR_small_jp2klossless.dcm",
    "JPEG 2000": "JPEG2000.dcm",
    "RLE": "MR_small_RLE.dcm",
    "structured report": "test-SR.dcm",
    "waveform": "waveform_ecg.dcm",
    "segmentation": "liver_1frame.dcm",
}
ENCAPSULATED = {
    "JPEG-LS near-lossless": (SecondaryCaptureImageStorage, JPEGLSNearLossless),
    "HTJ2K lossless": (SecondaryCaptureImageStorage, HTJ2KLossless),
    "HTJ2K lossless RPCL": (SecondaryCaptureImageStorage, HTJ2KLosslessRPCL),
    "HTJ2K": (SecondaryCaptureImageStorage, HTJ2K),
    "MPEG2": (VideoEndoscopicImageStorage, MPEG2MPML),
    "MPEG4": (VideoEndoscopicImageStorage, MPEG4HP41),
    "HEVC": (VideoEndoscopicImageStorage, HEVCMP51),
}
DOCUMENTS = {
    "encapsulated PDF": (EncapsulatedPDFStorage, "application/pdf"),
    "encapsulated STL": (EncapsulatedSTLStorage, "model/stl"),
}
REFERRING = "JPIP reference, deflated"  # no other sender than pynetdicom knows it
SAMPLES = (*BUNDLED, *ENCAPSULATED, *DOCUMENTS)


@dataclass(frozen=True)
class Site:
    """A running daemon: `port` is DICOM's, `tls_port` its over TLS, `web_port` the page's."""

    process: subprocess.Popen
    folder: Path
    port: int
    tls_port: int
    web_port: int
    config: Path

    @property
    def spool(self):
        """The spool's folder."""
        return self.folder / "data" / "spool"

    def kept(self, sop_instance_uid):
        """The one file of an instance in the spool."""
        (path,) = (self.spool / "instances").glob(f"*/*/{sop_instance_uid}.dcm")
        return path

    def events(self):
        """What the journal holds, in order; a line counts once its end is there."""
        lines = [
            line
            for path in sorted((self.spool / "journal").glob("*.jsonl"))
            for line in path.read_text().split("\n")[:-1]
            if line
        ]
        return [json.loads(line) for line in lines]

    def coordinator(self):
        """The daemon's process that has the page's port."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in children if _listens(child, self.web_port))


@pytest.fixture(scope="module")
def serve(tmp_path_factory, free_port):
    """Factory: ``serve(tables, keys="")`` starts ``safelight serve``; it lasts for the module.

    `tables` must say who may send, and ``{tls_port}`` in it becomes a free port; `keys` are
    those of ``[dicom]``.
    """
    running = []

    def start(tables, keys=""):
        folder = tmp_path_factory.mktemp("site")
        port, tls_port, web = (free_port() for _ in range(3))
        config = folder / "safelight.toml"
        config.write_text(
            f'[dicom]\nport = {port}\n{keys}\n[web]\nlisten = "127.0.0.1:{web}"\n'
            '[storage]\ndata = "data"\n[series]\nquiet_seconds = 3600\n'
            + tables.replace("{tls_port}", str(tls_port))
        )
        process = _start_daemon(config, folder / "log")
        running.append(process)
        return Site(process, folder, port, tls_port, web, config)

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(60)


@pytest.fixture(scope="module")
def node(serve):
    """A daemon that takes instances from anyone on this machine."""
    return serve(ANYONE_HERE)


@pytest.fixture
def rejections():
    """What rejected our associations, as (result, source, reason); give `on_pdu` to pynetdicom.

    pynetdicom 3.0.4 takes a rejection that comes with the end of the connection for a failed
    connection, and then leaves `is_rejected` False.
    """
    return Rejections()


class Rejections(list):
    def on_pdu(self, event):
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            self.append((event.pdu.result, event.pdu.source, event.pdu.reason_diagnostic))

    @property
    def handlers(self):
        return [(evt.EVT_PDU_RECV, self.on_pdu)]


@pytest.fixture
def sample(tmp_path):
    """Function that writes a named sample as a new instance and returns the file."""

    def write(name):
        content = _bundled(name) if name in BUNDLED else _built(name)
        path = tmp_path / f"{re.sub('[^A-Za-z0-9]+', '-', name)}.dcm"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def samples(sample):
    """Function that writes all samples but those named: their files by name."""

    def write(leave_out=()):
        return {name: sample(name) for name in SAMPLES if name not in leave_out}

    return write


@pytest.fixture
def dataset_bytes():
    """Function that returns a Part 10 file's bytes after its file meta group (PS3.10 7.1)."""
    return lambda path: path.read_bytes()[_dataset_offset(path.read_bytes()) :]


@pytest.fixture
def uid_of():
    """Function that returns the SOP Instance UID of a file."""
    return _uid_of


@dataclass(frozen=True)
class Witness:
    """A storage SCP that is not ours; `datasets` are the bytes it received, by SOP Instance UID."""

    port: int
    datasets: dict[str, bytes]


@pytest.fixture(scope="module")
def witness():
    """What a sender really sends: pynetdicom takes every transfer syntax and keeps the bytes."""
    with _witness(AllTransferSyntaxes) as running:
        yield running


@pytest.fixture(scope="module")
def explicit_witness():
    """The same for a sender that leaves the choice: explicit VR, as Safelight chooses."""
    with _witness([uid for uid in AllTransferSyntaxes if uid != ImplicitVRLittleEndian]) as running:
        yield running


@contextmanager
def _witness(transfer_syntaxes):
    datasets: dict[str, bytes] = {}

    def on_store(event):
        datasets[event.request.AffectedSOPInstanceUID] = event.encoded_dataset(include_meta=False)
        return 0x0000

    ae = AE("WITNESS")
    ae.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, transfer_syntaxes)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)]
    )
    yield Witness(server.server_address[1], datasets)
    server.shutdown()


@pytest.fixture
def unlike(node, dataset_bytes):
    """Function that names the samples whose dataset in the spool is not, byte for byte, `expected`.

    ``unlike(files, expected)``: files by sample name, and bytes by SOP Instance UID.
    """

    def compare(files: Mapping[str, Path], expected: Mapping[str, bytes]):
        uids = {name: _uid_of(path) for name, path in files.items()}
        return [n for n, uid in uids.items() if dataset_bytes(node.kept(uid)) != expected[uid]]

    return compare


def _start_daemon(config, log):
    command = [sys.executable, "-m", "safelight", "serve", "--config", str(config)]
    with log.open("a") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    line = process.stdout.readline()
    process.stdout.close()
    if not line.startswith("DICOM"):
        process.kill()
        process.wait()
        pytest.fail(log.read_text()[-2000:])
    return process


def _listens(process, port):
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _uid_of(path):
    """From the file meta: pydicom does not inflate every deflated transfer syntax."""
    return str(pydicom.filereader.read_file_meta_info(path).MediaStorageSOPInstanceUID)


def _dataset_offset(content):
    """After preamble, prefix and the group length element, which counts from its own end."""
    return 144 + int.from_bytes(content[140:144], "little")


def _bundled(name):
    """A file of pydicom's under another SOP Instance UID; all other bytes stay as they are."""
    path = Path(get_testdata_file(BUNDLED[name], download=False))
    head = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"])
    old = str(head.SOPInstanceUID).encode()
    new = f"2.25.1{uuid.uuid4().int:0>39}{0:0>39}"[: len(old)].encode()
    content = path.read_bytes()
    offset = _dataset_offset(content)
    meta, dataset = content[:offset].replace(old, new), content[offset:]
    if head.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return meta + _deflated(zlib.decompress(dataset, -zlib.MAX_WBITS).replace(old, new))
    return meta + dataset.replace(old, new)


def _deflated(data):
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflate.compress(data) + deflate.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def _built(name):
    """An instance that no bundled file has; a receiver decodes neither frames nor documents."""
    instance = Dataset()
    instance.SOPInstanceUID = generate_uid()
    instance.StudyInstanceUID, instance.SeriesInstanceUID = "1.2.826.7", "1.2.826.7.1"
    instance.PatientID, instance.PatientName, instance.InstanceNumber = "P1", "Doe^Jane", 1
    instance.file_meta = FileMetaDataset()
    if name == REFERRING:
        instance.SOPClassUID = SecondaryCaptureImageStorage
        instance.file_meta.TransferSyntaxUID = JPIPHTJ2KReferencedDeflate
        instance.PixelDataProviderURL = "https://example.org/jpip?target=1"
    elif name in DOCUMENTS:
        instance.SOPClassUID, instance.MIMETypeOfEncapsulatedDocument = DOCUMENTS[name]
        instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        instance.EncapsulatedDocument = b"%PDF-1.7\n" + os.urandom(3000) + b"\0"
    else:
        instance.SOPClassUID, instance.file_meta.TransferSyntaxUID = ENCAPSULATED[name]
        instance.Rows, instance.Columns, instance.NumberOfFrames = 64, 64, 2
        instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
        instance.BitsAllocated = instance.BitsStored = 8
        instance.HighBit, instance.PixelRepresentation = 7, 0
        instance.PixelData = encapsulate([os.urandom(4001), os.urandom(200_000)])
    buffer = pydicom.filebase.DicomBytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    if name == REFERRING:  # pydicom does not deflate it (PS3.5 A.9)
        offset = _dataset_offset(content)
        return content[:offset] + _deflated(content[offset:])
    return content
