"""The configuration: sources, precedence, errors. Every key in the docs: test_docs.py."""

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from safelight import config as config_module
from safelight.config import Config, load_config
from safelight.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    """Function that loads a configuration from TOML text, .env text and an environment."""

    def read(toml="", *, dotenv="", environ=(), options=()):
        file = tmp_path / "safelight.toml"
        file.write_text(toml)
        if dotenv:
            (tmp_path / ".env").write_text(dotenv)
        return load_config(file, dict(environ), dict(options))

    return read


def test_without_a_file_the_embedded_defaults_are_in_force(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(None, {})
    assert (config.dicom.ae_title, config.dicom.port) == ("SAFELIGHT", 11112)
    assert config.dicom.accept == ()
    assert config.web.listen == "127.0.0.1:8080"
    assert config.storage.data == tmp_path / "safelight-data"


def test_the_example_of_the_documentation_is_read(load):
    config = load(
        """
        [dicom]
        ae_title = "SAFELIGHT"
        [[dicom.accept]]
        calling_ae = "PACS1"
        addresses = ["10.1.2.0/24"]
        [[pacs]]
        name = "main"
        ae_title = "PACS1"
        host = "pacs.hospital.local"
        port = 104
        [series]
        quiet_seconds = 10
        quiet_seconds_by_modality = { MR = 60, US = 30 }
        [storage]
        data = "/var/lib/safelight"
        [processing]
        workers = 2
        [qc.CT]
        dynamic_range_min = 25
        """
    )
    assert config.dicom.accept[0].reaches("10.1.2.7")
    assert not config.dicom.accept[0].reaches("10.1.3.7")
    assert config.pacs[0].host == "pacs.hospital.local"
    assert config.series.quiet_seconds_for("MR", "CT1") == 60
    assert config.series.quiet_seconds_for("CT", "CT1") == 10
    assert config.storage.ledger == Path("/var/lib/safelight/ledger.sqlite")
    thresholds = config.processor.qc.thresholds_for("CT")
    assert (thresholds.dynamic_range_min, thresholds.std_min) == (25, 5)


def test_the_command_line_outranks_the_environment_which_outranks_dotenv_which_outranks_toml(load):
    toml = "[dicom]\nport = 1001\nae_title = 'TOML'"
    assert load(toml).dicom.port == 1001
    assert load(toml, dotenv="CALLING_PORT=1002").dicom.port == 1002
    assert load(toml, environ={"CALLING_PORT": "1003"}).dicom.port == 1003
    options = {("dicom", "port"): 1004}
    config = load(toml, environ={"CALLING_PORT": "1003"}, options=options)
    assert config.dicom.port == 1004
    assert config.dicom.ae_title == "TOML"


def test_the_names_of_the_seed_work_from_dotenv(load):
    config = load(
        dotenv="PACS_IP=127.0.0.1\nPACS_PORT=1024\nCALLING_AET=cllient\n"
        "CALLED_AET=pacsServer\nCALLING_PORT=1023\n"
        "QC_CT_STD_MIN=7\nQC_DEFAULT_LOW_RATIO_THRESHOLD=0.5\nQC_DX_UNIQUE_RATIO_MIN=0.002\n"
    )
    (pacs,) = config.pacs
    assert (pacs.host, pacs.port, pacs.ae_title) == ("127.0.0.1", 1024, "pacsServer")
    assert (config.dicom.ae_title, config.dicom.port) == ("cllient", 1023)
    qc = config.processor.qc
    assert qc.thresholds_for("CT").std_min == 7
    assert qc.thresholds_for("DX").unique_ratio_min == 0.002
    assert qc.thresholds_for("DX").std_min == 3
    assert qc.thresholds_for("PT").low_ratio_threshold == 0.5


def test_the_environment_changes_the_first_pacs_of_the_file(load):
    toml = '[[pacs]]\nname = "a"\nae_title = "A"\nhost = "h"\nport = 104'
    (pacs,) = load(toml, environ={"PACS_PORT": "105"}).pacs
    assert (pacs.name, pacs.port, pacs.ae_title) == ("a", 105, "A")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("dicom = 5", "[dicom]: expected a table, got 5"),
        ("pacs = 5", "[pacs]: expected a list, in brackets, got 5"),
        ("pacs = [5]", "[pacs]: expected a table, got 5"),
        ("[pacs]\nname = 'a'", "[pacs]: expected tables, each as [[pacs]]"),
        ("qc = 5", "[qc]: expected a table, got 5"),
        ("[qc]\nCT = 5", "[qc] CT: expected a table, got 5"),
    ],
)
def test_what_is_no_table_is_told_whatever_the_environment_has(load, toml, message):
    pacs = {"PACS_IP": "h", "PACS_PORT": "104", "CALLED_AET": "A"}
    names = {"CALLING_AET": "A", "QC_CT_STD_MIN": "3", **pacs}
    for environ in ({}, names):
        with pytest.raises(ConfigError) as caught:
            load(toml, environ=environ)
        assert str(caught.value) == f"configuration: {message}"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[series]\nquiet_second = 1", "[series] quiet_second: unknown key (did you mean quiet_se"),
        ("[serie]\n", "[serie]: unknown key (did you mean series?)"),
        ("[dicom]\nport = 'abc'", "[dicom] port: input should be a valid integer"),
        ("[dicom]\nport = 99999", "[dicom] port: input should be less than or equal to 65535"),
        ("[dicom]\nae_title = ''", "[dicom] ae_title: expected an AE title of 1 to 16"),
        ("[dicom]\nae_title = 'LONGER_THAN_SIXTEEN'", "[dicom] ae_title: expected an AE title"),
        ("[[dicom.accept]]\ncalling_ae = 'A'", "[dicom.accept] addresses: missing"),
        (
            "[[dicom.accept]]\ncalling_ae = 'A'\naddresses = ['10.1.2.0/99']",
            "[dicom.accept] addresses: expected networks such as 10.1.2.0/24; '10.1.2.0/99'",
        ),
        ("[[dicom.accept]]\ncalling = 'A'", "[dicom.accept] calling: unknown key (did you mean"),
        ("[[pacs]]\nname = 'a'", "[pacs] ae_title: missing"),
        ("[series]\nquiet_seconds = 0", "[series] quiet_seconds: input should be greater than 0"),
        ("qc = 5", "[qc]: expected a table, got 5"),
        ("[qc]\nCT = 5", "[qc] CT: expected a table"),
        ("[qc.CT]\nstd = 1", "[qc] std: unknown key (did you mean std_min?)"),
        ("[web]\nlisten = 'x.example:8080'", "[web] listen"),
        ("[web]\nlisten = '0.0.0.0:8080'", "[web] hosts"),
        ("[dicom]\nproxy_from = ['lb']", "[dicom] proxy_from: expected networks such as"),
        ("[[nodes]]\nname = 'b'", "[nodes] url: missing; a node has url and token, or data"),
        ("[[nodes]]\nname = 'b'\ndata = 'b'\n" * 2, "[nodes] name: 'b' is given twice"),
        (
            "[[pacs]]\nname = 'a'\nae_title = 'A'\nhost = 'a'\nport = 104\n" * 2,
            "[pacs] name: 'a' is given twice",
        ),
        (
            "[processing]\nengine = 'dask'",
            "[processing] scheduler: expected its address, such as tcp",
        ),
        (
            "[processing]\nengine = 'dask'\nscheduler = 'tls://h:8786'",
            "[processing] scheduler: tls:// needs the files of [processing.tls]",
        ),
        (
            "[processing]\nengine = 'slurm'",
            "[processing] engine: input should be 'local' or 'dask'",
        ),
        ("[dicom", "is not TOML"),
    ],
)
def test_an_error_names_table_and_key_and_what_was_expected(load, toml, message):
    with pytest.raises(ConfigError) as caught:
        load(toml)
    assert str(caught.value).startswith("configuration: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (
            "[[dicom.accept]]\ncalling_ae = 'A'\naddresses = []\nusername = 'u'\npasscode = 471147",
            "[dicom.accept] passcode",
        ),
        ("[smtp]\npassword = 471147", "[smtp] password"),
        ("[[notify]]\nname = 'a'\nsecret = ['471147']", "[notify] secret"),
        ("[[smtp]]\npassword = '471147'", "[smtp]: expected a table"),
        ("[pacs]\npassword = '471147'", "[pacs]: expected tables, each as [[pacs]]"),
    ],
)
def test_an_error_about_a_secret_does_not_tell_it(load, toml, told):
    with pytest.raises(ConfigError) as caught:
        load(toml)
    assert str(caught.value).startswith(f"configuration: {told}")
    assert "471147" not in str(caught.value)


def test_an_absent_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        load_config(tmp_path / "absent.toml", {})


def test_a_wrong_value_in_the_environment_is_an_error_too(load):
    with pytest.raises(ConfigError, match=r"\[dicom\] port: input should be a valid integer"):
        load(environ={"CALLING_PORT": "many"})


def test_asking_for_a_pacs_that_is_not_configured_names_those_that_are(load):
    config = load('[[pacs]]\nname = "main"\nae_title = "A"\nhost = "h"\nport = 104')
    assert config.pacs_named(None).name == "main"
    with pytest.raises(ConfigError, match="'other'; known: main"):
        config.pacs_named("other")
    with pytest.raises(ConfigError, match=r"no \[\[pacs\]\] is configured"):
        load().pacs_named(None)


def test_the_configuration_can_be_handed_to_another_process(load):
    config = load("[qc.CT]\nstd_min = 4")
    assert pickle.loads(pickle.dumps(config)) == config


def test_every_table_is_immutable(load):
    config = load()
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(value, dataclasses.fields(value)[0].name, None)


def test_masks_are_read_and_checked(load):
    mask = '[[deidentify.mask]]\nmodality = "US"\nrectangles = '
    (found,) = load(mask + "[[0, 0, 640, 40]]").deidentify.mask
    assert (found.modality, found.rectangles) == ("US", ((0, 0, 640, 40),))
    with pytest.raises(ConfigError, match=r"rectangles: expected \[x, y, width, height\]"):
        load(mask + "[[0, 0, 640, 0]]")
    with pytest.raises(ConfigError, match=r"\[deidentify\] uid_root: expected a UID"):
        load('[deidentify]\nuid_root = "site"')


def test_a_cluster_is_configured_with_files_beside_the_configuration(load):
    config = load(
        '[processing]\nengine = "dask"\nscheduler = "tls://h:8786"\nresources = { MEMORY = 4 }\n'
        '[processing.tls]\nauthorities = "ca.pem"\ncertificate = "a.pem"\nprivate_key = "a.key"\n'
    )
    assert config.processing.tls.private_key.is_absolute()
    assert config.processing.resources == {"MEMORY": 4}
    assert config.processing.transfer == "shared"


def test_without_dask_it_is_said_what_to_install(load, monkeypatch):
    monkeypatch.setattr(config_module, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'safelight\[dask\]'"):
        load('[processing]\nengine = "dask"\nscheduler = "tcp://h:8786"\n')


def test_nothing_of_dask_is_imported_where_jobs_run_here():
    check = (
        "import sys, safelight.coordinator, safelight.config as c, safelight.cluster as k;"
        "assert k.cluster_of(c.Config()) is None; assert 'distributed' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
