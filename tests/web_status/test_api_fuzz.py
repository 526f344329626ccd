"""Requests that Schemathesis makes up from the description, good and bad ones: `make fuzz-api`.

It is in an environment of its own, so the other tests do without it. What is described is tried
with requests of ours in test_api_openapi.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from web_status.api.operation import PREFIX

SCHEMATHESIS = Path(sys.prefix) / "fuzz" / "bin" / "schemathesis"
_SECONDS = 300
# Bad requests that are too large are refused as such.
_CONFIGURATION = """[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422]
"""


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="`make fuzz-api` installs it")
def test_no_request_made_up_from_the_description_meets_a_failure(
    page, users, tell_everything, tmp_path
):
    tell_everything()
    secret = users.add_token("ada", "fuzz")
    (tmp_path / "schemathesis.toml").write_text(_CONFIGURATION)
    command = [
        *(SCHEMATHESIS, "run", f"{page.url}{PREFIX}/openapi.json"),
        *("--header", f"Authorization: Bearer {secret}", "--max-time", str(_SECONDS)),
        # It sends forms whose fields have names that no form can carry, and calls them good.
        *("--exclude-checks", "positive_data_acceptance"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-20_000:]
