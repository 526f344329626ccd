"""Fills a spool, makes its ledger again, and says how long that took."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom.dsutils import encode

from ledger.rebuild import rebuild
from ledger.verify import verify
from listener.part10 import Origin, encode_file_meta

_SERIES_INSTANCES = 200


def main() -> None:
    """Fill, rebuild, verify, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description=__doc__)
    parser.add_argument("--instances", type=int, default=50_000)
    parser.add_argument("--pixel-bytes", type=int, default=256 * 256 * 2, help="of an instance")
    parser.add_argument("--folder", type=Path, help="where the spool is made, for a while")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        _measure(Path(folder), arguments.instances, bytes(arguments.pixel_bytes))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _measure(folder: Path, instances: int, pixels: bytes) -> None:
    spool, ledger = folder / "spool", folder / "ledger.sqlite"
    template = _template(pixels)
    for number in range(instances):
        _write(spool / "instances", number, template)
    started = time.monotonic()
    rebuilt = rebuild(ledger, spool, folder / "results")
    _say(f"rebuild: {rebuilt.instances} instances, {time.monotonic() - started:.1f} s")
    for deep in (False, True):
        started = time.monotonic()
        losses = len(verify(ledger, spool, deep=deep).losses)
        name = "verify --deep" if deep else "verify"
        _say(f"{name}: {losses} losses, {time.monotonic() - started:.1f} s")


def _write(root: Path, number: int, template: bytes) -> None:
    """Write one instance as the receiver leaves it."""
    series = number // _SERIES_INSTANCES
    uids = _uids(series // 4, series, number)
    content = template
    for earlier, uid in zip(_uids(0, 0, 0), uids, strict=True):
        content = content.replace(earlier.encode(), uid.encode())
    study_uid, series_uid, sop_instance_uid = uids
    path = root / study_uid / series_uid / f"{sop_instance_uid}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _uids(study: int, series: int, instance: int) -> tuple[str, str, str]:
    """Study, series and SOP Instance UID, of one length for all numbers."""
    return (
        f"1.2.826.0.1.3680043.10.9.1.{study + 1_000_000}",
        f"1.2.826.0.1.3680043.10.9.2.{series + 1_000_000}",
        f"1.2.826.0.1.3680043.10.9.3.{instance + 1_000_000}",
    )


def _template(pixels: bytes) -> bytes:
    instance = Dataset()
    instance.SOPClassUID = MRImageStorage
    (
        instance.StudyInstanceUID,
        instance.SeriesInstanceUID,
        instance.SOPInstanceUID,
    ) = _uids(0, 0, 0)
    instance.Modality, instance.PatientID, instance.PatientName = "MR", "P1", "Doe^Jane"
    instance.StudyDate, instance.AccessionNumber = "20260101", "A1"
    instance.SeriesNumber, instance.InstanceNumber = 1, 1
    instance.ImagePositionPatient = [0, 0, 0]
    instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    instance.BitsAllocated = 16
    instance.PixelData = pixels
    meta = encode_file_meta(
        MRImageStorage,
        instance.SOPInstanceUID,
        ExplicitVRLittleEndian,
        Origin("PACS", "SAFELIGHT", "a1"),
    )
    content = encode(instance, is_implicit_vr=False, is_little_endian=True)
    assert content is not None  # noqa: S101 - it was built above
    return meta + content


if __name__ == "__main__":
    main()
