"""How long a rule keeps what it was applied to, and what it made. Pure: it deletes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf


@dataclass(frozen=True)
class Keep:
    """The ``[rule.keep]`` table: days after a rule's job has ended; None for ever."""

    instances_days: float | None = None
    results_days: float | None = None

    @classmethod
    def parse(cls, table: Mapping[str, object]) -> "Keep":
        """Read the table.

        Raises
        ------
        ValueError
            Begins with the key that is unknown or has a wrong value.

        Examples
        --------
        >>> Keep.parse({"instances_days": 90})
        Keep(instances_days=90.0, results_days=None)
        """
        names = [field.name for field in fields(cls)]
        for key, value in table.items():
            if key not in names:
                raise ValueError(f"{key}: unknown key; expected one of {', '.join(names)}")
            if type(value) not in (int, float) or not 0 <= value < inf:  # type: ignore[operator]
                raise ValueError(f"{key}: expected a number of days, got {value!r}")
        return cls(**{key: float(str(value)) for key, value in table.items()})
