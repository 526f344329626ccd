"""The processors there are, and what rules must know of them."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from processor.converting import Convert
from processor.deidentify import Deidentify
from processor.errors import OptionError
from processor.findings import names_of
from processor.forward import Forward
from processor.metadata import Metadata
from processor.model import Processor
from processor.package import Package
from processor.preview import Preview
from processor.quality import Qc
from rules.model import ProcessorKind, Step

_ALL: tuple[Processor, ...] = (
    Convert(),
    Qc(),
    Preview(),
    Metadata(),
    Package(),
    Forward(),
    Deidentify(),
)
_USES: Mapping[str, tuple[str, ...]] = {
    "convert": ("deidentify",),
    "qc": ("deidentify",),
    "preview": ("deidentify",),
    "metadata": ("deidentify", "convert", "qc"),
    "package": ("deidentify", "convert", "qc", "preview", "metadata"),
}

_ALONE = frozenset({"forward"})

PROCESSORS: Mapping[str, Processor] = MappingProxyType(
    {processor.name: processor for processor in _ALL}
)

KINDS: Mapping[str, ProcessorKind] = MappingProxyType(
    {
        name: ProcessorKind(
            processor.check_options, names_of(name), _USES.get(name, ()), is_alone=name in _ALONE
        )
        for name, processor in PROCESSORS.items()
    }
)
"""For `rules.parse`: the names, options, findings and order of the processors."""


def check_step(step: Step) -> None:
    """Raise `OptionError` if a rule's step names no processor or has a wrong option."""
    if step.processor not in PROCESSORS:
        near = get_close_matches(step.processor, list(PROCESSORS), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(PROCESSORS)}"
        raise OptionError(f"unknown processor {step.processor} ({hint})")
    PROCESSORS[step.processor].check_options(step.options)
