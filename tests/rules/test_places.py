"""Where in a text rules and errors stand."""

import pytest

from rules.errors import RuleError
from rules.places import line_of, sections

TEXT = """\
# The site's rules

# About A
[[rule]]
name = "A"
match = { Modality = "MR", any = [
    { ImageType = { contains = "X" } },
    { "(0019,SIEMENS MR HEADER,0C)" = 1 },
] }

# About B
  [[ rule ]]
name = 'B'  # its name
[rule.run]
qc = {}
[rule.run.convert]
format = "nifti"

[[rule]]
match = {}
"""


def test_a_section_begins_with_the_comment_above_it_and_ends_before_the_next():
    first, second, third = sections(TEXT)
    assert (first.first, second.first, third.first) == (4, 12, 19)
    assert first.lines[-1] == ""
    assert second.lines[0] == "  [[ rule ]]"
    assert [one.name for one in sections(TEXT)] == ["A", "B", ""]
    assert sections("# nothing\n") == ()


@pytest.mark.parametrize(
    ("rule", "key", "line"),
    [
        ("A", "match.any.ImageType.contains", 7),
        ("A", "match.(0019,SIEMENS MR HEADER,0C)", 8),
        ("A", "match", 6),
        ("A", "then", 4),
        ("B", "run.convert", 16),
        ("B", "run.convert.format", 17),
        ("number 3", "name", 19),
        ("nowhere", "name", None),
    ],
)
def test_an_error_of_a_rule_is_in_the_line_of_its_key_or_of_the_rule(rule, key, line):
    assert line_of(TEXT, RuleError("a.toml", rule, key, "wrong")) == line


def test_a_name_that_is_there_twice_is_wrong_where_it_comes_again():
    twice = '[[rule]]\nname = "A"\n[[rule]]\nname = "A"\n'
    assert line_of(twice, RuleError("a.toml", "A", "name", "another has it")) == 4


@pytest.mark.parametrize(
    ("key", "problem", "line"),
    [
        ("TOML", "Expected '=' after a key (at line 5, column 8)", 5),
        ("TOML", "Unclosed array (at end of document)", 20),
        ("rules", "unknown key", None),
    ],
)
def test_an_error_of_the_file_is_where_toml_says(key, problem, line):
    assert line_of(TEXT, RuleError("a.toml", "(file)", key, problem)) == line


def test_an_unknown_table_of_the_file_is_found():
    text = "[[rule]]\n[[rules]]\n"
    assert line_of(text, RuleError("a.toml", "(file)", "rules", "unknown key")) == 2
