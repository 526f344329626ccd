"""The forward processor: the instances of a series, sent on as they were received."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from processor import options
from processor.errors import ForwardRefused, NotForwarded, OptionError
from processor.model import JobContext, StepResult
from processor.sending import Forwarded

OPTIONS = (
    options.text("to", "the name of a [[pacs]]"),
    options.choice("decompress", "no", ("no", "yes")),
)


@dataclass(frozen=True)
class Forward:
    """Sends each instance to a receiver once; what comes late is sent alone.

    Options: `to` (needed; the name of a `[[pacs]]`) and `decompress` ("yes" sends uncompressed
    what the receiver does not take as it is).
    """

    name: str = "forward"
    version: str = "1"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)
        if "to" not in given:
            raise OptionError("forward: option to: missing; expected the name of a [[pacs]]")

    def run(self, job: JobContext) -> StepResult:
        """Send what the receiver has not taken yet.

        Raises
        ------
        NotForwarded
            It did not take all of it, and may later.
        ForwardRefused
            It did not take all of it, and will not.
        """
        sender = job.request.sender
        if sender is None:
            return StepResult(self.name, "refused", "not forwarded: only the daemon forwards")
        to, count = str(job.options["to"]), len(job.request.files)
        forwarded = sender(
            to,
            job.request.series_uid,
            job.request.files,
            decompress=job.options.get("decompress") == "yes",
            on_sent=lambda settled: job.progress(settled / count),
        )
        if forwarded.refused:
            kind = NotForwarded if forwarded.is_retriable else ForwardRefused
            raise kind(_why_not(to, count, forwarded.refused))
        details = {
            "to": to,
            "sent": forwarded.sent,
            "sent_before": forwarded.already,
            "warnings": forwarded.warned,
        }
        return StepResult(self.name, "done", _summary(to, forwarded), details)


def _summary(to: str, forwarded: Forwarded) -> str:
    parts = [f"{forwarded.sent} instance{'s' if forwarded.sent != 1 else ''} forwarded to {to}"]
    parts += [f"{forwarded.already} were there already"] if forwarded.already else []
    parts += [f"{forwarded.warned} with a warning"] if forwarded.warned else []
    return ", ".join(parts)


def _why_not(to: str, count: int, refused: Mapping[str, str]) -> str:
    """How many were not taken, and the commonest reason."""
    ((reason, times),) = Counter(refused.values()).most_common(1)
    others = f" (and {len(refused) - times} for other reasons)" if times < len(refused) else ""
    return f"{len(refused)} of {count} instances not forwarded to {to}: {reason}{others}"
