"""Inputs of the PDU fuzz: what a peer has sent so far, and what it sends next, damaged.

An input is drawn from a seed, the name of a state and an index alone, so that three values
repeat it: ``python tests/sweeps/mutations.py SEED STATE INDEX`` prints it.
"""

import random
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from upper_layer import (
    ABORT,
    ALL_SUB_ITEMS,
    COMMIT,
    CONTEXTS,
    CT_IMAGE_STORAGE,
    ECHO,
    HAS_DATASET,
    REFUSED,
    RELEASE_RQ,
    STORE,
    STORE_DEFLATED,
    Instance,
    Instances,
    associate_rq,
    c_echo_rq,
    c_store_rq,
    command,
    commitment_dataset,
    element,
    n_action_rq,
    p_data,
    pdu,
    pdv,
    ui,
    us,
)

State = Literal[
    "awaiting association",
    "idle",
    "in a command",
    "in a dataset",
    "awaiting commitment dataset",
    "after release",
]
STATES: tuple[State, ...] = State.__args__

# What the peer does then: sends no more but reads on; waits a little and aborts; resets the
# connection; is silent.
Ending = Literal["end", "abort", "reset", "silence"]

_HARMLESS = 0.05
LENGTHS = (0, 1, 2, 5, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
UIDS = (
    b"",
    b"\0",
    b"1",
    b"1.2.",
    b"1..2",
    b".1",
    b"../../../../tmp/evil",
    b"/etc/passwd",
    b"..",
    b"1.2.3\0/../4\0",
    b"1." + b"9" * 62,
    b"1." + b"9" * 63,
    b"9" * 4000,
    "1.2.\N{ARABIC-INDIC DIGIT THREE}".encode(),
    b"1.2.3\r\n",
    b"\xff\xfe\x80\x81",
    CT_IMAGE_STORAGE.encode(),
)
COMMAND_FIELDS = (
    0x0000, 0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140,
    0x0150, 0x0FFF, 0x8001, 0x8010, 0x8020, 0x8021, 0x8030, 0x8100, 0x8110, 0x8120, 0x8130,
    0xFFFF,
)  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One input of the fuzz.

    Attributes
    ----------
    prelude
        PDUs that lead to the state; the receiver answers the first `answered` of them.
    damaged
        What follows, as it is written to the socket, in one or several writes.
    ending
        What the peer does then.
    must_store
        The instance that must be stored, where what follows is unusual but not wrong.
    """

    state: State
    index: int
    prelude: tuple[bytes, ...]
    answered: int
    damaged: tuple[bytes, ...]
    ending: Ending
    must_store: str = ""

    @property
    def stream(self) -> bytes:
        """Everything the peer sends; after what was cut off an A-ABORT is content."""
        return b"".join((*self.prelude, *self.damaged)) + ABORT * (self.ending == "abort")


class Inputs:
    """Draws the inputs of a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._make = Instances(f"1.2.826.0.1.9004.{seed}")

    def __call__(self, state: State, index: int) -> Input:
        """The input of a state and an index."""
        draw = random.Random(f"{self._seed}/{state}/{index}")
        instance = self._make(index, series=STATES.index(state))
        messages = _messages(draw, instance)
        prelude, pdus = _SCRIPTS[state](draw, messages)
        stores = bool(prelude) and state != "after release" and messages.store[-1] in pdus
        must_store = stores and draw.random() < _HARMLESS
        if must_store:
            pdus = [_refragment(draw, data) for data in pdus]
        else:
            for _ in range(draw.choice((1, 1, 1, 2, 3))):
                pdus = draw.choice(_MUTATIONS)(draw, pdus)
        answered = len(prelude) if state in ("idle", "after release") else min(1, len(prelude))
        ending = draw.choices(("end", "abort", "silence", "reset"), (80, 8, 3, 9))[0]
        return Input(
            state,
            index,
            prelude,
            answered,
            _writes(draw, b"".join(pdus)),
            "end" if must_store else ending,
            instance.sop_instance_uid if must_store else "",
        )


@dataclass(frozen=True)
class Messages:
    """PDUs of the honest messages that an input is made of."""

    store: list[bytes]
    commit: list[bytes]
    store_command: bytes
    context: int


def _messages(draw: random.Random, instance: Instance) -> Messages:
    padding = draw.choices((0, 3000, 150_000), (90, 9, 1))[0]
    dataset = instance.dataset + (_trailing_padding(padding) if padding else b"")
    context = draw.choice((STORE, STORE, STORE, STORE_DEFLATED))
    if context == STORE_DEFLATED:
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        dataset = squeeze.compress(dataset) + squeeze.flush()
        dataset += b"\0" * (len(dataset) % 2)
    third = len(dataset) // 3
    uid = instance.sop_instance_uid
    store_command = c_store_rq(uid)
    return Messages(
        store=[
            p_data(context, 3, store_command),
            p_data(context, 0, dataset[:third]),
            p_data(context, 0, dataset[third : 2 * third]),
            p_data(context, 2, dataset[2 * third :]),
        ],
        commit=[
            p_data(COMMIT, 3, n_action_rq()),
            p_data(COMMIT, 2, commitment_dataset(uid, "1.2.3")),
        ],
        store_command=store_command,
        context=context,
    )


def _trailing_padding(size: int) -> bytes:
    """Data Set Trailing Padding (FFFC,FFFC), Explicit VR Little Endian."""
    return struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, size) + bytes(size)


Script = tuple[tuple[bytes, ...], list[bytes]]


def _unassociated(draw: random.Random, messages: Messages) -> Script:
    some = draw.sample(tuple(CONTEXTS), draw.randint(1, len(CONTEXTS)))
    plain = associate_rq(contexts=tuple(some))
    rich = associate_rq(extra=ALL_SUB_ITEMS, maximum_length=draw.choice((0, 1, 7, 128, 16384)))
    return (), [draw.choice((plain, rich)), *draw.choice(([], messages.store))]


def _idle(draw: random.Random, messages: Messages) -> Script:
    return (associate_rq(),), draw.choice(_conversations(messages))


def _conversations(messages: Messages) -> tuple[list[bytes], ...]:
    return (
        messages.store,
        [*messages.store, RELEASE_RQ],
        [p_data(ECHO, 3, c_echo_rq()), RELEASE_RQ],
        messages.commit,
        [RELEASE_RQ],
        [ABORT],
        [associate_rq()],
        [pdu(0x02, associate_rq()[6:])],
        [pdu(0x03, b"\0\1\1\1")],
        [pdu(0x06, bytes(4))],
    )


def _in_command(draw: random.Random, messages: Messages) -> Script:
    whole, context = messages.store_command, messages.context
    cut = draw.randrange(1, len(whole))
    prelude = (associate_rq(), p_data(context, 1, whole[:cut]))
    return prelude, [p_data(context, 3, whole[cut:]), *messages.store[1:], RELEASE_RQ]


def _in_dataset(draw: random.Random, messages: Messages) -> Script:
    begun = draw.randint(1, 3)
    return (associate_rq(), *messages.store[:begun]), [*messages.store[begun:], RELEASE_RQ]


def _awaiting_commitment(draw: random.Random, messages: Messages) -> Script:
    prelude = (associate_rq(), messages.commit[0])
    return prelude, [messages.commit[1], *draw.choice(([], [RELEASE_RQ], messages.store))]


def _released(draw: random.Random, messages: Messages) -> Script:
    return (associate_rq(), RELEASE_RQ), draw.choice(_conversations(messages))


_SCRIPTS: dict[State, Callable[[random.Random, Messages], Script]] = {
    "awaiting association": _unassociated,
    "idle": _idle,
    "in a command": _in_command,
    "in a dataset": _in_dataset,
    "awaiting commitment dataset": _awaiting_commitment,
    "after release": _released,
}


def _writes(draw: random.Random, data: bytes) -> tuple[bytes, ...]:
    """How `data` is divided among writes: mostly one."""
    if len(data) < 2 or draw.random() < 0.8:
        return (data,)
    cuts = sorted({draw.randrange(1, len(data)) for _ in range(draw.randint(1, 3))})
    return tuple(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))


def _one(change: Callable[[random.Random, bytes], bytes]) -> "Mutation":
    """A mutation that changes one of the PDUs."""

    def mutate(draw: random.Random, pdus: Sequence[bytes]) -> list[bytes]:
        if not pdus:
            return [change(draw, ABORT)]
        chosen = draw.randrange(len(pdus))
        return [*pdus[:chosen], change(draw, pdus[chosen]), *pdus[chosen + 1 :]]

    return mutate


Mutation = Callable[[random.Random, Sequence[bytes]], list[bytes]]


def _flip_bits(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    # Headers and UIDs are at the front; pixels, which nobody parses, at the back.
    reach = draw.choice((12, 80, 400, len(data)))
    for _ in range(draw.choice((1, 1, 2, 8)) if data else 0):
        changed[draw.randrange(min(reach, len(changed)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _length(draw: random.Random, actual: int, width: int) -> int:
    near = (actual + delta for delta in (-7, -2, -1, 1, 2, 7))
    chosen = draw.choice((*LENGTHS, *near, draw.getrandbits(8 * width)))
    return chosen % (1 << 8 * width)


def _change_pdu_length(draw: random.Random, data: bytes) -> bytes:
    return data[:2] + struct.pack(">I", _length(draw, len(data) - 6, 4)) + data[6:]


def _change_pdv_length(draw: random.Random, data: bytes) -> bytes:
    return data[:6] + struct.pack(">I", _length(draw, len(data) - 10, 4)) + data[10:]


def _change_any_length(draw: random.Random, data: bytes) -> bytes:
    """Overwrite two or four bytes anywhere, as a length in either byte order."""
    code = draw.choice((">H", "<H", ">I", "<I"))
    width = struct.calcsize(code)
    at = draw.randrange(max(1, min(len(data), draw.choice((16, 120, 500))) - width))
    return data[:at] + struct.pack(code, _length(draw, 0, width)) + data[at + width :]


def _truncate(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _truncate_honestly(draw: random.Random, data: bytes) -> bytes:
    """A PDU whose body was cut, but whose length says so."""
    return data[:1] + pdu(0, data[6 : draw.randrange(6, len(data) + 7)])[1:]


def _append(draw: random.Random, data: bytes) -> bytes:
    return data + draw.randbytes(draw.choice((1, 5, 6, 100, 5000)))


def _insert(draw: random.Random, data: bytes) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.randbytes(draw.choice((1, 2, 4, 64))) + data[at:]


def _change_type(draw: random.Random, data: bytes) -> bytes:
    return bytes([draw.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 0x16, draw.randrange(256)))]) + data[1:]


def _change_context(draw: random.Random, data: bytes) -> bytes:
    return data[:10] + bytes([draw.choice((0, 2, ECHO, REFUSED, COMMIT, 255))]) + data[11:]


def _change_flags(draw: random.Random, data: bytes) -> bytes:
    return data[:11] + bytes([draw.choice((0, 1, 2, 3, 4, 0x80, 0xFF))]) + data[12:]


def _noise(draw: random.Random, data: bytes) -> bytes:
    noise = draw.randbytes(draw.choice((0, 1, 5, 6, 7, 100, 4096, 70_000)))
    return draw.choice((noise, pdu(draw.randrange(9), noise), p_data(STORE, 3, noise)))


def _refragment(draw: random.Random, data: bytes) -> bytes:
    """Divide a fragment into many; those of zero length are among them. Nothing is wrong here."""
    if data[:1] != b"\x04" or len(data) < 12:
        return data
    context, flags, rest = data[10], data[11], data[12:]
    sizes = draw.choice(((1,), (0, 1, 2, 3, 50), (0, 1, len(rest)), (4096,), (len(rest),)))
    values = []
    while rest:
        size = max(draw.choice(sizes), len(rest) // 2000 if values else 0)
        fragment, rest = rest[:size], rest[size:]
        values.append(pdv(context, flags if not rest else flags & 1, fragment))
    together = draw.choice((1, 2, len(values)))
    pdus, body = [], b""
    for number, value in enumerate(values, 1):
        body += value
        if number % together == 0 or number == len(values) or len(body) > 60_000:
            pdus.append(pdu(0x04, body))
            body = b""
    return b"".join(pdus)


def _empty_fragments(draw: random.Random, data: bytes) -> bytes:
    empty = draw.choice(
        (
            pdu(0x04, b""),
            p_data(STORE, draw.randrange(4), b""),
            pdu(0x04, struct.pack(">I", 0)),
            pdu(0x04, struct.pack(">IB", 1, STORE)),
        )
    ) * draw.choice((1, 2, 1100))
    return draw.choice((empty, empty + data, data + empty))


def _odd_command(draw: random.Random, data: bytes) -> bytes:
    """A command whose elements have odd, wrong or missing values."""
    elements = [
        element(0x00000002, draw.choice((ui(CT_IMAGE_STORAGE), draw.choice(UIDS)))),
        element(0x00000100, draw.choice((us(1), us(draw.choice(COMMAND_FIELDS)), b"\1", b""))),
        element(0x00000110, draw.choice((us(1), b"\1\0\0", b"", draw.randbytes(9)))),
        element(0x00000700, us(draw.randrange(4))),
        element(0x00000800, draw.choice((us(HAS_DATASET), us(0x0101), b"\1", b"", b"\1\0\0"))),
        element(0x00001000, draw.choice(UIDS)),
        element(draw.getrandbits(32), draw.randbytes(draw.randrange(20))),
    ]
    chosen = draw.sample(elements, draw.randint(0, len(elements)))
    if draw.random() < 0.7:
        chosen.sort(key=lambda encoded: encoded[:4][::-1])
    encoded = draw.choice((command(*chosen), b"".join(chosen)))
    return p_data(draw.choice(tuple(CONTEXTS)), 3, encoded)


def _other_command(draw: random.Random, data: bytes) -> bytes:
    """A well-formed message that this peer may not send, or not now."""
    field = us(draw.choice(COMMAND_FIELDS))
    kind = draw.choice((us(HAS_DATASET), us(0x0101)))
    sop_class = ui(draw.choice([syntax for syntax, _ in CONTEXTS.values()]))
    body = [element(0x00000002, sop_class), element(0x00000100, field), element(0x00000110, us(7))]
    asked = command(*body, element(0x00000800, kind), element(0x00001000, ui("1.2.3")))
    return draw.choice((b"", data)) + p_data(draw.choice(tuple(CONTEXTS)), 3, asked)


def _replace_uid(draw: random.Random, data: bytes) -> bytes:
    """Another UID of the same or of another length, where a UID begins."""
    found = [at for at in range(len(data) - 4) if data[at : at + 4] == b"1.2."]
    if not found:
        return data
    at = draw.choice(found)
    uid = draw.choice(UIDS)
    if draw.random() < 0.5:
        return data[:at] + uid[:64] + data[at + len(uid[:64]) :]
    end = at
    while data[end : end + 1] in b".0123456789" and end < len(data):
        end += 1
    return data[:1] + pdu(0, data[6:at] + uid + data[end:])[1:]


def _duplicate(draw: random.Random, pdus: Sequence[bytes]) -> list[bytes]:
    chosen = draw.randrange(len(pdus) or 1)
    return [
        *pdus[:chosen],
        *pdus[chosen : chosen + 1] * draw.choice((2, 2, 3, 100)),
        *pdus[chosen:],
    ]


def _shuffle(draw: random.Random, pdus: Sequence[bytes]) -> list[bytes]:
    return draw.sample(pdus, len(pdus))


def _drop(draw: random.Random, pdus: Sequence[bytes]) -> list[bytes]:
    return draw.sample(pdus, draw.randint(0, len(pdus)))


def _splice(draw: random.Random, pdus: Sequence[bytes]) -> list[bytes]:
    """The head of one PDU and the tail of another."""
    if not pdus:
        return [ABORT]
    head, tail = draw.choice(pdus), draw.choice((*pdus, associate_rq(), ABORT, RELEASE_RQ))
    cut = draw.randrange(len(head) + 1)
    return [head[:cut] + tail[draw.randrange(len(tail) + 1) :], *pdus[1:]]


def _interleave(draw: random.Random, pdus: Sequence[bytes]) -> list[bytes]:
    """Something whole of another message in between."""
    other = draw.choice(
        (p_data(ECHO, 3, c_echo_rq(9)), RELEASE_RQ, ABORT, associate_rq(), p_data(STORE, 0, b"xx"))
    )
    at = draw.randrange(len(pdus) + 1)
    return [*pdus[:at], other, *pdus[at:]]


_MUTATIONS: tuple[Mutation, ...] = (
    *map(
        _one,
        (
            _flip_bits,
            _flip_bits,
            _flip_bits,
            _change_pdu_length,
            _change_pdv_length,
            _change_any_length,
            _change_any_length,
            _truncate,
            _truncate_honestly,
            _append,
            _insert,
            _change_type,
            _change_context,
            _change_flags,
            _noise,
            _refragment,
            _empty_fragments,
            _odd_command,
            _other_command,
            _replace_uid,
            _replace_uid,
        ),
    ),
    _duplicate,
    _shuffle,
    _drop,
    _splice,
    _interleave,
)


if __name__ == "__main__":
    chosen = Inputs(int(sys.argv[1]))(sys.argv[2], int(sys.argv[3]))
    for part in (*chosen.prelude, *chosen.damaged, chosen.ending.encode()):
        sys.stdout.write(f"{part.hex()}\n")
