"""The tables of docs/conformance.md, made from those the code itself works with.

``python -m safelight.conformance`` renews the document; a test fails while it is not up to date.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import click
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom.sop_class import _STORAGE_CLASSES

from listener.negotiation import (
    STORAGE_COMMITMENT,
    VERIFICATION,
    storage_sop_classes,
    transfer_syntaxes,
)
from listener.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from listener.settings import ReceiverSettings, TlsSettings
from listener.statuses import COMMITMENT_STATUSES, REJECTIONS, STORAGE_STATUSES, Status
from query.client import StudyRootFind, Verification
from query.get import StudyRootGet
from query.move import StudyRootMove

DOCUMENT = Path(__file__).parents[1] / "docs" / "conformance.md"

_BLOCK = re.compile(r"(?<=<!-- generated: )(?P<name>[a-z-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)

Row = tuple[str, ...]

# What a peer meets of the settings, and what happens there.
_LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "maximum_associations": "one more is rejected with 2/3/2",
        "maximum_connections_per_address": "the oldest that has asked for no association is"
        " closed for a newer one; where each has one, the newer is rejected with 2/3/2",
        "maximum_pdu_bytes": "offered as Maximum Length Received; a longer P-DATA-TF is aborted",
        "maximum_instance_bytes": "a larger dataset is answered with 0xA700 as soon as it is known",
        "pdu_seconds": "ARTIM; also how long one PDU, and a TLS handshake, may take",
        "instance_seconds": "a C-STORE that takes longer is aborted",
        "idle_seconds": "an association without any byte is aborted",
        "drain_seconds": "how long associations may go on when Safelight stops",
    }
)


def renewed(document: str) -> str:
    """A document with each block between its markers made anew.

    A block stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.

    Raises
    ------
    KeyError
        A block's name is not one of `BLOCKS`.
    """
    return _BLOCK.sub(lambda block: f"{block[1]}{block[2]}\n{BLOCKS[block[1]]()}\n\n", document)


def implementation() -> str:
    """How we identify ourselves in an association (PS3.7 D.3.3.2)."""
    return _table(
        ("", ""),
        [
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name", IMPLEMENTATION_VERSION),
            ("Default AE title", ReceiverSettings.ae_title),
            ("Default port", str(ReceiverSettings.port)),
            ("Default port with TLS", str(TlsSettings.port)),
        ],
    )


def limits() -> str:
    """The defaults of ``[dicom]`` that a peer can meet."""
    settings = ReceiverSettings()
    rows = [(f"`{key}`", f"{getattr(settings, key):,.10g}", what) for key, what in _LIMITS.items()]
    return _table(("key of `[dicom]`", "default", "beyond it"), rows)


def rejections() -> str:
    """Each A-ASSOCIATE-RJ we send (PS3.8 Table 9-21)."""
    rows = [(f"{r.result}/{r.source}/{r.reason}", r.when) for r in REJECTIONS]
    return _table(("result/source/reason", "when"), rows)


def storage_statuses() -> str:
    """Each status of a C-STORE response (PS3.4 Table B.2-1)."""
    return _status_table(STORAGE_STATUSES)


def commitment_statuses() -> str:
    """Each status of an N-ACTION response (PS3.4 J.3.2)."""
    return _status_table(COMMITMENT_STATUSES)


def scp_services() -> str:
    """The SOP classes of which we are the SCP, without those of storage."""
    return _table(("SOP class", "UID"), map(_named, (VERIFICATION, STORAGE_COMMITMENT)))


def scu_services() -> str:
    """The SOP classes of which we are the SCU, without those of storage."""
    classes = (Verification, StudyRootFind, StudyRootMove, StudyRootGet, STORAGE_COMMITMENT)
    return _table(("SOP class", "UID"), map(_named, classes))


def instance_syntaxes() -> str:
    """Every transfer syntax we take an instance in."""
    return _table(("transfer syntax", "UID"), map(_named, transfer_syntaxes()))


def storage_classes() -> str:
    """Every storage SOP class we take, without the private ones of the configuration."""
    return _table(("SOP class", "UID"), sorted(map(_named, storage_sop_classes())))


def extra_storage_classes() -> str:
    """The private storage SOP classes that are taken by default."""
    return "\n".join(f"- `{uid}`" for uid in ReceiverSettings.extra_sop_classes)


BLOCKS: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        block.__name__.replace("_", "-"): block
        for block in (
            implementation,
            limits,
            rejections,
            storage_statuses,
            commitment_statuses,
            scp_services,
            scu_services,
            instance_syntaxes,
            storage_classes,
            extra_storage_classes,
        )
    }
)


def _status_table(statuses: Iterable[Status]) -> str:
    rows = [(f"0x{status.code:04X}", status.meaning, status.when) for status in statuses]
    return _table(("status", "meaning", "when"), rows)


def _table(head: Row, rows: Iterable[Row]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _named(uid: str) -> Row:
    """The standard's name of a UID, and the UID."""
    name = UID(uid).name
    if name == uid:  # newer than pydicom's dictionary; pynetdicom has a keyword
        keyword = next(key for key, value in _STORAGE_CLASSES.items() if value == uid)
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", keyword)
    is_retired = UID_dictionary.get(uid, ("",) * 5)[3] == "Retired"
    return f"{name} (retired)" if is_retired else name, f"`{uid}`"


def main() -> None:
    """Renew the document."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = renewed(before)
    DOCUMENT.write_text(after, encoding="utf-8")
    click.echo(f"{DOCUMENT}: {'is up to date' if after == before else 'renewed'}")


if __name__ == "__main__":
    main()
