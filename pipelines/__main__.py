"""Entry point of `perfnet-prep` and `python -m pipelines`.

Imports nothing that needs a system library before it has looked for them.
"""

import sys

from pipelines.system_libraries import install_line, missing_libraries


def main_exit() -> None:
    """Run the command line and exit with its status."""
    missing = missing_libraries()
    if missing:
        sys.stderr.write(
            f"perfnet-prep: system libraries must be installed, got none of {', '.join(missing)}; "
            f"run: {install_line(missing)}\n"
        )
        sys.exit(2)
    from pipelines.cli import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    main_exit()
