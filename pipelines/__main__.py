"""Entry point of `perfnet-prep` and `python -m pipelines`.

Imports nothing that needs a system library before it has looked for them.
"""

import os
import signal
import sys
from types import FrameType

from pipelines.system_libraries import describe_missing, missing_libraries


def main_exit() -> None:
    """Run the command line and exit with its status."""
    missing = missing_libraries()
    if missing:
        sys.stderr.write(describe_missing(missing))
        sys.exit(2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_at_once)
    # Python's resource tracker outlives an interrupted run, to clean up, and should be silent.
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    from pipelines.cli import main

    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        status = 1
    # All is written and closed. A library's thread that is alive when C++ cleans up would abort
    # the process, once in a hundred runs: there is nothing left to clean up.
    sys.stderr.flush()
    os._exit(status)


def _stop_at_once(number: int, _frame: FrameType | None) -> None:
    """End this process; a clean end would wait for the shards of all of Beam's threads."""
    show_cursor = "\x1b[?25h\n" if sys.stderr.isatty() else ""
    way_out = "; the same command goes on where it stopped" if "build" in sys.argv[1:2] else ""
    message = f"{show_cursor}perfnet-prep: interrupted{way_out}\n"
    os.write(sys.stderr.fileno(), message.encode("ascii"))
    os._exit(128 + number)  # the children see that their parent is gone, and end too


if __name__ == "__main__":
    main_exit()
