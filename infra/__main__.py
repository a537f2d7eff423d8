"""The first moments of the program: `mission-control`, or `python -m infra`."""

import os
import signal
import sys


def main() -> None:
    """Hear the signals before anything else, then load the command line and run it.

    Loading takes most of a second, and a Ctrl-C in it is no error of `up`: nothing runs yet.
    """
    if sys.argv[1:2] == ["up"]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(0))
    from infra import cli  # noqa: PLC0415 - after the signals

    cli.main()


if __name__ == "__main__":
    main()
