"""A site to examine: a configuration in a folder of its own."""

import pytest

from safelight.config import load_config
from safelight.doctor_site import Site


@pytest.fixture
def site(tmp_path):
    """Function that makes a site of TOML; its data folder is ``data`` and exists, for us alone."""

    def make(toml="", data="data"):
        file = tmp_path / "safelight.toml"
        file.write_text(f'[storage]\ndata = "{data}"\n{toml}')
        (tmp_path / "data").mkdir(mode=0o700, exist_ok=True)
        return Site(load_config(file, {}), file)

    return make
