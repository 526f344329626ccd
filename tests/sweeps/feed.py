"""A sender that does not give up: it reconnects after each break and sends what is not kept."""

import queue
import threading
import time
from collections.abc import Sequence

from upper_layer import STORE, Broken, Instance, Peer, associate_rq

_RETRY_SECONDS = 0.05


class Feed:
    """Sends instances over several associations at once and notes what was acknowledged.

    Parameters
    ----------
    instances
        What to send, in order; each until its status is 0x0000.
    port
        Of the receiver.
    associations
        How many at the same time.
    patience_seconds
        How long the receiver may be away.
    """

    def __init__(
        self,
        instances: Sequence[Instance],
        port: int,
        associations: int = 3,
        patience_seconds: float = 60.0,
    ) -> None:
        self.acknowledged: list[Instance] = []
        self.refused: list[str] = []
        self.breaks = 0
        self._port, self._patience_seconds = port, patience_seconds
        self._waiting: queue.SimpleQueue[Instance] = queue.SimpleQueue()
        for instance in instances:
            self._waiting.put(instance)
        self._progress = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name=f"feed-{number}", daemon=True)
            for number in range(associations)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int, seconds: float) -> None:
        """Wait until `count` instances were acknowledged."""
        with self._progress:
            reached = self._progress.wait_for(lambda: len(self.acknowledged) >= count, seconds)
        assert reached, f"{len(self.acknowledged)} of {count} acknowledged after {seconds} s"

    def join(self) -> None:
        """Wait until everything was sent, or the receiver was away for too long."""
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        current = None
        heard = time.monotonic()
        while time.monotonic() < heard + self._patience_seconds:
            established = False
            try:
                with Peer(self._port) as peer:
                    peer.associate(associate_rq(contexts=(STORE,)))
                    established = True
                    while (current := current or self._next()) is not None:
                        self._offer(peer, current)
                        current, heard = None, time.monotonic()
                    peer.release()
                    return
            except Broken:
                self.breaks += established
                time.sleep(_RETRY_SECONDS)

    def _next(self) -> Instance | None:
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None

    def _offer(self, peer: Peer, instance: Instance) -> None:
        answer = peer.offer(instance)
        with self._progress:
            if answer.status == 0x0000:
                self.acknowledged.append(instance)
            else:
                self.refused.append(f"{instance.sop_instance_uid}: 0x{answer.status:04X}")
            self._progress.notify_all()
