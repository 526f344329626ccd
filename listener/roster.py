"""Who is connected, over all receiver processes: a table in shared memory.

Each process writes its own rows only, so no lock is shared, and counts are read over all rows.
Two processes that admit at the same moment may exceed a limit by one, which harms nobody.
"""

import ctypes
import ipaddress
import multiprocessing
from collections.abc import Iterator

_ADDRESS_BYTES = 16
_ROW_BYTES = _ADDRESS_BYTES + 1  # the last byte: whether the connection has an association
_FREE = bytes(_ADDRESS_BYTES)
_UNASSOCIATED = 64  # room for connections that have not asked for an association yet


class Roster:
    """The connections of all receiver processes; it can be passed to a process that is started.

    Parameters
    ----------
    processes
        How many receiver processes there are.
    maximum_associations
        Associations that must find room in each process.
    """

    def __init__(self, processes: int, maximum_associations: int) -> None:
        self._rows = maximum_associations + _UNASSOCIATED
        context = multiprocessing.get_context("spawn")
        size = processes * self._rows * _ROW_BYTES
        self._memory: ctypes.Array[ctypes.c_ubyte] = context.RawArray(ctypes.c_ubyte, size)

    def part(self, process: int) -> "RosterPart":
        """The rows of one process; what an earlier one of this number left is cleared."""
        return RosterPart(memoryview(self._memory).cast("B"), process * self._rows, self._rows)


class RosterPart:
    """The rows that one process writes. Its callers hold that process' lock."""

    def __init__(self, table: memoryview, first: int, count: int) -> None:
        self._table = table
        self._own = range(first, first + count)
        for row in self._own:
            self.leave(row)

    def enter(self, address: str) -> int | None:
        """Take a row for a connection from `address`; None where none is free."""
        for row in self._own:
            start = row * _ROW_BYTES
            if self._table[start : start + _ADDRESS_BYTES] == _FREE:
                self._table[start : start + _ADDRESS_BYTES] = _packed(address)
                return row
        return None

    def rename(self, row: int, address: str) -> None:
        """Note that the connection of a row comes from `address`, by way of another."""
        start = row * _ROW_BYTES
        self._table[start : start + _ADDRESS_BYTES] = _packed(address)

    def associate(self, row: int) -> None:
        """Note that the connection of a row has an association."""
        self._table[row * _ROW_BYTES + _ADDRESS_BYTES] = 1

    def leave(self, row: int) -> None:
        """Give a row back."""
        start = row * _ROW_BYTES
        self._table[start : start + _ROW_BYTES] = bytes(_ROW_BYTES)

    def connections_from(self, address: str) -> int:
        """How many connections from `address` there are, over all processes."""
        wanted = _packed(address)
        return sum(row[:_ADDRESS_BYTES] == wanted for row in self._all())

    def associations(self) -> int:
        """How many associations there are, over all processes."""
        return sum(row[_ADDRESS_BYTES] for row in self._all())

    def associations_from(self, address: str) -> int:
        """How many associations from `address` there are, over all processes."""
        wanted = _packed(address) + b"\1"
        return sum(row == wanted for row in self._all())

    def _all(self) -> Iterator[bytes]:
        table = bytes(self._table)
        return (table[start : start + _ROW_BYTES] for start in range(0, len(table), _ROW_BYTES))


def _packed(address: str) -> bytes:
    """An address as 16 bytes, IPv4 as IPv4-mapped IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4:
        return b"\0" * 10 + b"\xff\xff" + parsed.packed
    return parsed.packed
