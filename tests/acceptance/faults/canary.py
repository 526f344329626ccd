"""Instances to send. Their patient is a canary: its name must not be in a log or a journal."""

from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid


@dataclass(frozen=True)
class Instance:
    """What a C-STORE carries: the UIDs of its command, and its dataset as it goes out."""

    sop_class_uid: str
    sop_instance_uid: str
    dataset: bytes


def make_instance(*, implicit=False, **elements):
    """A CT instance of 16 x 16 pixels; keywords replace elements, None removes one."""
    return encoded(make_dataset(**elements), implicit=implicit)


def make_dataset(**elements):
    """What `make_instance` sends."""
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, generate_uid()
    instance.StudyInstanceUID, instance.SeriesInstanceUID = "1.2.826.5", generate_uid()
    instance.Modality, instance.AccessionNumber = "CT", "CANARYACC"
    instance.PatientName, instance.PatientID = "Canary^Yellow", "CANARY-ID"
    instance.SeriesNumber = instance.InstanceNumber = 1
    instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    instance.ImagePositionPatient = [-8, -8, 0]
    instance.PixelSpacing, instance.SliceThickness = [1, 1], 2
    instance.Rows = instance.Columns = 16
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
    instance.BitsAllocated = instance.BitsStored = 16
    instance.HighBit, instance.PixelRepresentation = 15, 0
    instance.PixelData = bytes(range(256)) * 2
    for keyword, value in elements.items():
        if value is None:
            delattr(instance, keyword)
        else:
            setattr(instance, keyword, value)
    return instance


def encoded(instance, *, implicit=False):
    """A dataset as it goes out."""
    buffer = BytesIO()
    instance.save_as(buffer, implicit_vr=implicit, little_endian=True)
    named = instance.get("SOPClassUID", ""), instance.get("SOPInstanceUID", "")
    return Instance(*map(str, named), buffer.getvalue())
