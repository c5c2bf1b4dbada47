"""The command line `perfnet-train`.

What a command needs is imported when it runs: help and usage errors wait for no torch.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import tyro

from schemas.errors import ConfigError, PrepError

DONE, FAILED, USAGE_ERROR, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: all well; training or data failed; nothing was started; Ctrl-C."""

_OUT_OF_MEMORY = (
    "a batch must fit into the memory of the GPU; take a smaller --batch-size (in training with "
    "more --accumulate, or --save-memory, --precision bf16): "
)

_T = TypeVar("_T")


def main(argv: list[str]) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name.

    Returns:
        0 done; 1 training or data failed; 2 usage or configuration error; 130 interrupted.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if not argv or argv[0] not in COMMANDS:
        is_help = argv[:1] in (["-h"], ["--help"])
        (sys.stdout if is_help else sys.stderr).write(_usage())
        return DONE if is_help else USAGE_ERROR
    try:
        COMMANDS[argv[0]].run(argv[1:])
    except SystemExit as stop:  # tyro printed help or what is wrong with an option
        return stop.code if isinstance(stop.code, int) else USAGE_ERROR
    except BrokenPipeError:
        raise  # the reader of our output has gone: see __main__
    except (PrepError, OSError) as error:
        sys.stderr.write(f"perfnet-train: {error}\n")
        return USAGE_ERROR if isinstance(error, ConfigError) else FAILED
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; it may not be imported
            raise
        sys.stderr.write(f"perfnet-train: {_OUT_OF_MEMORY}{str(error).splitlines()[0]}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"perfnet-train: interrupted{_way_on(argv[0])}\n")
        return INTERRUPTED
    return DONE


def _way_on(command: str) -> str:
    is_resumed = command in ("fit", "distill")
    return "; the same command goes on from the newest checkpoint" if is_resumed else ""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _parse(command: str, options: type[_T], arguments: list[str], **more: Any) -> _T:
    """Options of a command; raises SystemExit with a readable message if one is wrong."""
    parsed = tyro.cli(
        options,
        prog=f"perfnet-train {command}",
        args=arguments,
        config=(tyro.conf.AvoidSubcommands,),
        **more,
    )
    return cast("_T", parsed)


def _fit(arguments: list[str]) -> None:
    from perfnet.run_options import PRESET_HELP, take_preset
    from perfnet.training.config import FitConfig

    recipe, others = take_preset("fit", arguments)
    more = {} if recipe is None else {"default": recipe}
    summary = f"Train one network on one stream of the shards. {PRESET_HELP}"
    config = _parse("fit", FitConfig, others, description=summary, **more)
    from perfnet.training.fit import fit

    _train(partial(fit, config))


def _distill(arguments: list[str]) -> None:
    from perfnet.run_options import PRESET_HELP, DistillOptions, take_preset
    from perfnet.training.distill import DistillConfig

    recipe, others = take_preset("distill", arguments)
    more = {}
    if recipe is not None:
        teachers = DistillConfig(teachers=tyro.MISSING)
        more = {"default": DistillOptions(fit=recipe, distill=teachers)}
    summary = f"Train a student on the labels and on the logits of teachers. {PRESET_HELP}"
    options = _parse("distill", DistillOptions, others, description=summary, **more)
    from perfnet.training.distill_run import DistillRunConfig, distill

    _train(partial(distill, DistillRunConfig(fit=options.fit, distill=options.distill)))


def _train(run: Callable[[], Path]) -> None:
    from perfnet.progress import show_training

    with show_training() as summary:
        checkpoint = run()
    if summary.total_steps:  # else this is a process beside the one that tells
        _say(f"{summary.describe()}; checkpoint {checkpoint}")


def _evaluate(arguments: list[str]) -> None:
    from perfnet.evaluation.evaluate_run import EvaluateConfig, evaluate
    from perfnet.progress import show_lines

    config = _parse("evaluate", EvaluateConfig, arguments)
    start = time.monotonic()
    with show_lines():
        accuracy = evaluate(config)
    _say(f"{accuracy.describe()}; {time.monotonic() - start:.1f} s; result in {config.output}")


def _fuse(arguments: list[str]) -> None:
    from perfnet.evaluation.fuse_run import FuseConfig, fuse
    from perfnet.progress import show_lines

    config = _parse("fuse", FuseConfig, arguments)
    start = time.monotonic()
    with show_lines():
        accuracy = fuse(config)
    _say(f"{accuracy.describe()}; {time.monotonic() - start:.1f} s; result in {config.output}")


def _probe(arguments: list[str]) -> None:
    from perfnet.probe.config import ProbeConfig

    config = _parse("probe", ProbeConfig, arguments)
    from perfnet.probe.probe import describe_errors, probe

    _say(describe_errors(probe(config)))
    _say(f"result in {config.output}")


def _gradcam(arguments: list[str]) -> None:
    from perfnet.evaluation.gradcam_figure import GradCamConfig, draw_gradcam

    config = _parse("gradcam", GradCamConfig, arguments)
    for line in draw_gradcam(config):
        _say(line)
    _say(f"result in {config.output}")


def _profile(arguments: list[str]) -> None:
    from perfnet.profile_options import ProfileOptions

    options = _parse("profile", ProfileOptions, arguments)
    from perfnet.models.profile import profile_model
    from perfnet.models.registry import ModelConfig, paper_input_of

    found = profile_model(
        ModelConfig(
            name=options.name,
            width_multiplier=options.width_multiplier,
            depth_multiplier=options.depth_multiplier,
        ),
        num_classes=options.num_classes,
        input_thw=options.input or paper_input_of(options.name),
        in_channels=options.in_channels,
    )
    gflop = found.flops / 1e9
    if options.json:
        values = {"parameters": found.num_parameters, "gflop": gflop, "gmac": gflop / 2}
        _say(json.dumps(values, indent=2))
    else:
        _say(f"parameters {found.num_parameters}")
        _say(f"gflop {gflop:.2f} (2 per multiply-add)")
        _say(f"gmac {gflop / 2:.2f}")


def _toy(arguments: list[str]) -> None:
    from perfnet.toy_options import ToyOptions

    options = _parse("toy", ToyOptions, arguments)
    from perfnet.toy.shards import write_toy

    start = time.monotonic()
    folders = write_toy(options.config, options.output)
    seconds = time.monotonic() - start
    _say(f"{', '.join(map(str, folders.values()))}; {seconds:.1f} s")


class Command(NamedTuple):
    """One command of the program."""

    run: Callable[[list[str]], None]
    """Takes the arguments behind the command."""
    summary: str


COMMANDS = {
    "fit": Command(_fit, "train a network on one stream of the shards"),
    "distill": Command(_distill, "train a student on labels and the logits of teachers"),
    "evaluate": Command(_evaluate, "accuracy, confusion matrix and classes of checkpoints"),
    "fuse": Command(_fuse, "add the logits of several networks and evaluate the sum"),
    "probe": Command(_probe, "decode flow from a frozen network: does it see motion?"),
    "gradcam": Command(_gradcam, "draw which places of a clip speak for a class"),
    "profile": Command(_profile, "print parameters and FLOPs of a network"),
    "toy": Command(_toy, "generate shards of moving figures"),
}


def _usage() -> str:
    lines = [f"  {name:<10}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: perfnet-train COMMAND ...\n",
            *lines,
            "\n`perfnet-train COMMAND --help` lists the options of a command.\n",
        )
    )
