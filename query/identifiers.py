"""Puts keys together to the identifiers of C-FIND, C-MOVE and C-GET; it does not send them."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from query.keys import StudyCriteria, check_modality, check_uid, date_key, sent_key

_STUDY_RETURN_KEYS = (
    "StudyInstanceUID",
    "StudyTime",
    "PatientSex",
    "PatientBirthDate",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)
_SERIES_RETURN_KEYS = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "NumberOfSeriesRelatedInstances",
)
_INSTANCE_RETURN_KEYS = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber")


@dataclass(frozen=True)
class Selection:
    """What a PACS is to send: a study, a series of it, or one instance of that, or several.

    Raises
    ------
    InvalidKey
        If a UID is not one.
    ValueError
        If an instance is named without its series.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str = ""
    SOPInstanceUID: str = ""
    SOPInstanceUIDs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.SOPInstanceUID or self.SOPInstanceUIDs) and not self.SeriesInstanceUID:
            raise ValueError("SeriesInstanceUID: expected the series of the instance")
        for uid in (*self.unique_keys().values(), *self.SOPInstanceUIDs):
            check_uid(uid)

    @property
    def level(self) -> str:
        """The Query/Retrieve Level (0008,0052).

        >>> Selection("1.2").level, Selection("1.2", "1.3", "1.4").level
        ('STUDY', 'IMAGE')
        """
        if self.SOPInstanceUID or self.SOPInstanceUIDs:
            return "IMAGE"
        return "SERIES" if self.SeriesInstanceUID else "STUDY"

    def unique_keys(self) -> dict[str, str]:
        """The unique keys of its level and those above it, by DICOM keyword; no list."""
        lower = {
            "SeriesInstanceUID": self.SeriesInstanceUID,
            "SOPInstanceUID": self.SOPInstanceUID,
        }
        given = {keyword: uid for keyword, uid in lower.items() if uid}
        return {"StudyInstanceUID": self.StudyInstanceUID, **given}


def study_identifier(criteria: StudyCriteria) -> Dataset:
    """Return the identifier of a STUDY level C-FIND (PS3.4 C.6.2.1.2).

    The empty SpecificCharacterSet asks for the character set of each answer.
    """
    identifier = _identifier("STUDY", _STUDY_RETURN_KEYS)
    identifier.SpecificCharacterSet = ""
    for keyword, value in criteria.texts().items():
        setattr(identifier, keyword, sent_key(value))
    identifier.StudyDate = date_key(criteria.study_date)
    identifier.ModalitiesInStudy = criteria.modality or ""
    return identifier


def series_identifier(study_uid: str, modality: str | None) -> Dataset:
    """Return the identifier of a SERIES level C-FIND (PS3.4 C.6.2.1.3).

    Raises
    ------
    InvalidKey
        If the UID or the modality is not one.
    """
    identifier = _identifier("SERIES", _SERIES_RETURN_KEYS)
    identifier.SpecificCharacterSet = ""
    identifier.StudyInstanceUID = check_uid(study_uid)
    identifier.Modality = "" if modality is None else check_modality(modality)
    return identifier


def instance_identifier(study_uid: str, series_uid: str, *, image_type: bool = False) -> Dataset:
    """Return the identifier of an IMAGE level C-FIND (PS3.4 C.6.2.1.4).

    Parameters
    ----------
    study_uid, series_uid : str
        The series.
    image_type : bool
        Whether ImageType is asked for too: few archives have it in their index.

    Raises
    ------
    InvalidKey
        If a UID is not one.
    """
    identifier = _identifier("IMAGE", _INSTANCE_RETURN_KEYS)
    identifier.StudyInstanceUID = check_uid(study_uid)
    identifier.SeriesInstanceUID = check_uid(series_uid)
    if image_type:
        identifier.ImageType = ""
    return identifier


def retrieve_identifier(selection: Selection) -> Dataset:
    """Return the identifier of a C-MOVE or a C-GET (PS3.4 C.4.2.1.4, C.4.3.1.3)."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = selection.level
    for keyword, uid in selection.unique_keys().items():
        setattr(identifier, keyword, uid)
    if selection.SOPInstanceUIDs:  # PS3.4 C.4.2.2.1: a list at this level alone
        identifier.SOPInstanceUID = list(selection.SOPInstanceUIDs)
    return identifier


def _identifier(level: str, return_keys: tuple[str, ...]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword in return_keys:
        setattr(identifier, keyword, "")
    return identifier
