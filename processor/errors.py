"""The errors of the PROCESS step, told apart by whether trying again can help.

::

    ProcessorError
    ├── PermanentError              the same input will fail again
    │   ├── OptionError             (ValueError) an option of a rule is wrong
    │   ├── TemplateError           (ValueError) a metadata template is wrong
    │   ├── MrConfigError           (ValueError) rules of MR normalisation are wrong
    │   ├── RowsError               (ValueError) a file of rows is not what was written
    │   ├── PackageError            (ValueError) these files make no package
    │   ├── ForwardRefused          a receiver does not take these instances
    │   ├── NotDeidentified         an instance cannot be rid of the patient's identity
    │   ├── IdentityRemains         what was de-identified still tells who the patient is
    │   ├── SiteKeyError            the key of the pseudonyms cannot be used
    │   ├── DestinationTaken        other jobs have the folder a rule wants
    │   ├── NotConvertible          these headers make no regular volume
    │   │   └── UnevenSpacing       the distance between slices changes
    │   └── PixelDataError          this instance's pixels cannot be had
    └── RetriableError              the machine, not the input
        ├── NotForwarded            a receiver did not take all instances, and may later
        ├── StorageError            input/output error
        │   └── OutputUnavailable   disk full, read-only or not there
        ├── FolderLost              another job published where this one would, while it ran
        ├── ClusterAway             the scheduler of the Dask cluster is not there
        ├── WorkerDied              a worker process ended without an answer
        ├── WorkerTimeout           (TimeoutError) the time limit passed, the worker was killed
        └── WorkerOutOfMemory       (MemoryError) the memory limit was reached

No message holds patient data: things are named by their UIDs.
"""


class ProcessorError(Exception):
    """Whatever the PROCESS step raises on purpose."""


class PermanentError(ProcessorError):
    """The same input will fail again; a person must look."""


class RetriableError(ProcessorError):
    """The machine failed, not the input; the whole job may be run again."""


class OptionError(PermanentError, ValueError):
    """An option written in a rule is unknown or has a wrong value."""


class TemplateError(PermanentError, ValueError):
    """A metadata template cannot be used; the message names the file and the entry."""


class MrConfigError(PermanentError, ValueError):
    """The rules of MR normalisation cannot be used; the message names the rule."""


class DestinationTaken(PermanentError):
    """Other jobs have the folder that a rule wants, or one above it; nothing is published."""


class FolderLost(RetriableError):
    """Another job published where this one would, while it ran; run again, it has another name."""


class NotConvertible(PermanentError):
    """The reason, in words, why a series makes no regular volume. A result, not a crash."""


class UnevenSpacing(NotConvertible):
    """The distance between the slices of a stack changes, and not because some are missing."""


class PixelDataError(PermanentError):
    """The pixels of one instance cannot be had; the message says why and names its UID.

    Attributes
    ----------
    absent : bool
        True when the object has no pixel data at all, False when it cannot be read.
    """

    def __init__(self, message: str, *, absent: bool = False) -> None:
        super().__init__(message)
        self.absent = absent


class RowsError(PermanentError, ValueError):
    """A file of rows is not what was written there; the message names it."""


class PackageError(PermanentError, ValueError):
    """A package cannot be made of these files; the message says why, and names none of them."""


class ForwardRefused(PermanentError):
    """A receiver does not take instances; the message says how many, and why."""


class NotDeidentified(PermanentError):
    """Why an instance cannot be de-identified, in words that name nothing of it. A result."""


class IdentityRemains(PermanentError):
    """What was written tells who the patient is still; the message names the element."""


class SiteKeyError(PermanentError):
    """The site key cannot be read or made; the message names its file and says what to do."""


class NotForwarded(RetriableError):
    """A receiver cannot be reached or has no room; what it took is not sent again."""


class StorageError(RetriableError):
    """The results or the spool could not be read or written; the error's name is given."""


class OutputUnavailable(StorageError):
    """Outputs cannot be written: the disk is full, read-only or gone. No job is to blame."""


class ClusterAway(RetriableError):
    """The Dask cluster is not there. No job is to blame, and none is tried for it."""


class WorkerDied(RetriableError):
    """A worker process ended without an answer, as after a segmentation fault in a codec."""


class WorkerTimeout(RetriableError, TimeoutError):
    """The time limit passed and the worker was killed."""


class WorkerOutOfMemory(RetriableError, MemoryError):
    """The worker reached its memory limit."""
