"""An archive that follows a script: it lists, loses, delays and lies as it is told.

It speaks DICOM over a socket (pynetdicom). What it sends by C-MOVE it hands to `deliver`:
pynetdicom's own C-MOVE service insists on storing, and on counting right.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_MOVE
from pynetdicom.dsutils import decode, encode
from pynetdicom.service_class import QueryRetrieveServiceClass

from query.client import StudyRootFind, Verification
from query.get import StudyRootGet
from query.move import StudyRootMove

_COUNTERS = ("Remaining", "Completed", "Failed", "Warning")


@dataclass
class Study:
    """A study of the archive, and how it behaves.

    Attributes
    ----------
    series
        SeriesInstanceUID to SOP Instance UIDs.
    loses
        Told an instance and how often it was asked for, whether it is not sent this time.
    owns_up
        Whether responses count what was lost; else they say that all is well.
    late_seconds
        Instances come so long after the final response; 0 for before it.
    lists
        Whether the IMAGE level is answered.
    count_off_by
        How wrong NumberOfSeriesRelatedInstances is; None where there is none.
    status
        The final status of a C-MOVE that is refused; 0 for none.
    freezes
        Whether a C-MOVE is never answered.
    awaits_list
        Whether a C-MOVE goes on only when the IMAGE level was asked.
    lists_beside
        Whether the IMAGE level is answered while a C-MOVE goes on.
    told
        What was asked, in order: ``move``, ``list``, and ``moved`` at the end of a C-MOVE.
    """

    AccessionNumber: str
    StudyInstanceUID: str
    series: dict[str, list[str]]
    loses: Callable[[str, int], bool] = lambda _uid, _times: False
    owns_up: bool = True
    late_seconds: float = 0.0
    lists: bool = True
    count_off_by: int | None = 0
    status: int = 0
    freezes: bool = False
    awaits_list: bool = False
    lists_beside: bool = True
    told: list[str] = field(default_factory=list)
    was_listed: threading.Event = field(default_factory=threading.Event)
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def all_instances(self) -> set[str]:
        """Every instance it has."""
        return {uid for uids in self.series.values() for uid in uids}

    def select(self, identifier: Dataset) -> list[tuple[str, str]]:
        """The series and instances that an identifier asks for."""
        series = str(identifier.get("SeriesInstanceUID", ""))
        instances = identifier.get("SOPInstanceUID", "")
        listed = [instances] if isinstance(instances, str) else list(instances)
        return [
            (one, uid)
            for one, uids in self.series.items()
            for uid in uids
            if series in ("", one) and (listed == [""] or uid in listed)
        ]

    def sends(self, uid: str) -> bool:
        """Whether an instance that is asked for is sent."""
        self.asked[uid] = self.asked.get(uid, 0) + 1
        return not self.loses(uid, self.asked[uid])


Deliver = Callable[[Sequence[Dataset]], None]


class Archive:
    """A PACS with the AE title ARCHIVE.

    Parameters
    ----------
    deliver
        Takes what a C-MOVE sends.
    """

    def __init__(self, deliver: Deliver) -> None:
        self.studies: dict[str, Study] = {}
        self._deliver = deliver
        self._late: list[threading.Timer] = []
        self._over = threading.Event()
        entity = AE("ARCHIVE")
        entity.maximum_associations = 100
        entity.archive = self
        for service in (Verification, StudyRootFind, StudyRootMove, StudyRootGet):
            entity.add_supported_context(service)
        entity.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get)]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self._server.socket.getsockname()[1]

    def add(self, study: Study) -> Study:
        """Take a study in."""
        self.studies[study.StudyInstanceUID] = study
        return study

    def settle(self) -> None:
        """Wait until everything that comes late has come."""
        for timer in tuple(self._late):
            timer.join()

    def close(self) -> None:
        """End it."""
        self._over.set()
        self.settle()
        self._server.shutdown()

    def move(self, service, request, context) -> None:
        """Answer a C-MOVE (in place of pynetdicom's own service)."""
        identifier = _decoded(request.Identifier, context)
        study = self.studies[identifier.StudyInstanceUID]
        if study.freezes:
            self._over.wait(60)
            return
        if study.status:
            self._respond(service, request, context, study.status, (None,) * 4)
            return
        study.told.append("move")
        wanted = study.select(identifier)
        self._respond(service, request, context, 0xFF00, (len(wanted), 0, 0, 0))
        if study.awaits_list:
            study.was_listed.wait(10)
        sent = [one for one in wanted if study.sends(one[1])]
        self._send(study, [instance(study, *one) for one in sent])
        failed = len(wanted) - len(sent) if study.owns_up else 0
        counts = (0, len(wanted) - failed, failed, 0)
        study.told.append("moved")
        self._respond(service, request, context, 0xB000 if failed else 0x0000, counts)

    def _send(self, study: Study, datasets: list[Dataset]) -> None:
        if not study.late_seconds:
            self._deliver(datasets)
            return
        timer = threading.Timer(study.late_seconds, self._deliver, [datasets])
        self._late.append(timer)
        timer.start()

    def _respond(self, service, request, context, status, counts) -> None:
        response = C_MOVE()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.Status = status
        for name, count in zip(_COUNTERS, counts, strict=True):
            setattr(response, f"NumberOf{name}Suboperations", count)
        service.dimse.send_msg(response, context.context_id)

    def _get(self, event: evt.Event) -> Iterator:
        study = self.studies[event.identifier.StudyInstanceUID]
        sent = [one for one in study.select(event.identifier) if study.sends(one[1])]
        yield len(sent)
        for one in sent:
            yield 0xFF00, instance(study, *one)

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        asked = event.identifier
        level = {"STUDY": self._found_studies, "SERIES": self._found_series}
        for match in level.get(asked.QueryRetrieveLevel, self._found_instances)(asked):
            match.QueryRetrieveLevel = asked.QueryRetrieveLevel
            yield 0xFF00, match

    def _found_studies(self, asked: Dataset) -> Iterator[Dataset]:
        for study in tuple(self.studies.values()):
            if study.AccessionNumber == asked.AccessionNumber:
                match = Dataset()
                match.AccessionNumber = study.AccessionNumber
                match.StudyInstanceUID = study.StudyInstanceUID
                yield match

    def _found_series(self, asked: Dataset) -> Iterator[Dataset]:
        study = self.studies[asked.StudyInstanceUID]
        for uid, instances in study.series.items():
            match = Dataset()
            match.StudyInstanceUID, match.SeriesInstanceUID = study.StudyInstanceUID, uid
            match.Modality = "CT"
            if study.count_off_by is not None:
                match.NumberOfSeriesRelatedInstances = len(instances) + study.count_off_by
            yield match

    def _found_instances(self, asked: Dataset) -> Iterator[Dataset]:
        study = self.studies[asked.StudyInstanceUID]
        is_moving = study.told[-1:] == ["move"]
        study.told.append("list")
        study.was_listed.set()
        answers = study.lists and (study.lists_beside or not is_moving)
        for uid in study.series[asked.SeriesInstanceUID] if answers else ():
            match = Dataset()
            match.SOPInstanceUID, match.SOPClassUID = uid, CTImageStorage
            yield match


def answer_moves(monkeypatch) -> None:
    """Have pynetdicom ask the archive what to answer a C-MOVE."""

    def talk(service, request, context) -> None:
        service.assoc.ae.archive.move(service, request, context)

    monkeypatch.setattr(QueryRetrieveServiceClass, "_move_scp", talk)


def instance(study: Study, series_uid: str, uid: str) -> Dataset:
    """An instance of the archive: a CT slice of 8 x 8 pixels."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, uid
    made.StudyInstanceUID, made.SeriesInstanceUID = study.StudyInstanceUID, series_uid
    made.AccessionNumber, made.PatientID, made.Modality = study.AccessionNumber, "P1", "CT"
    made.Rows = made.Columns = 8
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation, made.SamplesPerPixel = 15, 0, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.PixelData = bytes(128)
    return made


def encoded(dataset: Dataset) -> bytes:
    """A dataset in explicit VR little endian."""
    stream = encode(dataset, False, True)
    assert stream is not None
    return stream


def _decoded(stream: BytesIO, context) -> Dataset:
    syntax = context.transfer_syntax[0]
    return decode(stream, syntax.is_implicit_VR, syntax.is_little_endian)
