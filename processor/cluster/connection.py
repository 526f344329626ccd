"""One connection to the scheduler of a Dask cluster, and what is known of its workers."""

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from distributed import Client, Security
from distributed import Future as DaskFuture
from distributed.comm.core import CommClosedError

from processor.cluster.settings import ProcessingSettings
from processor.cluster.task import Answer, Description, Question, Task, Versions
from processor.cluster.work import examine, versions
from processor.errors import ClusterAway, WorkerDied

UNKNOWN = "it is not examined yet"
"""What is wrong with a worker until it has said what it is."""

WENT_AWAY = "the Dask scheduler went away: the job waits"

_CONNECT_SECONDS = 5.0
_CALL_SECONDS = 60.0
_EXAMINERS = 4
_AGAIN_SECONDS = 30.0
UNREACHABLE = (OSError, CommClosedError, TimeoutError, MemoryError)
"""What Dask raises where no scheduler answers; it takes what another server says for lengths."""


@dataclass(frozen=True)
class Member:
    """A worker of the cluster.

    Attributes
    ----------
    address, name
        Where it is, and what the cluster calls it; another run of it has another `identity`.
    capacity
        How many jobs it takes at once.
    problem
        Why it gets none; empty where it does.
    """

    address: str
    name: str
    identity: tuple[str, str]
    capacity: int
    problem: str = ""

    @classmethod
    def of(
        cls, address: str, told: Mapping[str, Any], settings: ProcessingSettings, problem: str
    ) -> Self:
        """A worker as the scheduler tells of it."""
        capacity = capacity_of(told, settings.resources)
        if not capacity:
            problem = (
                "it was started without the resources of [processing] resources;"
                " start it with: dask worker --resources"
            )
        identity = (address, str(told["local_directory"]))
        return cls(address, str(told["name"]), identity, capacity, problem)


def open_client(settings: ProcessingSettings) -> Client:
    """Connect to the scheduler.

    Raises
    ------
    ClusterAway
        It does not answer, or not as [processing] says.
    """
    try:
        return Client(
            settings.scheduler,
            timeout=_CONNECT_SECONDS,
            security=_security(settings),
            set_as_default=False,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ClusterAway(
            f"a file of [processing.tls] cannot be read ({type(error).__name__}), and jobs wait;"
            " correct it, or whose it is"
        ) from None
    except (*UNREACHABLE, ValueError) as error:
        raise ClusterAway(away(settings, type(error).__name__)) from None


def away(settings: ProcessingSettings, why: str) -> str:
    """That the scheduler is away, and what to do."""
    return (
        f"the Dask scheduler {settings.scheduler} does not answer ({why}), and jobs wait;"
        " start it, or correct [processing] scheduler"
    )


def _security(settings: ProcessingSettings) -> Security | None:
    tls = settings.tls
    if tls is None:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=str(tls.authorities),
        tls_client_cert=str(tls.certificate),
        tls_client_key=str(tls.private_key),
    )


@dataclass(frozen=True)
class _Examined:
    """What was found of a worker, and when it was last asked."""

    problem: str
    at: float


class Connection:
    """A connection; what ended once is not used again.

    Parameters
    ----------
    question
        What its workers are asked before they get jobs.

    Raises
    ------
    ClusterAway
        The scheduler does not answer.
    """

    def __init__(self, settings: ProcessingSettings, question: Question) -> None:
        self._settings = settings
        self._question = question
        self._client = open_client(settings)
        self._examiners = ThreadPoolExecutor(_EXAMINERS, thread_name_prefix="examine")
        self._examined: dict[tuple[str, str], _Examined] = {}
        self._ended = threading.Event()
        self._scheduler = ""
        self.name = f"{question.owner}-{question.session}"
        self.members: Mapping[str, Member] = MappingProxyType({})

    @property
    def has_ended(self) -> bool:
        """Whether the scheduler is lost, or nobody wants it any more."""
        return self._ended.is_set() or self._client.status != "running"

    def has(self, member: Member) -> bool:
        """Whether a worker is there still, in the same run of it."""
        found = self.members.get(member.address)
        return found is not None and found.identity == member.identity

    def look(self) -> None:
        """See which workers there are, and have new ones examined.

        Raises
        ------
        ClusterAway
            The scheduler does not answer any more.
        """
        members = [self._member(address, told) for address, told in self._told().items()]
        self.members = MappingProxyType({one.address: one for one in members})
        for gone in self._examined.keys() - {one.identity for one in members}:
            self._examined.pop(gone, None)

    def _told(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            told = identity_of(self._client)
        except UNREACHABLE as error:
            raise ClusterAway(away(self._settings, type(error).__name__)) from None
        self._scheduler = self._scheduler or told["id"]
        if self.has_ended or self._scheduler != told["id"]:  # Dask connects to a new one by itself
            raise ClusterAway(away(self._settings, "connection lost"))
        workers: Mapping[str, Mapping[str, Any]] = told["workers"]
        return workers

    def _member(self, address: str, told: Mapping[str, Any]) -> Member:
        identity = (address, str(told["local_directory"]))
        known = self._examined.get(identity, _Examined(UNKNOWN, float("-inf")))
        now = time.monotonic()
        if known.problem and now - known.at > _AGAIN_SECONDS:
            known = self._examined[identity] = _Examined(known.problem, now)
            self._examiners.submit(self._examine, identity)
        return Member.of(address, told, self._settings, known.problem)

    def _examine(self, identity: tuple[str, str]) -> None:
        problem = problem_of(self._client, identity[0], self._question)
        self._examined[identity] = _Examined(problem, time.monotonic())

    def call(self, member: Member, function: Callable[..., Any], *args: object) -> Any:
        """What a function returns that a worker calls at once, beside its jobs.

        Raises
        ------
        WorkerDied
            The worker is gone, or could not do it.
        ClusterAway
            It is the scheduler that is gone.
        """
        try:
            return run_at(self._client, member.address, function, *args)
        except Exception as error:  # noqa: BLE001 - whatever the worker raised
            self._told()
            kind = type(error).__name__
            raise WorkerDied(f"the Dask worker {member.name} failed ({kind})") from None

    def submit(self, member: Member, task: Task) -> "DaskFuture[bytes]":
        """Have a worker run a task. Only that one: Dask is not to run it again elsewhere.

        Raises
        ------
        ClusterAway
            The scheduler is gone.
        """
        with self._end_told():
            return self._client.submit(
                _carried(pickle.dumps(task)),
                key=task.key,
                workers=[member.address],
                allow_other_workers=False,
                resources=dict(self._settings.resources) or None,
                retries=0,
                pure=False,
            )

    def answer(self, member: Member, dask_future: "DaskFuture[bytes]") -> Answer:
        """What a worker answered, once Dask has it or has given it up.

        Raises
        ------
        WorkerDied
            Dask has given it up.
        ClusterAway
            The scheduler is gone.
        """
        with self._end_told():
            if dask_future.status == "error":
                kind = type(dask_future.exception()).__name__
                raise WorkerDied(f"Dask gave the job up at its worker {member.name} ({kind})")
            if dask_future.status == "cancelled":
                raise ClusterAway(WENT_AWAY)
            answer: Answer = pickle.loads(dask_future.result())  # noqa: S301 - of a worker of ours
            return answer

    def release(self, dask_future: "DaskFuture[bytes]") -> None:
        """Have Dask forget a task; its worker stops it where it runs still."""
        with suppress(ClusterAway), self._end_told():
            dask_future.cancel()

    @contextmanager
    def _end_told(self) -> Iterator[None]:
        """Tell by an error of ours that the connection has ended: Dask has many for it."""
        try:
            yield
        except Exception:
            if self.has_ended:
                raise ClusterAway(WENT_AWAY) from None
            raise

    def close(self) -> None:
        """End it; Dask cancels what was submitted."""
        self._ended.set()
        self._examiners.shutdown(wait=False, cancel_futures=True)
        self._client.close(timeout=_CONNECT_SECONDS)


def _carried(payload: bytes) -> Callable[[], bytes]:
    """What Dask runs. It is pickled by value: a scheduler need not have Safelight installed."""

    def run() -> bytes:
        from processor.cluster.work import work  # noqa: PLC0415 - imported at the worker

        return work(payload)

    return run


def identity_of(client: Client) -> Mapping[str, Any]:
    """What a scheduler tells of itself: its ``id``, and its ``workers`` by address."""
    scheduler: Any = client.scheduler
    told: Mapping[str, Any] = client.sync(
        scheduler.identity, n_workers=-1, callback_timeout=_CONNECT_SECONDS
    )
    return told


def capacity_of(told: Mapping[str, Any], resources: Mapping[str, float]) -> int:
    """How many jobs a worker takes at once, by its threads and resources."""
    has: Mapping[str, float] = told["resources"]
    by_resource = [int(has.get(name, 0) // need) for name, need in resources.items()]
    return min([int(told["nthreads"]), *by_resource])


def run_at(client: Client, address: str, function: Callable[..., Any], *args: object) -> Any:
    """What a function returns that one worker calls at once; raises what it raises."""
    return client.run(function, *args, workers=[address], callback_timeout=_CALL_SECONDS)[address]


def problem_of(client: Client, address: str, question: Question) -> str:
    """Why a worker can get no jobs, and what to do; empty where it can."""
    try:
        told: Description = run_at(client, address, examine, question)
    except Exception as error:  # noqa: BLE001 - whatever another version raises
        if ModuleNotFoundError.__name__ in repr(error):  # Dask tells it as text
            return f"it has no Safelight; install Safelight {versions().Safelight} there"
        return f"it cannot be examined ({type(error).__name__}); its log says why"
    return problem_with(told, versions())


def problem_with(told: Description, ours: Versions) -> str:
    """What is wrong with what a worker says of itself, and what to do.

    >>> ours = Versions("0.2", "3.11", "2026.8.0")
    >>> problem_with(Description(Versions("0.1", "3.11", "2026.8.0"), can_start=True), ours)
    'it has Safelight 0.1, and here is 0.2; install the same there'
    """
    for name, here in vars(ours).items():
        there = getattr(told.versions, name)
        if there != here:
            return f"it has {name} {there}, and here is {here}; install the same there"
    if not told.can_start:
        return "its nanny lets it start no process; start it with: dask worker --no-nanny"
    return told.problem and f'{told.problem}; mount it there, or set transfer = "wire"'
