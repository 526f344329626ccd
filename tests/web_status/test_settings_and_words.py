"""Where the page may listen, and how it puts things. Not covered: the wording itself."""

import doctest

import pytest

from web_status import details, words
from web_status.settings import WebSettings


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
        "0.0.0.0:8080",
        "10.1.2.3:80",
        "[::]:80",
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
    with pytest.raises(ValueError, match=r"expected a loopback address and a port, such as 127"):
        WebSettings(listen)


@pytest.mark.parametrize("module", [words, details])
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
    assert words.size(number) == shown


def test_every_known_error_has_its_own_advice_and_an_unknown_one_has_some():
    known = [words.advice(f"{name}: something") for name in words._ADVICE]
    assert len(set(known)) == len(known)
    assert "in the spool" in words.advice("Surprise: never seen")


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
