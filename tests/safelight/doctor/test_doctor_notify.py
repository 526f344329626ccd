"""What the doctor says of notifications: the way is open, or not, and nobody is told anything."""

from safelight.doctor_notify import notifications


def test_a_target_that_nobody_reaches_is_a_problem_with_a_remedy(site, free_port):
    port = free_port()
    toml = f'[[notify]]\nname = "team"\nurl = "http://127.0.0.1:{port}/token"\n'
    (found,) = notifications(site(toml))
    assert (found.level, found.remedy) == ("problem", "is it there, and the firewall open?")
    assert found.what == f"team: 127.0.0.1:{port} cannot be reached (Connection refused)"


def test_where_nobody_is_told_there_is_nothing_to_say(site):
    assert list(notifications(site())) == []
