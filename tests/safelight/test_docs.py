"""The documentation against the code: every key, command and processor stands in it."""

import dataclasses
import re
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest

from listener.settings import AcceptRule
from processor.registry import KINDS, PROCESSORS
from processor.settings import Mask
from query.settings import PacsSettings
from rules.conditions import OPERATORS
from rules.match import FACTS
from rules.parse import RULE_KEYS, parse_rules
from rules.texts import RuleText
from safelight.cli import cli
from safelight.config import Config
from safelight.config_sources import SEED_NAMES
from safelight.doctor_findings import GROUPS

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
RULES = (ROOT / "docs" / "rules.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
README = (ROOT / "README.md").read_text()


def settings_classes():
    hints = get_type_hints(Config)
    inner = [kind for hint in hints.values() for kind in (hint, *get_args(hint))]
    return [kind for kind in inner if dataclasses.is_dataclass(kind)] + [
        AcceptRule,
        PacsSettings,
        Mask,
    ]


KEYS = sorted({f.name for kind in settings_classes() for f in dataclasses.fields(kind)})


@pytest.mark.parametrize("key", KEYS)
def test_every_configuration_key_is_explained(key):
    assert re.search(rf"`{key}`", CONFIGURATION)


@pytest.mark.parametrize("table", [field.name for field in dataclasses.fields(Config)])
def test_every_table_has_a_section(table):
    assert re.search(rf"^## `\[+{table}", CONFIGURATION, re.MULTILINE)


@pytest.mark.parametrize("name", SEED_NAMES)
def test_every_environment_name_is_explained(name):
    assert f"`{name}`" in CONFIGURATION


WORDS = [
    *(*FACTS, *OPERATORS, *RULE_KEYS, "any", "all", "not", "present", "if_absent", "when"),
    *(finding for kind in KINDS.values() for finding in kind.findings),
]


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_a_rule_is_explained(word):
    assert re.search(rf"\b{word}\b", RULES)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_processor_is_explained(processor):
    assert re.search(rf"^\| `{processor}` \|", RULES, re.MULTILINE)


@pytest.mark.parametrize("command", cli.commands)
def test_every_command_is_in_the_readme(command):
    assert f"safelight {command}" in README


@pytest.mark.parametrize("command", cli.commands["rules"].commands)
def test_every_command_about_rules_is_explained(command):
    assert f"safelight rules {command}" in RULES


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_of_the_doctor_is_explained(group):
    assert re.search(rf"^\| `{group}` \|", OPERATIONS, re.MULTILINE)


COMMANDS = [*cli.commands.values(), *cli.commands["rules"].commands.values()]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(command):
    assert command.help
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help


def test_the_rules_of_the_documentation_are_good_rules():
    examples = re.findall(r"```toml\n(.*?)```", RULES, re.DOTALL)
    read = [parse_rules([RuleText("rules.md", example)], KINDS) for example in examples]
    assert [len(rules) for rules in read] == [2, 3]


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_no_link_between_documents_is_broken(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target
