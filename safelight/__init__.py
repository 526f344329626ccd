"""Safelight wires the stages together: command line, configuration, daemon.

`Client` is what other programs use. It is looked up when it is asked for: the command line
answers before all that it needs is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safelight.client import Client, ProcessResult, Progress

__all__ = ["Client", "ProcessResult", "Progress"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("safelight.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
