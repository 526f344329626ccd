"""The processors there are, in the order in which they run: later ones use earlier results."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from processor.convert import Convert
from processor.errors import OptionError
from processor.metadata import Metadata
from processor.model import Processor
from processor.preview import Preview
from processor.quality import Qc
from rules.model import Step

_IN_ORDER: tuple[Processor, ...] = (Convert(), Qc(), Preview(), Metadata())

PROCESSORS: Mapping[str, Processor] = MappingProxyType(
    {processor.name: processor for processor in _IN_ORDER}
)


def check_step(step: Step) -> None:
    """Raise `OptionError` if a rule's step names no processor or has a wrong option."""
    if step.processor not in PROCESSORS:
        near = get_close_matches(step.processor, list(PROCESSORS), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(PROCESSORS)}"
        raise OptionError(f"unknown processor {step.processor} ({hint})")
    PROCESSORS[step.processor].check_options(step.options)


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Checked steps in the order in which they run.

    >>> [step.processor for step in in_order([Step("metadata", {}), Step("convert", {})])]
    ['convert', 'metadata']
    """
    for step in steps:
        check_step(step)
    places = list(PROCESSORS)
    return tuple(sorted(steps, key=lambda step: places.index(step.processor)))
