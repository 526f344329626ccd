"""``safelight``, except that a process that dies is started again without the growing delay.

The delay protects a machine from a process that cannot run; a sweep that kills on purpose
would wait 30 s after each of hundreds of kills.
"""

from safelight import children, cli


def main() -> None:
    """Run the command line."""
    assert children.RESTART_SECONDS  # the name that is replaced must exist
    children.RESTART_SECONDS = (0.0,)
    cli.main()


if __name__ == "__main__":
    main()
