"""Who is let in, and for what: the accept table and the presentation contexts (PS3.7 D.3)."""

from collections.abc import Mapping, Sequence

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AllStoragePresentationContexts

from listener.associate import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ACCEPTED,
    TRANSFER_SYNTAXES_NOT_SUPPORTED,
    AgreedContext,
    AssociationRequest,
    ProposedContext,
)
from listener.settings import AcceptRule, Permission, ReceiverSettings
from listener.statuses import (
    CALLED_AE_NOT_RECOGNIZED,
    CALLING_AE_NOT_RECOGNIZED,
    IDENTITY_REFUSED,
    Rejection,
)

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
_NOT_FOR_FILES = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.", "1.2.840.10008.1.20")
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."


def storage_sop_classes() -> tuple[str, ...]:
    """Every storage SOP class of the standard; archives still hold the retired ones."""
    current = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    named = [
        uid
        for uid, entry in UID_dictionary.items()
        if uid.startswith(_STORAGE_ROOT) and "Storage" in entry[0]
    ]
    return tuple(dict.fromkeys([*current, *named]))


def transfer_syntaxes() -> tuple[str, ...]:
    """Every transfer syntax of the standard in which an instance can be a Part 10 file.

    We never decode what we store, so the retired ones are no less welcome. Left out are those
    that are no encoding of a dataset by itself: MIME, XML, Papyrus and real-time video.
    """
    return tuple(
        uid
        for uid, entry in UID_dictionary.items()
        if entry[1] == "Transfer Syntax" and not uid.startswith(_NOT_FOR_FILES)
    )


class Gate:
    """The accept table and the presentation contexts of one receiver.

    Parameters
    ----------
    settings
        Who may associate with us, and the private SOP classes taken beside the standard ones.
    """

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        storage = (*storage_sop_classes(), *settings.extra_sop_classes)
        self._permissions: Mapping[str, Permission] = {
            VERIFICATION: "echo",
            STORAGE_COMMITMENT: "commit",
            **dict.fromkeys(storage, "store"),
        }
        self._any_syntax = frozenset(transfer_syntaxes())

    def admit(
        self, request: AssociationRequest, address: str, *, secure: bool
    ) -> AcceptRule | tuple[Rejection, str]:
        """The rule that lets a peer in, or why none does, with a reason in plain words."""
        rules = self._settings.accept
        titles = {self._settings.ae_title}.union(*(rule.called_ae for rule in rules))
        called, calling = request.called_ae, request.calling_ae
        if called not in titles:
            ours = ", ".join(map(repr, sorted(titles)))
            return CALLED_AE_NOT_RECOGNIZED, f"it called {called!r}; our AE title is {ours}"
        known = [rule for rule in rules if rule.knows(calling)]
        near = [rule for rule in known if rule.reaches(address)]
        right = [rule for rule in near if rule.answers_to(called, self._settings.ae_title)]
        fit = [rule for rule in right if secure or not rule.tls]
        proven = [rule for rule in fit if rule.recognizes(request.username, request.passcode)]
        if proven:
            return proven[0]
        if fit:
            return IDENTITY_REFUSED, f"{calling!r} gave no user identity or a wrong one"
        return CALLING_AE_NOT_RECOGNIZED, _why_not(request, address, known, near, right)

    def contexts(self, request: AssociationRequest, rule: AcceptRule) -> tuple[AgreedContext, ...]:
        """Our answer to each proposed presentation context."""
        return tuple(self._agreed(context, rule) for context in request.contexts)

    def _agreed(self, proposed: ProposedContext, rule: AcceptRule) -> AgreedContext:
        permission = self._permissions.get(proposed.abstract_syntax)
        first = proposed.transfer_syntaxes[0]
        if permission not in rule.may:
            result, syntax = ABSTRACT_SYNTAX_NOT_SUPPORTED, first
        else:
            chosen = self._chosen(proposed.transfer_syntaxes, permission)
            result = TRANSFER_SYNTAXES_NOT_SUPPORTED if chosen is None else ACCEPTED
            syntax = chosen or first
        return AgreedContext(proposed.context_id, proposed.abstract_syntax, result, syntax)

    def _chosen(self, proposed: Sequence[str], permission: Permission) -> str | None:
        """The first one proposed that we take; explicit rather than implicit VR, which it loses."""
        plain = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
        ours = self._any_syntax if permission == "store" else plain
        usable = [syntax for syntax in proposed if syntax in ours]
        if usable and usable[0] == ImplicitVRLittleEndian and ExplicitVRLittleEndian in usable:
            return str(ExplicitVRLittleEndian)
        return usable[0] if usable else None

    def why_refused(self, context: AgreedContext, rule: AcceptRule) -> str:
        """Why a presentation context was refused, in plain words."""
        permission = self._permissions.get(context.abstract_syntax)
        if permission is None:
            return (
                f"SOP class {context.abstract_syntax} is not known;"
                " [dicom] extra_sop_classes can add it"
            )
        if permission not in rule.may:
            return f"[[dicom.accept]] does not let {rule.calling_ae!r} {permission}"
        return f"no transfer syntax of SOP class {context.abstract_syntax} is known"

    def is_storage(self, sop_class_uid: str) -> bool:
        """Whether we take instances of this class."""
        return self._permissions.get(sop_class_uid) == "store"


def _why_not(
    request: AssociationRequest,
    address: str,
    known: Sequence[AcceptRule],
    near: Sequence[AcceptRule],
    right: Sequence[AcceptRule],
) -> str:
    calling = request.calling_ae
    if not known:
        return f"no [[dicom.accept]] names calling AE title {calling!r}"
    if not near:
        return f"no [[dicom.accept]] opens address {address} to {calling!r}"
    if not right:
        return f"no [[dicom.accept]] lets {calling!r} call {request.called_ae!r}"
    return f"[[dicom.accept]] lets {calling!r} in over TLS only"
