"""Where jobs run: the ``[processing]`` table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Gt

from processor.settings import PoolSettings


@dataclass(frozen=True)
class ClusterTls:
    """The ``[processing.tls]`` table: how we speak TLS with the scheduler.

    Attributes
    ----------
    authorities
        Whose certificate the scheduler must have, a PEM file.
    certificate, private_key
        Ours, which the scheduler asks for; PEM files.
    """

    authorities: Path
    certificate: Path
    private_key: Path


@dataclass(frozen=True)
class ProcessingSettings(PoolSettings):
    """Limits of the workers, and whose they are.

    Attributes
    ----------
    engine
        Workers of our own, or those of a Dask cluster.
    scheduler
        The address of its scheduler, as ``tcp://host:8786`` or ``tls://host:8786``.
    transfer
        Whether its workers see our data folder, or are sent the bytes.
    resources
        What a job takes of the resources that workers were started with; a worker without them
        gets none.
    tls
        How we speak TLS with the scheduler.
    """

    engine: Literal["local", "dask"] = "local"
    scheduler: str = ""
    transfer: Literal["shared", "wire"] = "shared"
    resources: Mapping[str, Annotated[float, Gt(0)]] = field(default_factory=dict)
    tls: ClusterTls | None = None

    def __post_init__(self) -> None:
        scheme = self.scheduler.partition("://")[0]
        if self.engine == "dask" and scheme not in ("tcp", "tls"):
            raise ValueError("scheduler: expected its address, such as tcp://host:8786")
        if scheme == "tls" and self.tls is None:
            raise ValueError("scheduler: tls:// needs the files of [processing.tls]")
        if self.tls is not None and scheme != "tls":
            raise ValueError("scheduler: with [processing.tls], expected tls://host:8786")

    @property
    def limits(self) -> PoolSettings:
        """What one job may take, wherever it runs."""
        return PoolSettings(1, self.time_limit_seconds, self.memory_limit_mb)
