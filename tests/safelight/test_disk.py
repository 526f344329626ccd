"""Stages of a filling disk: what is held up when, and for how long. Marks are whole numbers here.

The refusal itself is in tests/listener/test_spool.py and tests/acceptance/faults.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reader import LedgerReader
from ledger.rows import Growth
from ledger.writer import LedgerWriter
from safelight.disk import STAGES, DiskState, DiskWatch, Volume, hours_left, next_stage, volume_of
from safelight.settings import StorageSettings
from safelight.status import disk_line

MARKS = StorageSettings(
    free_bytes_min=100, free_bytes_process=200, free_bytes_retrieve=400, free_bytes_warn=800
)


def stage(free, before="ample", results=None):
    spool = Volume(1, 10_000, free)
    return next_stage(
        spool, spool if results is None else Volume(2, 10_000, results), MARKS, before
    )


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (800, "ample"),
        (799, "warn"),
        (399, "pause_retrieves"),
        (199, "pause_processing"),
        (99, "refuse"),
    ],
)
def test_each_stage_begins_below_its_mark(free, expected):
    assert stage(free) == expected


@pytest.mark.parametrize(
    ("free", "before", "expected"),
    [
        (124, "refuse", "refuse"),
        (125, "refuse", "pause_processing"),
        (249, "pause_processing", "pause_processing"),
        (250, "pause_processing", "pause_retrieves"),
        (499, "pause_processing", "pause_retrieves"),
        (500, "pause_retrieves", "warn"),
        (999, "warn", "warn"),
        (1000, "refuse", "ample"),
    ],
)
def test_each_stage_ends_a_quarter_above_its_mark(free, before, expected):
    assert stage(free, before) == expected


@given(st.integers(0, 1200), st.sampled_from(STAGES))
def test_with_nothing_changed_a_stage_does_not_change_again(free, before):
    once = stage(free, before)
    assert stage(free, once) == once


def test_full_results_pause_processing_and_a_full_spool_of_its_own_does_not():
    assert stage(10_000, results=199) == "pause_processing"
    assert stage(350, results=10_000) == "pause_retrieves"
    assert stage(150, results=10_000) == "pause_retrieves"


def test_the_forecast_is_for_the_filesystem_that_is_full_first():
    spool, results = Volume(1, 10_000, 1100), Volume(2, 10_000, 300)
    growth = Growth(received=2400, published=240, hours=24.0)  # 100 and 10 an hour
    assert hours_left(spool, results, MARKS, growth) == 10.0  # 1000 / 100; 200 / 10 = 20
    assert hours_left(spool, spool, MARKS, growth) == pytest.approx(1000 / 110)
    assert hours_left(spool, spool, MARKS, Growth(0, 0, 24.0)) is None
    assert hours_left(Volume(1, 10_000, 50), results, MARKS, growth) == 0.0


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (DiskState("ample", 2 * 10**12, 812 * 10**9, None), "disk: 812 GB of 2.00 TB free"),
        (
            DiskState("warn", 10**9, 10**8, 30.2),
            (
                "disk: 100 MB of 1.00 GB free, full in 30 hours at today's rate;"
                " the disk is FILLING UP"
            ),
        ),
    ],
)
def test_status_says_what_is_free_how_long_it_lasts_and_what_waits(state, said):
    assert disk_line(state) == said


@pytest.fixture
def site(tmp_path, mounted):
    """Settings whose data folder is a filesystem of 4 MiB."""
    data = tmp_path / "data"
    with mounted(data, "size=4m"):
        yield StorageSettings(
            data,
            free_bytes_min=0,
            free_bytes_process=1 << 20,
            free_bytes_retrieve=2 << 20,
            free_bytes_warn=0,
        )


def leave_free(storage, free):
    ballast = storage.data / "ballast"
    ballast.unlink(missing_ok=True)
    ballast.write_bytes(bytes(volume_of(storage.data).free_bytes - free))


def test_jobs_wait_while_the_disk_is_full_and_the_ledger_and_the_log_say_so(site, tmp_path, caplog):
    now = [0.0]
    path = tmp_path / "ledger.sqlite"
    with LedgerWriter(path) as ledger:
        watch = DiskWatch(site, ledger.disk_stages, lambda: now[0])
        assert watch.may_process()
        leave_free(site, 1 << 19)
        assert watch.may_process()  # it is looked at every few seconds only
        now[0] += 60
        assert not watch.may_process()
        assert "disk: pause processing" in caplog.text
        leave_free(site, (1 << 20) + (1 << 16))  # above the mark, by less than a quarter
        again = DiskWatch(site, ledger.disk_stages, lambda: now[0])
        assert not again.may_process()
        assert LedgerReader(path).disk_stage() == "pause_processing"
        leave_free(site, 3 << 20)
        now[0] += 60
        assert again.may_process()
        assert ledger.disk_stages.latest() == "ample"


def test_no_retrieve_begins_while_the_disk_is_full(site, tmp_path):
    now = [0.0]
    with LedgerWriter(tmp_path / "ledger.sqlite") as ledger:
        watch = DiskWatch(site, ledger.disk_stages, lambda: now[0])
        assert watch.may_retrieve()
        leave_free(site, 3 << 19)
        now[0] += 60
        assert not watch.may_retrieve()
        assert watch.may_process()
