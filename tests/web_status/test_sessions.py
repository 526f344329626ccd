"""Sessions and the throttle by the clock, and that neither grows without end."""

import pytest

from web_status import sessions as sessions_module
from web_status import throttle as throttle_module
from web_status.errors import TooManyTries
from web_status.roles import Role
from web_status.sessions import SESSIONS_OF_ONE_MAX, Sessions, is_id, new_id
from web_status.throttle import TRIES_OF_ADDRESS, TRIES_OF_NAME, WINDOW_SECONDS, Throttle
from web_status.users import User


def user(name: str = "ada") -> User:
    return User(name, Role.ADMIN, "hash", "")


@pytest.fixture
def clock():
    """A list whose first item is the time."""
    return [0.0]


@pytest.fixture
def sessions(clock):
    """Sessions that end after 100 s without use, and after 300 s."""
    return Sessions(100, 300, lambda: clock[0])


@pytest.fixture
def throttle(clock):
    """A throttle on that clock."""
    return Throttle(lambda: clock[0])


def test_ids_are_random_and_of_a_form_that_is_checked():
    assert len({new_id() for _ in range(100)}) == 100
    assert is_id(new_id())
    for text in ("", "x", new_id() + "=", new_id()[:-1] + "é", new_id()[:-1] + "\n", "a" * 42):
        assert not is_id(text)


def test_a_session_ends_without_use_and_some_time_after_it_began(sessions, clock):
    first = sessions.begin(user())
    clock[0] = 99
    assert sessions.find(first, is_use=False) == user()
    clock[0] = 100
    assert sessions.find(first, is_use=True) is None
    second = sessions.begin(user())
    for clock[0] in range(150, 400, 50):
        assert sessions.find(second, is_use=True) == user()
    clock[0] = 400
    assert sessions.find(second, is_use=True) is None
    assert len(sessions) == 0


def test_no_other_id_opens_a_session(sessions):
    session_id = sessions.begin(user())
    assert session_id not in repr(vars(sessions))  # only its digest is kept
    for other in ("", session_id[:-1], session_id + "A", new_id()):
        assert sessions.find(other, is_use=True) is None
    sessions.end(session_id)
    sessions.end(session_id)
    assert sessions.find(session_id, is_use=True) is None


def test_the_session_of_a_user_used_least_makes_room_for_one_more(sessions, clock):
    other = sessions.begin(user("olga"))
    own = []
    for clock[0] in range(SESSIONS_OF_ONE_MAX):
        own.append(sessions.begin(user()))
    clock[0] += 1
    sessions.find(own[0], is_use=True)
    sessions.begin(user())
    assert sessions.find(own[1], is_use=False) is None
    assert sessions.find(own[0], is_use=False) == user()
    assert sessions.find(other, is_use=False) == user("olga")
    assert len(sessions) == SESSIONS_OF_ONE_MAX + 1


def test_sessions_are_bounded_and_ended_ones_leave_at_the_next_login(sessions, clock, monkeypatch):
    monkeypatch.setattr(sessions_module, "SESSIONS_MAX", 5)
    for number in range(20):
        sessions.begin(user(f"u{number}"))
    assert len(sessions) == 5
    clock[0] = 1000
    sessions.begin(user())
    assert len(sessions) == 1


def fail(throttle, times, address="10.1.2.3", name="ada"):
    for _ in range(times):
        throttle.begin(address, name)


def test_a_name_may_be_tried_so_often_from_everywhere_together(throttle, clock):
    for number in range(TRIES_OF_NAME):
        clock[0] = number
        throttle.begin(f"10.1.2.{number}", "ada")
    with pytest.raises(TooManyTries) as refused:
        throttle.begin("10.9.9.9", "ada")
    assert refused.value.seconds == WINDOW_SECONDS - (TRIES_OF_NAME - 1)
    throttle.begin("10.9.9.9", "olga")
    clock[0] = WINDOW_SECONDS
    throttle.begin("10.9.9.9", "ada")  # the first of them is long ago
    with pytest.raises(TooManyTries):
        throttle.begin("10.9.9.9", "ada")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("10.1.2.3", "10.1.2.4", False),
        ("fd00::1:2:3:4", "fd00::9", True),
        ("fd00::1", "fd00:0:0:1::1", False),
        ("::ffff:10.1.2.3", "10.1.2.3", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_an_address_may_try_so_many_names(throttle, first, second, same):
    for number in range(TRIES_OF_ADDRESS):
        throttle.begin(first, f"name{number}")
    if same:
        with pytest.raises(TooManyTries):
            throttle.begin(second, "ada")
    else:
        throttle.begin(second, "ada")


def test_a_login_takes_back_its_own_try_and_no_other(throttle):
    fail(throttle, TRIES_OF_NAME - 1)
    for _ in range(30):
        throttle.begin("10.1.2.3", "ada")
        throttle.succeeded("10.1.2.3", "ada")
    throttle.begin("10.1.2.3", "ada")
    with pytest.raises(TooManyTries):
        throttle.begin("10.1.2.3", "ada")


def test_a_login_leaves_nothing_behind(throttle):
    throttle.begin("10.1.2.3", "ada")
    throttle.succeeded("10.1.2.3", "ada")
    assert len(throttle) == 0


def test_only_the_first_refusal_of_a_row_is_worth_writing_down(throttle, clock):
    fail(throttle, TRIES_OF_NAME)
    found = []
    for clock[0] in (1, 2, 3, WINDOW_SECONDS, WINDOW_SECONDS + 1, WINDOW_SECONDS + 2):
        try:
            fail(throttle, TRIES_OF_NAME + 1)
        except TooManyTries as refused:
            found.append(refused.is_first)
    assert found == [True, False, False, True, False, False]


def test_what_is_remembered_of_failures_is_bounded(throttle, monkeypatch):
    monkeypatch.setattr(throttle_module, "REMEMBERED_MAX", 50)
    fail(throttle, TRIES_OF_NAME)
    for number in range(500):
        throttle.begin(f"10.1.{number // 250}.{number % 250}", "x" * 60_000 + str(number))
        if number == 5:
            with pytest.raises(TooManyTries):
                throttle.begin("10.9.9.9", "ada")
        if number == TRIES_OF_NAME - 1:
            break
    for number in range(500):
        throttle.begin(f"10.2.{number // 250}.{number % 250}", f"name{number}")
    assert len(throttle) == 50
    assert all(len(name) < 100 for _, name in throttle._tries)
