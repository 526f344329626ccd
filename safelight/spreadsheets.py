"""What must be minded where a spreadsheet program will open what we write."""

Row = tuple[str | int, ...]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe(row: Row) -> Row:
    """Return a row whose texts no spreadsheet takes for a formula.

    >>> safe(("=1+1", 3, "CT"))
    ("'=1+1", 3, 'CT')
    """
    return tuple(
        f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row
    )
