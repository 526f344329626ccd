"""Errors of the wiring."""


class SafelightError(Exception):
    """Base of all errors of this package; its text is the message a person reads."""


class ConfigError(SafelightError, ValueError):
    """The configuration is wrong: the key is named, and what was expected."""


class PortInUse(SafelightError, OSError):
    """Another process listens where we should; the message says which, where that is known."""


class SpoolInUse(SafelightError, OSError):
    """Another Safelight works on this data folder."""


class ChildFailed(SafelightError):
    """A process of the daemon ended again and again."""
