"""Entry point of the Dataflow Flex Template: the template's parameters become a `build`.

Dataflow's launcher runs this file with `--name=value` for each parameter of
`docker/metadata.json`, and with Beam's own options among them.
"""

import shlex
import sys

from pipelines.cli import main

SINGLE = (
    *("dataset", "annotations", "videos", "split", "output", "label_map", "num_shards"),
    *("workers", "accelerator", "pose_backend", "flow_engine"),
)
"""Parameters that are options of `build` with one value."""
SEVERAL = ("modalities", "formats")
"""Parameters that are options of `build` with values between blanks."""
MORE = "build_options"
"""Parameter with further options of `build`, as a shell would have them."""


def build_arguments(flags: list[str]) -> list[str]:
    """Return the arguments of `perfnet-prep` for what the launcher gives.

    Args:
        flags: `--name=value`; what is no parameter of the template goes to Beam.
    """
    build, beam = ["build"], []
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        option = f"--{name.replace('_', '-')}"
        if name in SINGLE:
            build += [option, value]
        elif name in SEVERAL:
            build += [option, *value.split()]
        elif name == MORE:
            build += shlex.split(value)
        else:
            beam.append(flag)
    return [*build, "--", *beam]


if __name__ == "__main__":
    sys.exit(main(build_arguments(sys.argv[1:])))
