"""Long work beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_Done = TypeVar("_Done")


async def in_own_thread(work: Callable[[], _Done]) -> _Done:
    """Do what may take minutes: the end of the daemon does not wait for it.

    Raises
    ------
    Exception
        Whatever `work` raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Done] = loop.create_future()

    def tell(outcome: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(lambda: None if done.done() else outcome())

    def run() -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failure = error
            tell(lambda: done.set_exception(failure))
        else:
            tell(lambda: done.set_result(result))

    threading.Thread(target=run, name="asked on the page", daemon=True).start()
    return await done
