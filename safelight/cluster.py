"""The Dask cluster that jobs run on, where the configuration has them run on one."""

import logging

from processor.deidentify import NAME as DEIDENTIFY
from processor.remote import RemoteEngine
from safelight.config import Config
from safelight.receivers import FORWARD


def cluster_of(config: Config) -> RemoteEngine | None:
    """The cluster; None where jobs run on this machine. It is not connected to yet."""
    if config.processing.engine == "local":
        return None
    from processor.cluster.engine import Cluster  # noqa: PLC0415 - an extra that few install

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it would tell, we tell
    storage = config.storage
    return Cluster(config.processing, storage.data, (storage.scratch,))


def kept_here(config: Config) -> tuple[str, ...]:
    """The processors whose jobs never go to the cluster, by the first step of a job.

    Only this machine is known to receivers; and the site key does not leave it with the bytes.
    """
    return (FORWARD, DEIDENTIFY) if config.processing.transfer == "wire" else (FORWARD,)
