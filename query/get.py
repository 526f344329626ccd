"""Has a PACS send instances on our own association (C-GET); what becomes of each is passed in.

We are the SCP of its C-STORE requests, which role selection says (PS3.7 D.3.3.4). A presentation
context accepts one transfer syntax, and there are 128 at most: so only the classes a study has are
proposed, first uncompressed and then in one compressed syntax after the other, while there is room.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.uid import (
    JPEG2000,
    UID,
    AllTransferSyntaxes,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import build_context, build_role
from pynetdicom.presentation import PresentationContext

from listener.dimse import C_GET_RQ, Command
from query.association import conversing
from query.conversation import Question
from query.identifiers import Selection, retrieve_identifier
from query.outcomes import (
    RetrieveOutcome,
    RetrieveProgress,
    is_performed,
    retrieve_outcome,
    retrieve_progress,
)
from query.settings import PacsSettings
from query.statuses import PENDING, get_meaning

# PS3.6 A; by number, because pynetdicom makes its names at run time.
StudyRootGet = UID("1.2.840.10008.5.1.4.1.2.2.3")

_MAXIMUM_CONTEXTS = 128  # PS3.8 9.3.2.2: odd identifiers up to 255
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
# Those that archives commonly keep come first.
_COMMON = (
    *(JPEGLosslessSV1, JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000Lossless, JPEG2000),
    *(JPEGLSLossless, JPEGLSNearLossless, RLELossless),
)
_COMPRESSED = tuple(
    syntax
    for syntax in dict.fromkeys((*_COMMON, *AllTransferSyntaxes))
    if syntax not in _UNCOMPRESSED
)

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# PS3.3 C.7.3.1.1.1: the classes in which instances of a modality are commonly kept.
_CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CR": ("1",),
        "CT": ("2", "2.1", "2.2"),
        "DX": ("1.1", "1.1.1", "1"),
        "DR": ("1", "1.1"),
        "ES": ("77.1.1", "77.1.1.1"),
        "IO": ("1.3", "1.3.1"),
        "MG": ("1.2", "1.2.1", "13.1.3", "1"),
        "MR": ("4", "4.1", "4.2", "4.4"),
        "NM": ("20",),
        "OP": ("77.1.5.1", "77.1.5.2"),
        "OPT": ("77.1.5.4",),
        "PT": ("128", "130", "128.1"),
        "RF": ("12.2", "12.2.1"),
        "RTDOSE": ("481.2",),
        "RTIMAGE": ("481.1",),
        "RTPLAN": ("481.5", "481.8"),
        "RTSTRUCT": ("481.3",),
        "SEG": ("66.4",),
        "US": ("6.1", "3.1", "6.2"),
        "XA": ("12.1", "12.1.1", "13.1.1"),
        "XC": ("77.1.4",),
    }
)
# Any study may have them: secondary captures, reports, key objects, presentation states.
_ANYWHERE = ("7", "7.2", "7.4", "11.1", "88.11", "88.22", "88.33", "88.59", "88.67", "104.1")
_WITHOUT_PIXELS = tuple(f"{_STORAGE}{ending}." for ending in ("11", "88", "104"))


@dataclass(frozen=True)
class Instance:
    """An instance as it came: encoded, undecoded.

    Parameters
    ----------
    SOPClassUID, SOPInstanceUID : str
        From the C-STORE request.
    transfer_syntax_uid : str
        How it is encoded.
    dataset : memoryview
        Its dataset.
    """

    SOPClassUID: str
    SOPInstanceUID: str
    transfer_syntax_uid: str
    dataset: memoryview


Keep = Callable[[Instance], tuple[int, str]]
"""Keeps an instance, or not; returns the C-STORE status and a comment (PS3.4 B.2.3)."""


def classes_of(modalities: Iterable[str]) -> tuple[str, ...]:
    """Return the storage classes that series of these modalities may have.

    Examples
    --------
    >>> classes_of(["CT"])[:2]
    ('1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.5.1.4.1.1.2.1')
    """
    known = [ending for modality in modalities for ending in _CLASSES.get(modality, ())]
    return tuple(dict.fromkeys(f"{_STORAGE}{ending}" for ending in (*known, *_ANYWHERE)))


def get(
    pacs: PacsSettings,
    selections: Iterable[Selection],
    sop_classes: Sequence[str],
    keep: Keep,
    *,
    calling_ae: str,
    on_progress: Callable[[RetrieveProgress], None] | None = None,
) -> Iterator[RetrieveOutcome]:
    """Have a PACS send studies, series or instances to us (C-GET, Study Root, PS3.4 C.4.3).

    Parameters
    ----------
    pacs, selections, calling_ae, on_progress
        As of `query.move.move`.
    sop_classes : sequence of str
        The storage classes that they have; of any other none can be sent.
    keep : callable
        Called with each instance that comes, on the thread that iterates.

    Yields
    ------
    RetrieveOutcome
        What the PACS claims of each selection; `refusal` says why it did nothing.

    Raises
    ------
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    limit = pacs.move_seconds

    def store(request: Command, syntax: str, content: bytearray) -> tuple[int, str]:
        uids = request.sop_class_uid, request.sop_instance_uid
        return keep(Instance(*uids, syntax, memoryview(content)))

    with conversing(
        pacs,
        [build_context(StudyRootGet), *contexts_for(sop_classes)],
        calling_ae=calling_ae,
        dimse_seconds=limit,
        roles=[build_role(uid, scp_role=True) for uid in sop_classes[: _MAXIMUM_CONTEXTS - 1]],
    ) as conversation:
        for selection in selections:
            identifier = retrieve_identifier(selection)
            question = Question(C_GET_RQ, "C-GET", StudyRootGet, identifier)
            for response, failures in conversation.ask(question, store):
                if response.status not in PENDING:
                    refusal = _refusal(pacs, response.status, calling_ae)
                    yield retrieve_outcome(response, failures, refusal)
                elif on_progress is not None:
                    on_progress(retrieve_progress(response))


def contexts_for(sop_classes: Sequence[str]) -> list[PresentationContext]:
    """Return what is proposed for storage: at most 127 contexts, what is most common first.

    Examples
    --------
    >>> [len(context.transfer_syntax) for context in contexts_for(classes_of(["CT"]))[:14:13]]
    [3, 1]
    """
    pictures = [uid for uid in sop_classes if not uid.startswith(_WITHOUT_PIXELS)]
    proposed = [build_context(uid, list(_UNCOMPRESSED)) for uid in sop_classes]
    proposed += [build_context(uid, [syntax]) for syntax in _COMPRESSED for uid in pictures]
    return proposed[: _MAXIMUM_CONTEXTS - 1]


def _refusal(pacs: PacsSettings, status: int, calling_ae: str) -> str:
    if is_performed(status):
        return ""
    meaning = get_meaning(status)
    remedy = meaning.remedy.format(calling_ae=calling_ae)
    return f"C-GET refused by {pacs.ae_title} (0x{status:04X}, {meaning.text}): {remedy}"
