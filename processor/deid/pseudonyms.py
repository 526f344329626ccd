"""Pseudonyms: HMAC-SHA256 of a value under the site key, so that they are the same everywhere.

Without the key nobody can compute them, nor try out whether a guess is right.
"""

import hmac
from base64 import b32encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

UUID_ROOT = "2.25"
_LONGEST_UID = 64
_MOST_DAYS = 3650
_STANDARD_UIDS = "1.2.840.10008."


@dataclass(frozen=True)
class Pseudonyms:
    """Those of one site.

    Attributes
    ----------
    key : bytes
        The site key.
    uid_root : str
        What UIDs begin with: ``2.25`` (PS3.5 B.2), or a root of the site's own.
    """

    key: bytes = field(repr=False)
    uid_root: str = UUID_ROOT

    def code(self, kind: str, value: str) -> str:
        """Sixteen capitals and digits, which every text VR holds."""
        return b32encode(self._digest(kind, value)[:10]).decode("ascii")

    def secret(self, kind: str, value: str) -> str:
        """All 64 hexadecimal digits, for what stands in place of a digest."""
        return self._digest(kind, value).hex()

    def uid(self, value: str) -> str:
        """A UID in place of one; those that the standard defines stay."""
        if not value or value.startswith(_STANDARD_UIDS):
            return value
        number = UUID(bytes=self._digest("uid", value)[:16], version=4).int
        room = _LONGEST_UID - len(self.uid_root) - 1
        return f"{self.uid_root}.{number if room >= 39 else number % 10**room}"

    def days(self, patient: str) -> int:
        """How many days the dates of a patient go back: 1 to 3,650, the same in all studies."""
        return 1 + int.from_bytes(self._digest("days", patient)[:8]) % _MOST_DAYS

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self.key, f"{kind}\0{value}".encode(), "sha256")


def earlier(value: str, days: int) -> str:
    """A date or date-time (DA, DT) so many days earlier; "" where it names no day.

    >>> earlier("20240301123000.5+0100", 1)
    '20240229123000.5+0100'
    """
    try:
        day = datetime.strptime(value[:8], "%Y%m%d") - timedelta(days=days)  # noqa: DTZ007
    except (ValueError, OverflowError):
        return ""
    return f"{day.year:04d}{day.month:02d}{day.day:02d}{value[8:]}"
