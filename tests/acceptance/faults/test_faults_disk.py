"""Disks that are full, failing, or out of something else.

The spool of the daemon here is a small filesystem of its own in memory, which only root may
mount. An instance is refused with 0xA700 while the fault lasts, what was acknowledged before stays,
and reception heals by itself.
"""

import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from canary import make_instance
from pydicom.uid import generate_uid
from wronged_node import wait_until

MIB = 1 << 20
SIZE, FLOOR = 32 * MIB, 4 * MIB
INODES = 400


@pytest.fixture(scope="module")
def _small(serve, mounted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    spool = folder / "data" / "spool"
    with mounted(spool, f"size={SIZE},nr_inodes={INODES}"):
        node = serve("drain_seconds = 1\n", folder=folder, storage=f"free_bytes_min = {FLOOR}")
        yield node
        node.stop()


@pytest.fixture
def small(_small):
    """A daemon whose spool has room for 32 MiB and 400 files, of which 4 MiB must stay free."""
    yield _small
    for path in _small.spool.glob("ballast-*"):
        path.unlink()
    _small.require_intact()


@pytest.fixture
def ballast(small):
    """Function that takes all but `spare` bytes of the spool's filesystem."""

    def take(spare):
        free = shutil.disk_usage(small.spool).free
        with (small.spool / "ballast-bytes").open("wb") as file:
            file.write(bytes(free - spare))
        return file.name

    return take


def require_refused(node, instance):
    """Offer an instance that must be refused with 0xA700, and leave nothing."""
    peer = node.associated()
    answer = peer.store(instance)
    assert answer.status == 0xA700
    assert answer.comment
    assert node.incoming() == []
    assert node.kept(instance) == []
    peer.release()
    assert "0xA700" in node.wait_for_event(peer, "refused")["reason"]
    assert node.wait_for_association(peer, "released").refused == 1


def require_stored(node, *instances):
    peer = node.associated()
    assert [peer.store(instance).status for instance in instances] == [0x0000] * len(instances)
    peer.release()


def test_a_disk_that_fills_up_within_an_instance_refuses_it_and_heals(small, ballast):
    before = [make_instance() for _ in range(5)]
    require_stored(small, *before)
    ballast(spare=FLOOR + MIB)
    large = make_instance(PixelData=bytes(6 * MIB))
    require_refused(small, large)
    require_stored(small, make_instance())  # a small one still has room
    (small.spool / "ballast-bytes").unlink()
    require_stored(small, large)
    small.kept(large)[0].unlink()
    small.acknowledged.remove(large)


def test_a_disk_that_fills_up_answers_on_the_same_association_when_space_returns(small, ballast):
    peer = small.associated()
    ballast(spare=FLOOR + MIB)
    large = make_instance(PixelData=bytes(6 * MIB))
    assert peer.store(large).status == 0xA700
    (small.spool / "ballast-bytes").unlink()
    assert peer.store(large).status == 0x0000
    peer.release()
    small.kept(large)[0].unlink()
    small.acknowledged.remove(large)


def test_below_the_free_space_floor_nothing_is_even_begun(small, ballast):
    ballast(spare=FLOOR - MIB)
    folders = [path for path in (small.spool / "incoming").rglob("*") if path.is_dir()]
    changed = [folder.stat().st_mtime_ns for folder in folders]
    require_refused(small, make_instance())
    assert [folder.stat().st_mtime_ns for folder in folders] == changed
    assert shutil.disk_usage(small.spool).free > FLOOR - 2 * MIB
    (small.spool / "ballast-bytes").unlink()
    require_stored(small, make_instance())


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_a_disk_without_inodes_refuses_and_heals(small, spare):
    """An instance of a new study needs three: its file, and a folder each for study and series."""
    files = []
    with suppress(OSError):
        for number in range(2 * INODES):
            path = small.spool / f"ballast-{number}"
            path.touch()
            files.append(path)
    for path in files[:spare]:
        path.unlink()
    instance = make_instance(StudyInstanceUID=generate_uid())
    require_refused(small, instance)
    for path in files[spare:]:
        path.unlink()
    require_stored(small, instance)


def test_a_limit_on_the_size_of_files_refuses_and_heals(small):
    with limited(small, psutil.RLIMIT_FSIZE, 1 * MIB):
        require_refused(small, make_instance(PixelData=bytes(3 * MIB)))
        require_stored(small, make_instance())
    large = make_instance(PixelData=bytes(3 * MIB))
    require_stored(small, large)


@contextmanager
def limited(node, what, soft):
    """Lower a limit of the receivers for a while."""
    before = {process: process.rlimit(what) for process in node.receivers()}
    for process, (_, hard) in before.items():
        process.rlimit(what, (soft, hard))
    try:
        yield
    finally:
        for process, limits in before.items():
            process.rlimit(what, limits)


def test_a_spool_folder_that_is_gone_refuses_and_heals(small):
    folders = [path for path in (small.spool / "incoming").iterdir() if path.is_dir()]
    aside = small.spool / "aside"
    (small.spool / "incoming").rename(aside)
    try:
        require_refused(small, make_instance())
    finally:
        aside.rename(small.spool / "incoming")
    assert folders
    require_stored(small, make_instance())


def test_a_file_in_the_place_of_a_study_refuses_that_study_only(small):
    study = generate_uid()
    (small.spool / "instances" / study).touch()
    require_refused(small, make_instance(StudyInstanceUID=study))
    require_stored(small, make_instance())
    (small.spool / "instances" / study).unlink()
    require_stored(small, make_instance(StudyInstanceUID=study))


@contextmanager
def failing_fsync(node, calls, log):
    """Let the fsyncs of the receivers fail with EIO; `calls` says which, as strace wants it."""
    command = ["strace", "-f", "-y", "-o", str(log), "-e", "trace=fsync,fdatasync"]
    command += ["-e", f"inject=fsync,fdatasync:error=EIO{calls}"]
    for process in node.receivers():
        command += ["-p", str(process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = tracer.stderr.readline()
        if "attached" not in line:
            pytest.skip(f"strace cannot trace here: {line.strip()}")
        wait_until(lambda: are_traced(node, tracer), "all threads to be traced")
        yield
    finally:
        tracer.terminate()
        tracer.wait(20)
        tracer.stderr.close()


def are_traced(node, tracer):
    return all(
        f"TracerPid:\t{tracer.pid}\n" in (task / "status").read_text()
        for process in node.receivers()
        for task in Path(f"/proc/{process.pid}/task").iterdir()
    )


@pytest.fixture
def strace_log(tmp_path, program):
    """Where strace writes what it did."""
    program("strace")
    return tmp_path / "strace.log"


def test_an_fsync_that_fails_is_never_success_and_is_not_tried_again(small, strace_log):
    before = make_instance()
    require_stored(small, before)
    instances = [make_instance() for _ in range(4)]
    with failing_fsync(small, "", strace_log):
        for instance in instances:
            require_refused(small, instance)
    synced = re.findall(r"sync\(\d+<(\S+/incoming/\S+)>.*EIO", strace_log.read_text())
    assert len(synced) == len(instances)
    assert len(set(synced)) == len(synced)  # each file was synced once and given up
    require_stored(small, *instances)


def test_an_fsync_of_a_folder_that_fails_is_never_success(small, strace_log):
    instance = make_instance(StudyInstanceUID=generate_uid())
    with failing_fsync(small, ":when=2+", strace_log):
        peer = small.associated()
        assert peer.store(instance).status == 0xA700
        peer.release()
    assert small.incoming() == []
    assert re.search(r"sync\(\d+<\S+/instances\S*>.*EIO", strace_log.read_text())
    for path in small.kept(instance):  # not acknowledged: absent, or whole
        assert path.read_bytes().endswith(instance.dataset)
    require_stored(small, instance)
    assert len(small.kept(instance)) == 1
