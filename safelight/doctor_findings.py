"""What ``safelight doctor`` finds: each finding with its remedy."""

from dataclasses import dataclass
from typing import Literal, get_args

from safelight.errors import in_one_line

Level = Literal["ok", "warning", "problem"]
Group = Literal[
    "configuration",
    "packages",
    "codecs",
    "ports",
    "folders",
    "disk",
    "filesystem",
    "inotify",
    "clock",
    "ledger",
    "certificates",
    "cluster",
    "senders",
    "audit",
    "pacs",
    "notifications",
]
GROUPS: tuple[Group, ...] = get_args(Group)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what a person does about it; nothing where it is well.

    Neither has patient data.
    """

    level: Level
    what: str
    remedy: str = ""


def ok(what: str) -> Finding:
    """It is well."""
    return Finding("ok", what)


def warning(what: str, remedy: str) -> Finding:
    """It works, and a person should know."""
    return Finding("warning", what, remedy)


def problem(what: str, remedy: str) -> Finding:
    """It does not work, or data are in danger."""
    return Finding("problem", what, remedy)


def failed(error: Exception, remedy: str) -> Finding:
    """A problem that an error of ours tells; most of them end with their own remedy.

    Parameters
    ----------
    error
        Its message is ``what is wrong; what to do``, or ``what (status): what to do``.
    remedy
        What to do where the message does not say.
    """
    told = in_one_line(error)
    separator = next((one for one in ("): ", "; ") if one in told), "; ")
    what, _, own = told.partition(separator)
    return problem(what + (")" if own and separator == "): " else ""), own or remedy)
