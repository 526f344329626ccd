"""Retrieves of an archive that loses, delays and lies: every missing UID is named, none falsely.

1,000 retrieves by ``make retrieve-sweep``, some dozens with the other tests. What is lost, when it
comes, what the archive says of it and how it is fetched are drawn at random; instances of a C-MOVE
are put into the spool by the receiver's own code, without its network.
"""

import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from listener.spool import SpoolSettings
from query.get import Instance
from query.settings import PacsSettings
from safelight.getting import shelf
from safelight.retrieval import RetrievalRequest, retrieve

sys.path.insert(0, str(Path(__file__).parents[1]))

import archive as scripted

SIDE_BY_SIDE = 6
UNTIL_GIVEN_UP = 1.5  # seconds without an arrival; what comes late comes in a fifth of that


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An archive, the spool that it sends to, and the settings to ask it with."""
    scripted.answer_moves(monkeypatch)
    spool = SpoolSettings(tmp_path / "spool", 0, durable=False)

    def deliver(datasets):
        with shelf(spool, f"moved-{random.getrandbits(64)}", "ARCHIVE", "SAFELIGHT", 1 << 20) as it:
            for one in datasets:
                content = memoryview(scripted.encoded(one))
                status, _ = it.keep(
                    Instance(CTImageStorage, one.SOPInstanceUID, ExplicitVRLittleEndian, content)
                )
                assert status == 0

    archive = scripted.Archive(deliver)
    yield archive, spool, tmp_path
    archive.close()


def drawn(draw, number):
    """A study and its behaviour, and the instances that it never sends."""
    series = {
        f"1.2.{number}.{s}": [f"1.2.{number}.{s}.{i}" for i in range(draw.randint(1, 12))]
        for s in range(draw.randint(1, 3))
    }
    every = [uid for uids in series.values() for uid in uids]
    never = set(draw.sample(every, draw.choice([0, 0, 1, 2, len(every)]) % (len(every) + 1)))
    at_first = set(draw.sample(every, draw.randint(0, len(every) // 3)))
    study = scripted.Study(
        f"A{number}",
        f"1.2.{number}",
        series,
        loses=lambda uid, times: uid in never or (times == 1 and uid in at_first),
        owns_up=draw.random() < 0.6,
        late_seconds=draw.choice([0, 0, UNTIL_GIVEN_UP / 5]),
        count_off_by=draw.choice([0, 0, None, -1]),
    )
    return study, never


def request(number, archive, spool, folder, method, streams=1):
    limits = {"arrival_seconds": UNTIL_GIVEN_UP, "streams": streams}
    pacs = PacsSettings("main", "ARCHIVE", "127.0.0.1", archive.port, **limits)
    return RetrievalRequest(
        accession_number=f"A{number}",
        pacs=pacs,
        method=method,
        rules=(),
        spool=spool,
        ae_title="SAFELIGHT",
        port=11112,
        maximum_instance_bytes=1 << 20,
        writer=f"retrieve-{number}",
        progress=folder / f"{number}.retrieve",
    )


def in_the_spool(spool, study):
    folder = spool.root / "instances" / study.StudyInstanceUID
    return {path.stem for path in folder.rglob("*.dcm")}


@pytest.mark.timeout(3600)
def test_every_missing_instance_is_named_and_none_falsely(sweep, site):
    archive, spool, folder = site
    retrieves = 1000 if sweep.full else 24
    seen = Counter()

    def one(number):
        draw = random.Random(f"{sweep.seed}-{number}")
        study, never = drawn(draw, number)
        archive.add(study)
        method = draw.choice(["move", "get"])
        streams = draw.choice([1, 1, 2])
        result = retrieve(request(number, archive, spool, folder, method, streams))
        missing = {uid for series in result.series for uid in series.missing}
        here = in_the_spool(spool, study)
        assert missing == never, (number, result.problem)
        assert here == study.all_instances - never
        assert result.state == ("incomplete" if never else "whole"), (number, result)
        assert not never or result.problem
        seen.update([method, result.state, *["never sent"] * len(never)])
        seen["lost at first"] += sum(times > 1 for times in study.asked.values())

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        for _ in threads.map(one, range(retrieves)):
            pass

    told = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
    sweep.note(f"{retrieves} retrieves: {told}")
    assert min(seen["move"], seen["get"], seen["whole"], seen["incomplete"]) > 0


def test_what_is_here_is_not_asked_for_again(site):
    archive, spool, folder = site
    study = archive.add(scripted.Study("A1", "1.2.1", {"1.2.1.1": ["1.2.1.1.1", "1.2.1.1.2"]}))
    first = retrieve(request(1, archive, spool, folder, "move"))
    second = retrieve(request(1, archive, spool, folder, "move"))

    assert (first.state, second.state) == ("whole", "whole")
    assert study.asked == {"1.2.1.1.1": 1, "1.2.1.1.2": 1}


def test_a_new_study_is_listed_while_it_comes(site):
    archive, spool, folder = site
    study = archive.add(scripted.Study("A1", "1.2.1", {"1.2.1.1": ["1.2.1.1.1"]}, awaits_list=True))

    result = retrieve(request(1, archive, spool, folder, "move"))

    assert result.state == "whole"
    assert study.told == ["move", "list", "moved"]


def test_what_is_not_listed_while_it_comes_is_listed_then(site):
    archive, spool, folder = site
    study = archive.add(
        scripted.Study(
            "A1",
            "1.2.1",
            {"1.2.1.1": ["1.2.1.1.1", "1.2.1.1.2"]},
            loses=lambda uid, _times: uid == "1.2.1.1.2",
            owns_up=False,
            count_off_by=None,
            awaits_list=True,
            lists_beside=False,
        )
    )

    result = retrieve(request(1, archive, spool, folder, "move"))

    assert (result.state, result.series[0].missing) == ("incomplete", ("1.2.1.1.2",))
    assert study.told[:4] == ["move", "list", "moved", "list"]


def test_several_associations_share_a_study_by_lists_of_its_instances(site):
    archive, spool, folder = site
    uids = [f"1.2.1.1.{number}" for number in range(150)]
    study = archive.add(scripted.Study("A1", "1.2.1", {"1.2.1.1": uids}))

    result = retrieve(request(1, archive, spool, folder, "move", streams=2))

    assert result.state == "whole"
    assert study.told.count("move") == 2
    assert study.asked == dict.fromkeys(uids, 1)
