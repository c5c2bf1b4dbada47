"""Entry point of `perfnet-train` and `python -m perfnet`."""

import os
import sys

from perfnet.cli import main


def main_exit() -> None:
    """Run the command line and exit with its status."""
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main_exit()
