"""The end of the page's certificate is said ahead. Not covered: chains of several authorities."""

import http.client
import re
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from web_status.certificates import certificate_warning
from web_status.settings import WebSettings


@pytest.fixture
def files(tmp_path):
    """Function that makes a certificate which ends in so many days; the settings that name it."""

    def make(days: float) -> dict[str, object]:
        end = datetime.now(UTC) + timedelta(days=days)
        issued = trustme.CA().issue_cert("127.0.0.1", not_after=end)
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "page.pem")
        return {"certificate": tmp_path / "page.pem", "private_key": tmp_path / "page.pem"}

    return make


@pytest.mark.parametrize(
    ("days", "warning"),
    [
        (-1, "has ended, so browsers refuse it"),
        (0.2, r"ends on 20\d\d-\d\d-\d\d, in 0 days"),
        (29.9, r"ends on 20\d\d-\d\d-\d\d, in 30 days: put a new one in its place"),
    ],
)
def test_a_certificate_near_or_past_its_end_is_warned_of(files, days, warning):
    found = certificate_warning(WebSettings(**files(days)))
    assert found is not None
    assert re.search(warning, found)


def test_a_good_certificate_and_plain_http_are_no_reason_to_warn(files):
    assert certificate_warning(WebSettings(**files(31))) is None
    assert certificate_warning(WebSettings()) is None


def test_a_running_page_says_it_and_goes_on_with_https(serve_page, files, caplog, wait_until):
    page = serve_page(**files(5))
    wait_until(lambda: "the page's certificate ends on" in caplog.text, "the warning")
    with pytest.raises((OSError, http.client.HTTPException)):
        page.get("/")  # without TLS
