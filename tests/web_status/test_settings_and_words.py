"""Where the page may listen, and how it puts things. Not covered: the wording itself."""

import doctest
from gettext import NullTranslations
from pathlib import Path

import pytest

from web_status import details, languages, login, throttle, veil, wording, words
from web_status.settings import WebSettings

ENGLISH = wording.Wording(NullTranslations())


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:81", "::1", 81),
    ],
)
def test_the_page_listens_on_a_loopback_address(listen, host, port):
    settings = WebSettings(listen)
    assert (settings.host, settings.port) == (host, port)


@pytest.mark.parametrize(
    "listen",
    [
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "",
        "x:80",
        "example.org:80",
        "127.0.0.1:-1",
        "127.0.0.1:\u0661",
    ],
)
def test_any_other_address_is_refused_with_what_is_expected(listen):
    with pytest.raises(ValueError, match=r"listen: expected an address and a port, such as 127"):
        WebSettings(listen)


@pytest.mark.parametrize(
    ("settings", "is_public", "url"),
    [
        (WebSettings(), False, "http://127.0.0.1:8080"),
        (WebSettings("10.1.2.3:80"), True, "http://10.1.2.3:80"),
        (WebSettings("127.0.0.1:8080", ("s.example",)), True, "http://127.0.0.1:8080"),
        (WebSettings("[::]:443", ("s.example",)), True, "http://s.example:443"),
        (WebSettings("[fd00::1]:443"), True, "http://[fd00::1]:443"),
    ],
)
def test_a_page_that_is_reached_from_elsewhere_is_public_also_behind_a_proxy(
    settings, is_public, url
):
    assert (settings.is_public, settings.url) == (is_public, url)


def test_requests_may_name_this_machine_the_address_and_the_hosts_only():
    settings = WebSettings("10.1.2.3:80", ("S.example",))
    names = {"127.0.0.1", "localhost", "::1", "10.1.2.3", "s.example"}
    assert settings.allowed_hosts == names
    assert "0.0.0.0" not in WebSettings("0.0.0.0:80", ("s.example",)).allowed_hosts


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listen": "0.0.0.0:80"}, r"hosts: missing"),
        ({"listen": "[::]:80"}, r"hosts: missing"),
        ({"hosts": ("s.example:80",)}, r"hosts: expected names without port"),
        ({"hosts": ("https://s.example",)}, r"hosts: expected names without port"),
        ({"hosts": ("",)}, r"hosts: expected names without port"),
        ({"certificate": Path("a.pem")}, r"private_key: missing"),
        ({"private_key": Path("a.pem")}, r"certificate: missing"),
    ],
)
def test_settings_that_would_leave_a_door_open_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        WebSettings(**settings)


@pytest.mark.parametrize("module", [words, wording, languages, details, throttle, login, veil])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1, "1 byte"),
        (1000, "1.00 kB"),
        (999_499, "999 kB"),
        (999_600, "1.00 MB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_change_unit_where_three_digits_end(number, shown):
    assert ENGLISH.size(number) == shown


def test_every_known_error_has_its_own_advice_and_an_unknown_one_has_some():
    known = [ENGLISH.advice(f"{name}: something") for name in wording.ADVICE]
    assert len(set(known)) == len(known)
    assert "in the spool" in ENGLISH.advice("Surprise: never seen")


def test_details_of_any_shape_become_texts_and_tables():
    found = {
        entry.label: entry
        for entry in details.entries(
            {
                "low_quality": 1,
                "affine_ras": [[1.0, 0.0], [0.0, -2.5]],
                "images": [{"uid": "1.2", "measured": {"std": 3.25}}, {"uid": "1.3"}],
                "header": {"missing_positions": 2, "lossy_ratio": None},
                "files": {"a.nii.gz": [f"1.2.{n}" for n in range(30)]},
                "nothing": [],
            }
        )
    }
    assert found["low quality"].text == "yes"
    assert found["affine (RAS, mm)"].table.rows == (("1", "0"), ("0", "-2.5"))
    images = found["images"].table
    assert images.headings == ("SOP Instance UID", "standard deviation (stored values)")
    assert images.rows == (("1.2", "3.25"), ("1.3", "\u2013"))
    assert found["header: missing positions"].text == "2"
    assert found["header: lossy compression, times smaller"].text == "\u2013"
    assert found["files: a.nii.gz"].long
    assert found["nothing"].text == "\u2013"
