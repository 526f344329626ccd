"""The files of the audit trail: every line seals the one before it, whoever writes, however large.

Not covered: a disk that loses what it said it wrote.
"""

import hashlib
import json
import multiprocessing
import resource
import shutil
import signal
import subprocess

import pytest

from web_status.audit import AuditTrail
from web_status.audit_events import Deed
from web_status.audit_file import AUDIT_NAME, AuditFiles, AuditFollower


def numbers(files):
    return [line.number for path in files.paths() for line in files.lines(path)]


def raw_lines(files):
    return [line.raw for path in files.paths() for line in files.lines(path)]


def is_chained(raw):
    """Whether each line has the digest of the one before it, counted here once more."""
    previous = b""
    for line in raw:
        if json.loads(line)["previous"] != hashlib.sha256(previous).hexdigest():
            return False
        previous = line
    return True


def test_each_line_has_its_number_and_the_digest_of_the_one_before(tmp_path):
    files = AuditFiles(tmp_path)
    for value in range(3):
        files.append({"value": value})
    assert numbers(files) == [1, 2, 3]
    assert is_chained(raw_lines(files))


def test_a_large_file_is_ended_and_the_chain_goes_on_in_the_next(tmp_path):
    files = AuditFiles(tmp_path, bytes_max=400)
    for value in range(10):
        files.append({"value": value})
    assert len(files.paths()) > 2
    assert [path.name for path in files.paths()][-1] == AUDIT_NAME
    assert numbers(files) == list(range(1, 11))
    assert is_chained(raw_lines(files))
    last = [line.number for line in files.lines(files.paths()[0])][-1]
    assert files.paths()[0].name == f"audit-{last:012d}.log"


def test_lines_from_before_there_were_numbers_are_kept_and_sealed(tmp_path):
    old = b'{"action": "login", "user": "ada"}'
    (tmp_path / AUDIT_NAME).write_bytes(old + b"\n")
    files = AuditFiles(tmp_path)
    files.append({"value": 1})
    assert numbers(files) == [0, 1]
    assert json.loads(raw_lines(files)[1])["previous"] == hashlib.sha256(old).hexdigest()


def test_a_line_that_was_cut_short_is_kept_and_sealed_and_the_next_stands_alone(tmp_path):
    files = AuditFiles(tmp_path)
    files.append({"value": 1})
    with (tmp_path / AUDIT_NAME).open("ab") as file:
        file.write(b'{"value": 2, "num')
    files.append({"value": 3})
    assert numbers(files) == [1, 0, 2]
    cut = raw_lines(files)[1]
    assert json.loads(raw_lines(files)[2])["previous"] == hashlib.sha256(cut).hexdigest()


def test_numbers_go_on_behind_a_long_line_that_was_cut_short(tmp_path):
    files = AuditFiles(tmp_path)
    files.append({"value": 1})
    with (tmp_path / AUDIT_NAME).open("ab") as file:
        file.write(b'{"value": "' + b"x" * 100_000)
    files.append({"value": 3})
    assert numbers(files) == [1, 0, 2]


def _append_many(data, name):
    files = AuditFiles(data, bytes_max=4000)
    for value in range(50):
        files.append({"name": name, "value": value})


def test_several_processes_write_one_chain(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(tmp_path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    files = AuditFiles(tmp_path)
    assert numbers(files) == list(range(1, 201))
    assert is_chained(raw_lines(files))
    assert len(files.paths()) > 3


def _append_beyond_the_limit(data):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, 250))  # the disk is full, in the middle
    files = AuditFiles(data)
    files.append({"value": 1})
    try:
        files.append({"value": "x" * 100})
    except OSError:
        return
    raise SystemExit(9)


def test_what_a_full_disk_cuts_short_is_an_error_and_left_as_it_is(tmp_path):
    writer = multiprocessing.get_context("fork").Process(
        target=_append_beyond_the_limit, args=(tmp_path,)
    )
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    assert (tmp_path / AUDIT_NAME).stat().st_size == 250
    AuditFiles(tmp_path).append({"value": 3})
    assert numbers(AuditFiles(tmp_path)) == [1, 0, 2]


@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
def test_a_file_that_the_system_lets_only_grow_goes_on_growing(tmp_path):
    files = AuditFiles(tmp_path, bytes_max=100)
    files.append({"value": 1})
    path = tmp_path / AUDIT_NAME
    done = subprocess.run(["chattr", "+a", path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"chattr +a: {done.stderr.strip()}")
    try:
        with pytest.raises(PermissionError):
            path.write_bytes(b"")
        files.append({"value": 2})
        assert (numbers(files), files.paths()) == ([1, 2], [path])
    finally:
        subprocess.run(["chattr", "-a", path], check=True)


def test_a_follower_reads_each_line_once_from_file_to_file(tmp_path):
    files = AuditFiles(tmp_path, bytes_max=300)
    follower = AuditFollower(files, 0)
    assert follower.read(10) == []
    for value in range(4):
        files.append({"value": value})
    assert [line.number for line in follower.read(3)] == [1, 2, 3]
    for value in range(4, 9):
        files.append({"value": value})
    assert [line.number for line in follower.read(100)] == [4, 5, 6, 7, 8, 9]
    assert follower.read(100) == []
    follower.close()


def test_a_follower_begins_after_what_is_known_and_waits_for_the_end_of_a_line(tmp_path):
    files = AuditFiles(tmp_path, bytes_max=300)
    for value in range(5):
        files.append({"value": value})
    follower = AuditFollower(files, 4)
    assert [line.record["value"] for line in follower.read(10)] == [4]
    whole = files.paths()[-1].read_bytes().splitlines()[-1].replace(b'"number": 5', b'"number": 6')
    with (tmp_path / AUDIT_NAME).open("ab") as file:
        file.write(whole)
        file.flush()
        assert follower.read(10) == []
        file.write(b"\n")
    assert [line.number for line in follower.read(10)] == [6]
    follower.close()


def test_who_did_something_is_found_in_all_files(tmp_path):
    trail = AuditTrail(tmp_path)
    trail.record(Deed("rules put in force", "ada", "version 1"))
    (tmp_path / AUDIT_NAME).rename(tmp_path / "audit-000000000001.log")
    trail.record(Deed("rules put in force", "olga", "version 2"))
    trail.record(Deed("login", "rules put in force"))
    assert trail.users_of("rules put in force") == {"version 1": "ada", "version 2": "olga"}
