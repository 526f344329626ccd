"""Records what arrived: associations, instances, quarantine; and says what is known already."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from ledger.session import Row, Session
from listener.journal import ENDINGS, AssociationEvent, EventName, now
from listener.series import Arrival
from listener.spool import SeriesKey
from listener.watcher import Findings, Resumed, ResumedSeries


class Intake:
    """The receiving side of the ledger."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def counts(self) -> Mapping[SeriesKey, tuple[int, float]]:
        """How many instances of each series are here, and when the last came (epoch seconds)."""
        rows = self._session.query(
            "SELECT StudyInstanceUID, SeriesInstanceUID, instances - deleted AS instances,"
            " last_arrival_at"
            " FROM series JOIN studies ON studies.id = study_id"
        )
        return {
            SeriesKey(row["StudyInstanceUID"], row["SeriesInstanceUID"]): (
                row["instances"],
                datetime.fromisoformat(row["last_arrival_at"]).timestamp(),
            )
            for row in rows
        }

    def sop_instance_uids(self, key: SeriesKey) -> frozenset[str]:
        """The instances of a series that are here; empty where the series is not known."""
        rows = self._session.query(
            "SELECT SOPInstanceUID FROM instances WHERE deletion_id IS NULL AND series_id ="
            " (SELECT series.id FROM series JOIN studies ON studies.id = study_id"
            "  WHERE StudyInstanceUID = ? AND SeriesInstanceUID = ?)",
            list(key),
        )
        return frozenset(row["SOPInstanceUID"] for row in rows)

    def series_of(self, sop_instance_uid: str) -> frozenset[SeriesKey]:
        """The series that hold an instance of this UID: one, or none."""
        rows = self._session.query(
            "SELECT StudyInstanceUID, SeriesInstanceUID FROM instances"
            " JOIN series ON series.id = series_id JOIN studies ON studies.id = study_id"
            " WHERE SOPInstanceUID = ?",
            [sop_instance_uid],
        )
        return frozenset(
            SeriesKey(row["StudyInstanceUID"], row["SeriesInstanceUID"]) for row in rows
        )

    def journal_offsets(self) -> Mapping[str, int]:
        """How far each file of the association journal was read."""
        rows = self._session.query("SELECT file, offset FROM journal_offsets")
        return {row["file"]: row["offset"] for row in rows}

    def arriving(self) -> Resumed:
        """What is still open: series, studies, and the associations they ask for."""
        return Resumed(
            tuple(self._arriving_series()),
            {
                row["StudyInstanceUID"]: frozenset(json.loads(row["associations"]))
                for row in self._session.query(
                    "SELECT StudyInstanceUID, (SELECT json_group_array(DISTINCT association_id)"
                    " FROM series JOIN instances ON series_id = series.id"
                    " WHERE study_id = studies.id AND association_id != '') AS associations"
                    " FROM studies WHERE is_arriving"
                )
            },
            tuple(self._associations_wanted()),
        )

    def _arriving_series(self) -> Iterator[ResumedSeries]:
        rows = self._session.query(
            "SELECT StudyInstanceUID, SeriesInstanceUID, Modality, calling_ae,"
            " (SELECT json_group_array(DISTINCT association_id) FROM instances"
            "  WHERE series_id = series.id AND association_id != '') AS associations"
            " FROM series JOIN studies ON studies.id = study_id WHERE state = 'arriving'"
        )
        for row in rows:
            yield ResumedSeries(
                SeriesKey(row["StudyInstanceUID"], row["SeriesInstanceUID"]),
                row["Modality"],
                row["calling_ae"],
                frozenset(json.loads(row["associations"])),
            )

    def _associations_wanted(self) -> Iterator[AssociationEvent]:
        """How the associations stand that are open, or that sent to a study still open."""
        rows = self._session.query(
            "SELECT association_id, receiver, began_at, state FROM associations"
            " WHERE state = 'open' OR association_id IN (SELECT association_id FROM studies"
            "  JOIN series ON study_id = studies.id JOIN instances ON series_id = series.id"
            "  WHERE is_arriving)"
        )
        for row in rows:
            event: EventName = "accepted" if row["state"] == "open" else row["state"]
            yield AssociationEvent(event, row["began_at"], row["association_id"], row["receiver"])

    def record(self, findings: Findings) -> int:
        """Record what the watcher saw, but for closures, in one commit.

        Returns
        -------
        int
            How many associations were lost with their receiver.
        """
        with self._session.atomic():
            lost = sum(self._record_event(event) for event in findings.events)
            for arrival in findings.arrivals:
                self._record_arrival(arrival)
            self._count_for_associations(findings.arrivals)
            self._session.execute_many(
                "INSERT OR REPLACE INTO journal_offsets (file, offset) VALUES (?, ?)",
                findings.journal_offsets.items(),
            )
        return lost

    def _record_event(self, event: AssociationEvent) -> int:
        """Record an event; return how many associations it says were lost without a word."""
        if event.event == "started":
            return self._session.execute(
                "UPDATE associations SET state = 'lost', ended_at = ?,"
                " reason = 'the receiver ended' WHERE state = 'open' AND receiver = ?",
                [event.at, event.receiver],
            ).rowcount
        if event.event == "refused":
            self._session.insert(
                "refusals", **_only(event, "association_id", "calling_ae", "at", "reason")
            )
        else:
            self._upsert_association(event)
        return 0

    def _upsert_association(self, event: AssociationEvent) -> None:
        ended = event.event in ENDINGS or event.event == "rejected"
        row = _only(
            event,
            *("association_id", "receiver", "calling_ae", "called_ae", "address", "stored"),
            *("duplicates", "quarantined", "refused", "bytes", "reason"),
        )
        row["state"] = event.event if ended else "open"
        began = list(
            self._session.query(
                "SELECT began_at FROM associations WHERE association_id = ?",
                [event.association_id],
            )
        )
        row["began_at"] = began[0]["began_at"] if began else event.at
        row["ended_at"] = event.at if ended else None
        self._session.replace("associations", **row)

    def _count_for_associations(self, arrivals: Sequence[Arrival]) -> None:
        """Say of open associations how far they are; at its end each says itself what it did."""
        count: Counter[str] = Counter()
        size: Counter[str] = Counter()
        for arrival in arrivals:
            association_id = arrival.header.origin.association_id
            count[association_id] += 1
            size[association_id] += arrival.bytes
        at = now()
        for association_id, stored in count.items():
            self._session.execute(
                "UPDATE associations SET stored = stored + ?, bytes = bytes + ?, latest_at = ?"
                " WHERE association_id = ? AND state = 'open'",
                [stored, size[association_id], at, association_id],
            )

    def _record_arrival(self, arrival: Arrival) -> None:
        series_id = self._series_id(arrival)
        header = arrival.header
        at = now()
        self._forget_deleted(series_id, header.identity.SOPInstanceUID)
        inserted = self._session.execute(
            "INSERT INTO instances (series_id, SOPInstanceUID, SOPClassUID, InstanceNumber,"
            " TransferSyntaxUID, association_id, bytes, sha256, received_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [
                series_id,
                header.identity.SOPInstanceUID,
                header.identity.SOPClassUID,
                header.number("InstanceNumber"),
                header.transfer_syntax_uid,
                header.origin.association_id,
                arrival.bytes,
                arrival.sha256,
                at,
            ],
        ).rowcount
        if inserted:
            self._session.execute(
                "UPDATE series SET state = 'arriving', instances = instances + 1,"
                " bytes = bytes + ?, last_arrival_at = ? WHERE id = ?",
                [arrival.bytes, at, series_id],
            )
            self._session.execute(
                "UPDATE studies SET is_arriving = 1 WHERE NOT is_arriving AND id ="
                " (SELECT study_id FROM series WHERE id = ?)",
                [series_id],
            )

    def _forget_deleted(self, series_id: int, sop_instance_uid: str) -> None:
        """Take out an instance that a rule deleted and that was sent again: it is a new one.

        That it was deleted stays accounted for.
        """
        rows = self._session.query(
            "SELECT id, bytes FROM instances WHERE series_id = ? AND SOPInstanceUID = ?"
            " AND deletion_id IS NOT NULL",
            [series_id, sop_instance_uid],
        )
        for row in list(rows):
            self._session.execute(
                "INSERT INTO sent_again SELECT deletion_id, SOPInstanceUID, association_id"
                " FROM instances WHERE id = ?",
                [row["id"]],
            )
            self._session.execute("DELETE FROM instances WHERE id = ?", [row["id"]])
            self._session.execute(
                "UPDATE series SET instances = instances - 1, bytes = bytes - ?,"
                " deleted = deleted - 1 WHERE id = ?",
                [row["bytes"], series_id],
            )

    def _series_id(self, arrival: Arrival) -> int:
        """The series of an arrival; its study and itself are recorded when they are new."""
        study_id = self._study_id(arrival)
        uid = arrival.key.SeriesInstanceUID
        rows = self._session.query(
            "SELECT id, state, revision FROM series WHERE study_id = ? AND SeriesInstanceUID = ?",
            [study_id, uid],
        )
        for row in rows:
            if row["state"] == "closed":
                self._session.note(
                    row["id"], f"more instances came after revision {row['revision']}"
                )
            return int(row["id"])
        header = arrival.header
        series_id = self._session.insert(
            "series",
            study_id=study_id,
            SeriesInstanceUID=uid,
            Modality=header.text("Modality"),
            SeriesNumber=header.number("SeriesNumber"),
            SeriesDescription=header.text("SeriesDescription"),
            calling_ae=header.origin.calling_ae,
            called_ae=header.origin.called_ae,
            state="arriving",
            first_seen_at=now(),
            last_arrival_at=now(),
        )
        self._session.note(series_id, "the first instance arrived")
        return series_id

    def _study_id(self, arrival: Arrival) -> int:
        uid = arrival.key.StudyInstanceUID
        for row in self._session.query("SELECT id FROM studies WHERE StudyInstanceUID = ?", [uid]):
            return int(row["id"])
        keywords = ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyDescription")
        elements = {keyword: arrival.header.text(keyword) for keyword in keywords}
        return self._session.insert(
            "studies", StudyInstanceUID=uid, first_seen_at=now(), **elements
        )

    def record_quarantine(self, entries: Iterable[tuple[str, str, str]]) -> int:
        """Record files in quarantine as (name, reason, series UID); return how many are new."""
        with self._session.atomic():
            return sum(
                self._session.execute(
                    "INSERT INTO quarantine VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    [name, reason, series_uid, now()],
                ).rowcount
                for name, reason, series_uid in entries
            )


def _only(event: AssociationEvent, *names: str) -> Row:
    record = asdict(event)
    return {name: record[name] for name in names}
