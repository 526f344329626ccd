"""What makes separate files of frames at the same place: echo, component, Dixon type, map, stack.

Times, b-values and the like make volumes of one file instead: `processor.volumes`.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from pydicom.dataset import Dataset

from processor.frames import Frame
from processor.headers import image_types, number, text, values

_COMPONENTS = {
    **dict.fromkeys(("M", "MAGNITUDE"), ""),
    **dict.fromkeys(("P", "PHASE", "PHASE MAP"), "ph"),
    **dict.fromkeys(("R", "REAL"), "real"),
    **dict.fromkeys(("I", "IMAGINARY"), "imaginary"),
}
_DIXON = {
    **dict.fromkeys(("W", "WATER"), "water"),
    **dict.fromkeys(("F", "FAT"), "fat"),
    **dict.fromkeys(("IN_PHASE",), "in"),
    **dict.fromkeys(("OUT_PHASE", "OPP_PHASE"), "out"),
}
_MAPS = {"ADC": "adc", "FA": "fa", "T1 MAP": "t1map", "T2 MAP": "t2map", "T2_STAR MAP": "t2starmap"}


def _words(header: Dataset) -> tuple[str, ...]:
    """What the header's own words say of component, Dixon type and map."""
    told = (*image_types(header), *map(str, values(header, "FrameType")))
    marks = [mark.upper() for mark in (*told, text(header, "ComplexImageComponent"))]
    return tuple(
        next((words[mark] for mark in marks if mark in words), "")
        for words in (_COMPONENTS, _DIXON, _MAPS)
    )


def _echo_ms(header: Dataset) -> Hashable:
    time = number(header, "EffectiveEchoTime") or number(header, "EchoTime")
    return 0.0 if time is None else round(time, 1)


def _contrast(header: Dataset) -> tuple[Hashable, ...]:
    return (_echo_ms(header), *_words(header), text(header, "StackID"))


def by_contrast(frames: Sequence[Frame]) -> Iterator[tuple[list[Frame], str]]:
    """Split frames by echo, component, Dixon type, map and stack, with what to call each part."""
    groups: dict[tuple[Hashable, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[_contrast(frame.header)].append(frame)
    levels = [set(column) for column in zip(*groups, strict=True)]
    echoes = sorted(float(str(echo)) for echo in levels[0] if echo)
    for key, group in groups.items():
        echo, *words, stack = (
            str(value) if len(level) > 1 else "" for value, level in zip(key, levels, strict=True)
        )
        told = f"e{echoes.index(float(echo)) + 1}" if key[0] and len(echoes) > 1 else ""
        parts = (told, *words, f"stack{stack}" if stack else "")
        yield group, "_".join(part for part in parts if part)
