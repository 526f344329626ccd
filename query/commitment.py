"""Reports the result of a storage commitment request on a new association (PS3.4 J.3.3)."""

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, build_role

from query.association import associated
from query.errors import AssociationAborted, QueryFailed, ServiceNotOffered
from query.settings import PacsSettings

# PS3.4 J.3.5
PUSH_MODEL = UID("1.2.840.10008.1.20.1")
WELL_KNOWN_INSTANCE = UID("1.2.840.10008.1.20.1.1")


def report_commitment(
    peer: PacsSettings, event_type: int, information: Dataset, *, calling_ae: str
) -> None:
    """Send an N-EVENT-REPORT, as the SCP that we are, and wait until it is taken.

    Parameters
    ----------
    peer : PacsSettings
        Who asked for the commitment.
    event_type : int
        1 all is committed, 2 failures exist (PS3.4 Table J.3-2).
    information : Dataset
        Event Information.
    calling_ae : str
        Our AE title.

    Raises
    ------
    QueryError
        The peer cannot be reached, does not take the report, or answers with a failure.
    """
    role = build_role(PUSH_MODEL, scp_role=True)
    with associated(
        peer,
        [build_context(PUSH_MODEL)],
        calling_ae=calling_ae,
        dimse_seconds=peer.response_seconds,
        roles=[role],
    ) as association:
        try:
            status, _ = association.send_n_event_report(
                information, event_type, PUSH_MODEL, WELL_KNOWN_INSTANCE
            )
        except ValueError as error:  # no context in which we are SCP
            raise ServiceNotOffered(
                f"{peer.ae_title} does not let us report storage commitment: it refuses the"
                " SCP role (PS3.7 D.3.3.4)"
            ) from error
    if "Status" not in status:
        raise AssociationAborted(f"{peer.ae_title} did not answer the storage commitment report")
    if status.Status != 0x0000:
        raise QueryFailed(
            f"{peer.ae_title} did not take the storage commitment report:"
            f" status 0x{status.Status:04X}",
            status=status.Status,
        )
