"""Room and speed on real filesystems.

Not covered: network filesystems themselves; none is mounted, and their names are made up.
"""

import pytest

from safelight import doctor_disk
from safelight.doctor_disk import disk, filesystem, inotify


@pytest.fixture
def small_spool(site, mounted):
    """A site whose spool is a filesystem of 1 MiB in memory."""
    examined = site("free_bytes_min = 65536\nfree_bytes_process = 1\nfree_bytes_retrieve = 1\n")
    spool = examined.config.storage.spool
    with mounted(spool, "size=1M,nr_inodes=200"):
        yield examined


MARKS = "free_bytes_warn = 1\nfree_bytes_process = 1\nfree_bytes_retrieve = 1\nfree_bytes_min = 1\n"


def test_a_durable_write_is_timed_and_leaves_nothing(site):
    examined = site(MARKS)
    examined.config.storage.spool.mkdir()
    room, speed = disk(examined)
    assert (room.level, "GB of" in room.what) == ("ok", True)
    assert "a durable write takes" in speed.what
    assert list(examined.config.storage.spool.iterdir()) == []


def test_a_slow_disk_is_warned_of_with_what_it_means(site, monkeypatch):
    monkeypatch.setattr(doctor_disk, "_SLOW_SECONDS", 0.0)
    examined = site(MARKS)
    examined.config.storage.spool.mkdir()
    _, speed = disk(examined)
    assert speed.level == "warning"
    assert "an association brings at most" in speed.what


def test_a_mark_that_is_passed_is_a_warning_or_a_problem_by_what_it_holds_up(site):
    room, _ = disk(site(MARKS.replace("warn = 1", f"warn = {1 << 60}")))
    assert (room.level, "FILLING UP" in room.what) == ("warning", True)
    room, _ = disk(site(MARKS.replace("min = 1", f"min = {1 << 60}")))
    assert (room.level, "INSTANCES ARE REFUSED" in room.what) == ("problem", True)
    assert "[rule.keep]" in room.remedy


def test_without_a_spool_nothing_is_written(site, tmp_path):
    *_, speed = disk(site(MARKS))
    assert speed.what == "speed: not measured, there is no spool yet"
    assert list((tmp_path / "data").iterdir()) == []


def test_a_spool_that_is_full_is_a_problem_twice_over(small_spool):
    spool = small_spool.config.storage.spool
    with (spool / "ballast").open("wb", buffering=0) as file:
        file.write(bytes(2 << 20))  # the kernel takes what there is room for

    room, speed = disk(small_spool)

    assert (room.level, "INSTANCES ARE REFUSED" in room.what) == ("problem", True)
    assert speed.level == "problem"
    assert speed.what == f"{spool}: a file cannot be written: No space left on device"
    assert [path.name for path in spool.iterdir()] == ["ballast"]


def test_a_spool_in_memory_is_a_problem(small_spool):
    spool, results = filesystem(small_spool)
    assert spool.level == "problem"
    assert spool.what == "spool on tmpfs: a restart of the machine loses it"
    assert results.what.startswith("results: ")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3"])
def test_a_ledger_on_a_network_filesystem_is_a_problem_and_a_spool_is_polled(
    site, monkeypatch, kind
):
    monkeypatch.setattr(doctor_disk, "filesystem_of", lambda _: kind)
    found = list(filesystem(site()))
    assert [one.level for one in found] == ["problem", "ok", "ok"]
    assert found[0].what.startswith(f"the ledger is on {kind}: SQLite cannot rely on its locks")


def test_a_spool_that_is_polled_needs_no_inotify(site):
    (found,) = inotify(site('[series]\nwatch = "polling"\n'))
    assert (found.level, found.what) == ("ok", "not used, the spool is polled: as configured")


def test_limits_of_the_kernel_are_measured_by_the_folders_of_the_spool(site, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_disk, "_LIMITS", tmp_path)
    examined = site()
    for number in range(4):
        (examined.config.storage.spool / "instances" / "1.2" / f"1.{number}").mkdir(parents=True)

    def found(watches, queues):
        (tmp_path / "max_user_watches").write_text(f"{watches}\n")
        (tmp_path / "max_user_instances").write_text(f"{queues}\n")
        (one,) = inotify(examined)
        return one

    assert found(8192, 128).what == "8,192 folders can be watched, the spool has 6; 128 queues"
    few = found(7, 128)
    assert few.level == "warning"
    assert few.remedy.startswith("echo fs.inotify.max_user_watches=524288 > /etc/sysctl.d/")
    assert "max_user_instances=128" in found(8192, 8).remedy
