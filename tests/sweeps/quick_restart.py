"""``safelight``, except that a process that dies is started again without the growing delay.

The delay protects a machine from a process that cannot run; a sweep that kills on purpose
would wait 30 s after each of hundreds of kills.
"""

from safelight import cli, daemon


def main() -> None:
    """Run the command line."""
    assert daemon._RESTART_SECONDS  # the name that is replaced must exist
    daemon._RESTART_SECONDS = (0.0,)
    cli.main()


if __name__ == "__main__":
    main()
