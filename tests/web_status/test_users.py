"""The file of the users, its passwords and the audit trail. Not covered: a disk that fails."""

import json
import logging
import multiprocessing
import os
import shutil
import stat

import pytest
from argon2 import extract_parameters

from web_status import passwords
from web_status.audit import AuditTrail
from web_status.audit_events import Deed
from web_status.errors import (
    BadPassword,
    BadUserName,
    RoleTooHigh,
    UnknownToken,
    UnknownUser,
    UserExists,
    UsersUnreadable,
)
from web_status.private_files import open_private, write_private
from web_status.roles import Role
from web_status.users import UsersFile

PASSWORD = "correct horse battery"
USER = '{"name": "ada", "role": "admin", "password_hash": "", "since": ""}'
USERS = f'{{"version": 1, "users": [{USER}]}}'


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_user_is_added_with_a_role_and_a_hash_only_the_service_reads(tmp_path, quick_hashes):
    UsersFile(tmp_path).add("ada", Role.ADMIN, PASSWORD)
    path = tmp_path / "users.json"
    assert mode(path) == 0o600
    assert PASSWORD not in path.read_text()
    user = UsersFile(tmp_path).all()["ada"]
    assert user.role is Role.ADMIN
    assert user.password_hash.startswith("$argon2id$")
    assert user.password_hash not in repr(user)


def test_nobody_is_in_a_folder_without_the_file(tmp_path):
    assert UsersFile(tmp_path).all() == {}


def test_what_one_process_changes_another_sees_at_once(tmp_path, quick_hashes):
    page, command = UsersFile(tmp_path), UsersFile(tmp_path)
    assert page.all() == {}
    command.add("ada", Role.VIEWER, PASSWORD)
    first = page.all()["ada"]
    command.set_password("ada", PASSWORD + "2")
    command.set_role("ada", Role.OPERATOR)
    second = page.all()["ada"]
    assert second.role is Role.OPERATOR
    assert second.since == first.since
    assert passwords.is_password(second.password_hash, PASSWORD + "2")
    assert not passwords.is_password(second.password_hash, PASSWORD)
    command.remove("ada")
    assert page.all() == {}


def test_a_token_is_kept_as_a_digest_and_found_by_its_secret(tmp_path, quick_hashes):
    page, command = UsersFile(tmp_path), UsersFile(tmp_path)
    command.add("ada", Role.ADMIN, PASSWORD)
    secrets = [command.add_token("ada", "export", Role.VIEWER), command.add_token("ada", "all")]
    assert len({secret.removeprefix("safelight_") for secret in secrets}) == 2
    assert not any(secret in (tmp_path / "users.json").read_text() for secret in secrets)
    user, token = page.by_secret(secrets[0])
    assert (user.name, token.name, token.role, token.used) == ("ada", "export", Role.VIEWER, "")
    assert page.by_secret(secrets[1])[1].role is Role.ADMIN
    assert page.by_secret(secrets[0][:-1]) is None
    command.note_use(token.digest, "2026-11-28")
    assert [each.used for each in page.all()["ada"].tokens] == ["2026-11-28", ""]
    command.revoke_token("ada", "export")
    assert page.by_secret(secrets[0]) is None
    command.set_password("ada", PASSWORD + "2")
    assert page.by_secret(secrets[1]) is not None
    command.remove("ada")
    assert page.by_secret(secrets[1]) is None


def test_a_token_that_cannot_be_is_not_made(tmp_path, quick_hashes):
    users = UsersFile(tmp_path)
    users.add("victor", Role.VIEWER, PASSWORD)
    users.add_token("victor", "export")
    before = (tmp_path / "users.json").read_bytes()
    with pytest.raises(RoleTooHigh, match="victor is viewer: a token cannot be operator"):
        users.add_token("victor", "more", Role.OPERATOR)
    with pytest.raises(UserExists, match="victor has a token export already"):
        users.add_token("victor", "export")
    with pytest.raises(BadUserName, match="expected a name"):
        users.add_token("victor", "a b")
    with pytest.raises(UnknownUser, match="there is no user eve"):
        users.add_token("eve", "export")
    with pytest.raises(UnknownToken, match="victor has no token other"):
        users.revoke_token("victor", "other")
    assert (tmp_path / "users.json").read_bytes() == before


def test_a_file_from_before_there_were_tokens_is_read(tmp_path):
    (tmp_path / "users.json").write_text(USERS)
    assert UsersFile(tmp_path).all()["ada"].tokens == ()


def add_ten(folder, first):
    for number in range(first, first + 10):
        UsersFile(folder).add(f"user{number}", Role.VIEWER, PASSWORD)


def test_none_is_lost_where_several_add_at_once(tmp_path, quick_hashes):
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=add_ten, args=(tmp_path, n)) for n in (0, 10, 20)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert len(UsersFile(tmp_path).all()) == 30


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "ä", "a/b", "a\nb", "../a", '"'])
def test_a_name_is_of_letters_that_need_no_care(tmp_path, name):
    with pytest.raises(BadUserName, match="expected a name of 1 to 64"):
        UsersFile(tmp_path).add(name, Role.VIEWER, PASSWORD)
    assert not (tmp_path / "users.json").exists()


def test_a_change_that_cannot_be_leaves_the_file_as_it_was(tmp_path, quick_hashes):
    users = UsersFile(tmp_path)
    users.add("ada", Role.ADMIN, PASSWORD)
    before = (tmp_path / "users.json").read_bytes()
    with pytest.raises(UserExists, match="there is a user ada already"):
        users.add("ada", Role.VIEWER, PASSWORD)
    for change in (lambda: users.remove("eve"), lambda: users.set_password("eve", PASSWORD)):
        with pytest.raises(UnknownUser, match="there is no user eve"):
            change()
    for bad in ("", "eleven char", "x" * 1025):
        with pytest.raises(BadPassword, match="12 to 1024 characters"):
            users.set_password("ada", bad)
    assert (tmp_path / "users.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["users.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "users": []}',
        '{"version": 1, "users": [{"name": "ada"}]}',
        USERS.replace("admin", "anyone"),
        USERS.replace('"admin"', "3"),
        USERS.replace('"ada"', "1"),
        USERS.replace("since", "until"),
        "\0",
    ],
)
def test_a_damaged_file_is_an_error_and_never_no_users(tmp_path, content):
    (tmp_path / "users.json").write_text(content)
    with pytest.raises(UsersUnreadable, match=r"users\.json cannot be used: it is damaged"):
        UsersFile(tmp_path).all()


def test_a_file_as_it_should_be_is_read(tmp_path):
    (tmp_path / "users.json").write_text(USERS)
    assert list(UsersFile(tmp_path).all()) == ["ada"]


def test_a_file_that_became_unreadable_is_an_error_and_not_what_was_read_before(
    tmp_path, quick_hashes
):
    users = UsersFile(tmp_path)
    users.add("ada", Role.ADMIN, PASSWORD)
    users.all()
    (tmp_path / "users.json").unlink()
    (tmp_path / "users.json").mkdir()
    with pytest.raises(UsersUnreadable, match="directory"):
        users.all()


def test_passwords_are_hashed_with_argon2id_as_rfc_9106_recommends():
    found = extract_parameters(passwords.hash_of(PASSWORD))
    assert (found.type.name, found.memory_cost, found.time_cost) == ("ID", 65536, 3)


def test_an_unknown_name_costs_as_much_as_a_wrong_password():
    kept, decoy = passwords.hash_of(PASSWORD), passwords._decoy()
    assert extract_parameters(decoy) == extract_parameters(kept)
    assert not passwords.is_password(kept, "wrong password")
    assert not passwords.is_password(None, "wrong password")


def test_the_same_characters_however_composed_are_the_same_password(quick_hashes):
    kept = passwords.hash_of("Zürich im Sommer")
    assert passwords.is_password(kept, "Zu\u0308rich im Sommer")


@pytest.mark.parametrize("kept", ["", "x", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"])
def test_a_hash_that_is_none_fits_no_password(quick_hashes, kept):
    assert not passwords.is_password(kept, "")
    assert not passwords.is_password(kept, PASSWORD)


def test_a_change_that_cannot_be_written_is_said_with_the_remedy(tmp_path, quick_hashes):
    (tmp_path / "data").symlink_to("/proc/self")  # a folder in which nobody may write
    with pytest.raises(UsersUnreadable, match=r"cannot be changed: .*; be root, or the user that"):
        UsersFile(tmp_path / "data").add("ada", Role.VIEWER, PASSWORD)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_writes_belongs_to_whom_the_folder_belongs_to(tmp_path):
    shutil.chown(tmp_path, 65534, 65534)
    write_private(tmp_path / "a", b"x")
    os.close(open_private(tmp_path / "b", os.O_WRONLY))
    for name in ("a", "b"):
        found = (tmp_path / name).stat()
        assert (found.st_uid, found.st_gid, mode(tmp_path / name)) == (65534, 65534, 0o600)


def test_private_files_are_private_under_any_umask_and_follow_no_link(tmp_path):
    before = os.umask(0)
    try:
        write_private(tmp_path / "a", b"x")
        os.close(open_private(tmp_path / "b", os.O_WRONLY))
    finally:
        os.umask(before)
    assert {mode(tmp_path / name) for name in "ab"} == {0o600}
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        open_private(tmp_path / "link", os.O_WRONLY)
    write_private(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()


def test_a_write_that_fails_leaves_what_was_and_nothing_beside_it(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "a", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_audit_trail_only_grows_by_whole_lines(tmp_path):
    trail = AuditTrail(tmp_path)
    trail.record(Deed("login", "ada", "", "10.1.2.3"))
    first = (tmp_path / "audit.log").read_bytes()
    trail.record(Deed("line\nbreak", "ada", "1.2.3"))
    both = (tmp_path / "audit.log").read_bytes()
    assert both.startswith(first)
    lines = [json.loads(line) for line in both.splitlines()]
    assert [line["action"] for line in lines] == ["login", "line\nbreak"]
    assert lines[0]["address"] == "10.1.2.3"
    assert lines[1]["target"] == "1.2.3"
    assert mode(tmp_path / "audit.log") == 0o600


def test_an_audit_trail_that_cannot_be_written_is_in_the_log(tmp_path, caplog):
    (tmp_path / "audit.log").mkdir()
    with caplog.at_level(logging.ERROR):
        AuditTrail(tmp_path).record(Deed("login", "ada"))
    assert "audit trail: not written" in caplog.text
    assert '"user": "ada"' in caplog.text
