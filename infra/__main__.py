"""The first moments of the program: `mission-control`, or `python -m infra`."""

import gc
import os
import signal
import sys

# Loading makes hundreds of thousands of objects that stay. Looking through them for garbage at CPython's own
# threshold (700) took a sixth of the time until the server is ready.
GC_THRESHOLD = 50_000


def main() -> None:
    """Hear the signals before anything else, then load the command line and run it.

    Loading takes a moment, and a Ctrl-C in it is no error: nothing runs yet.
    """
    gc.set_threshold(GC_THRESHOLD)
    interrupt = signal.getsignal(signal.SIGINT)
    if sys.argv[1:2] == ["up"]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(0))
    elif interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    from infra import cli  # noqa: PLC0415 - after the signals

    if sys.argv[1:2] != ["up"]:
        signal.signal(signal.SIGINT, interrupt)
    cli.main()


if __name__ == "__main__":
    main()
