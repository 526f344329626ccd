"""A site without its processes: spool, ledger and rules in a temporary folder.

Instances are Part 10 files built in code; jobs are ended by hand.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from ledger.reader import LedgerReader
from ledger.writer import LedgerWriter
from listener.header import read_header
from listener.series import Arrival, Closure, StudyClosure
from listener.spool import SeriesKey, Spool, SpoolSettings
from listener.watcher import Findings
from processor.model import JobResult, StepResult
from safelight.config import Config, load_config
from safelight.deciding import Deciding


@dataclass
class Site:
    """What the coordinator has, and hands to do what its peers do."""

    folder: Path
    config: Config
    ledger: LedgerWriter
    spool: Spool
    deciding: Deciding = field(init=False)

    @property
    def rules(self):
        return self.config.rules.file

    def start(self):
        """Begin to decide, as a coordinator that starts."""
        self.deciding = Deciding(self.config, self.ledger, self.spool)
        return self.deciding

    def write_rules(self, text):
        self.rules.write_text(text)

    def receive(self, series="1.2.3.4", study="1.2.3", count=1, edit=None, **elements):
        """Instances land in the spool and are recorded; `edit` may change each dataset."""
        key = SeriesKey(study, series)
        arrivals = []
        for number in range(1, count + 1):
            dataset = Dataset()
            dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"{series}.{number}"
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
            dataset.Modality, dataset.PatientID, dataset.PatientName = "MR", "0042", "Doe^Jane"
            dataset.SeriesNumber, dataset.InstanceNumber = 5, number
            dataset.AccessionNumber = "A1"
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)
            if edit is not None:
                edit(dataset)
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            path = self.spool.folder_of(key) / f"{dataset.SOPInstanceUID}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset.save_as(path, enforce_file_format=True)
            arrivals.append(Arrival(key, read_header(path), path, 1, f"{number:02x}"))
        self.ledger.intake.record(Findings((), tuple(arrivals), (), 0, {}))
        return key

    def close(self, key):
        """A series closes and is decided."""
        closed = self.ledger.work.close_series(Closure(key, "released", "released, quiet"))
        self.deciding.decide(closed)
        return closed

    def close_study(self, uid="1.2.3", grade="released"):
        """A study is complete; what rules say of its series may change."""
        self.ledger.work.close_study(StudyClosure(uid, grade, "all series closed"))
        self.deciding.study_closed(uid)

    def take(self, **more):
        """A series arrives, closes and is decided; returns its number."""
        return self.close(self.receive(**more)).id

    def claim(self):
        return self.ledger.jobs.claim(20)

    def end(self, job, processor="qc", state="done", **details):
        """A job ends with one step."""
        step = StepResult(processor, state, "", details)
        result = JobResult(job.key, Path(f"A1/{job.key[:8]}"), (step,), 0.1)
        self.ledger.jobs.finish(job, result)
        self.deciding.after_job(job.series.id)

    def shown(self, series_id):
        """The state in which the page has a series."""
        reader = LedgerReader(self.config.storage.ledger)
        try:
            return reader.one_series(series_id).state
        finally:
            reader.close()

    def reasons(self, series_id):
        """What the page shows as the reasons of the decision on a series."""
        reader = LedgerReader(self.config.storage.ledger)
        try:
            return reader.decision(series_id).reasons
        finally:
            reader.close()

    def outcome(self, series_id):
        case = self.ledger.cases.case(series_id)
        return case.outcome, case.summary


@pytest.fixture
def site(tmp_path):
    """A site whose rules are in `rules.toml`: one that checks every series."""
    (tmp_path / "safelight.toml").write_text(
        '[storage]\ndata = "data"\n[rules]\nfile = "rules.toml"\n'
    )
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "Check"\nrun = { qc = {} }\n')
    config = load_config(tmp_path / "safelight.toml", {})
    spool = Spool(SpoolSettings(config.storage.spool, 0))
    with LedgerWriter(config.storage.ledger) as ledger:
        yield Site(tmp_path, config, ledger, spool)
