"""Errors of the SHOW step."""


class WebError(Exception):
    """Base of all errors of this package."""


class BadListenAddress(WebError, ValueError):
    """The page cannot be served where and how the settings say; the message begins with the key."""


class NobodyMayLogIn(WebError):
    """The page is reached from elsewhere and has no users."""


class LedgerUnavailable(WebError):
    """The ledger is there but cannot be read at the moment."""


class OutsideResults(WebError):
    """The ledger names a file that is not below the results folder."""


class FileGone(WebError):
    """The ledger names a file that is no longer there."""


class UsersUnreadable(WebError):
    """The file of the users cannot be read, so nobody is let in."""


class UnknownUser(WebError, LookupError):
    """There is no user of that name."""


class UserExists(WebError, ValueError):
    """There is a user of that name already."""


class UnknownToken(WebError, LookupError):
    """The user has no token of that name."""


class RoleTooHigh(WebError, ValueError):
    """A token would be allowed more than its user."""


class BadUserName(WebError, ValueError):
    """What was given cannot be the name of a user."""


class BadPassword(WebError, ValueError):
    """What was given is not taken for a password."""


class NodeUnheard(WebError):
    """Another node gave no answer that can be used; the message says why.

    Attributes
    ----------
    remedy
        What a person can do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class NotLoggedIn(WebError):
    """The request needs a login (401)."""


class NotAllowed(WebError):
    """The role of the person does not let them do that (403)."""


class NamesHidden(NotAllowed):
    """The answer would name patients, which this person may not see (403)."""


class BadToken(WebError):
    """A request to change something without the token of its page (403)."""


class ActionRefused(WebError):
    """What was asked for cannot be done; the message says why, to who asked (409)."""


class TooManyTries(WebError):
    """Too many logins failed (429).

    Attributes
    ----------
    seconds
        How long to wait.
    is_first
        Whether none was refused since the last that was judged.
    """

    def __init__(self, seconds: float, *, is_first: bool = False) -> None:
        super().__init__(f"too many tries; again in {seconds:.0f} s")
        self.seconds = seconds
        self.is_first = is_first


class NoRoom(Exception):
    """The disk has no room for what is uploaded."""


class NotViewable(Exception):
    """A volume cannot be looked at; the message says why, without its name."""
