"""The command line `perfnet-prep`."""

import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from pipelines.config import BuildConfig
from pipelines.export_config import ExportOptions, PysklOptions
from pipelines.plan_options import PlanOptions
from pipelines.pose_eval import PoseEvalOptions
from pipelines.preview_config import PreviewConfig
from pose.assets import MEDIAPIPE_POSE
from schemas.errors import ConfigError, PrepError

DONE, DATA_FAILED, USAGE_ERROR = 0, 1, 2
"""Exit statuses: all well; data failed (too many clips, damaged shards, a full disk); nothing
was started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyOptions:
    """Check a finished output folder: checksums, counts, frames, labels."""

    output: tyro.conf.Positional[str]
    """Output folder of `perfnet-prep build`."""


_Folders = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR...")]


def _check_folders(folders: tuple[str, ...]) -> None:
    if not folders:
        raise ConfigError("DIR must name at least one output folder of `perfnet-prep build`")


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsOptions:
    """Show the figures of finished outputs, and what their clips must not share."""

    outputs: _Folders
    """Output folders of `perfnet-prep build`; name the splits of a data set together to have them
    compared with each other."""
    json: bool = False
    """Print JSON instead of tables."""

    def __post_init__(self) -> None:
        _check_folders(self.outputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOptions:
    """Write one HTML page about finished outputs: outcomes, figures, clips that play."""

    outputs: _Folders
    """Output folders of `perfnet-prep build`; name the splits of a data set together to have them
    compared with each other."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "report.html"
    """The page to write; it needs no other file and no network."""
    clips: int = 6
    """Clips to show, chosen by a hash of their ids."""

    def __post_init__(self) -> None:
        _check_folders(self.outputs)
        if self.clips < 0:
            raise ConfigError(f"clips must be >= 0, got {self.clips}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsOptions:
    """Fetch pose models, or list them."""

    action: tyro.conf.Positional[Literal["fetch", "list"]]
    """`fetch` puts a model into the cache; `list` shows what is there."""
    name: tyro.conf.Positional[str] = MEDIAPIPE_POSE
    """Model to fetch, as `list` names it."""
    source: Annotated[str, tyro.conf.arg(name="from", metavar="FILE")] = ""
    """Take the model from this file instead of downloading it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowOptions:
    """Print what a finished output holds of one clip."""

    folder: tyro.conf.Positional[str]
    """Output folder of `perfnet-prep build`."""
    clip_id: tyro.conf.Positional[str]
    """The clip, as the ledger names it. An id that begins with `-` goes last, after `--`."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Also write this file: a video of all streams side by side (.mp4) or a contact sheet (.png);
    an older file of that name is replaced."""


def main(argv: list[str]) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name.

    Returns:
        0 done; 1 data failed; 2 usage or configuration error.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger().addFilter(_is_worth_saying)
    if not argv or argv[0] not in COMMANDS:
        is_help = argv[:1] in (["-h"], ["--help"])
        (sys.stdout if is_help else sys.stderr).write(_usage())
        return DONE if is_help else USAGE_ERROR
    command, options = COMMANDS[argv[0]], argv[1:]
    run: Callable[[Any], int] = command.run
    if command.takes_beam_options:
        split = options.index("--") if "--" in options else len(options)
        run = partial(command.run, beam_options=options[split + 1 :])
        options = options[:split]
    try:
        values = tyro.cli(command.options, prog=f"perfnet-prep {argv[0]}", args=options)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE_ERROR
    try:
        return run(values)
    except (PrepError, OSError) as error:
        sys.stderr.write(f"perfnet-prep: {error}\n")
        return USAGE_ERROR if isinstance(error, ConfigError) else DATA_FAILED


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Beam warns on import that its Google Cloud extra is not installed: not an error here."""
    return not record.getMessage().startswith("apitools not found")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _build(config: BuildConfig, beam_options: list[str]) -> int:
    from pipelines.build import build, is_complete
    from pipelines.output_folder import claim_output
    from pipelines.prepare import prepare_run
    from pipelines.progress import show_progress
    from pipelines.runner import is_dataflow, parse_beam_options, set_children_per_machine
    from pipelines.storage import join, read_json, use_options

    start = time.monotonic()
    options = parse_beam_options([f"--direct_num_workers={config.workers}", *beam_options])
    set_children_per_machine(options, config.workers)
    use_options(options)
    run = prepare_run(config)
    with claim_output(config.output):
        if is_complete(run):
            _say(f"nothing to do: {config.output} is complete")
            info = read_json(join(config.output, "run.json"))
        else:
            num_clips = run.plan.num_rows - len(run.plan.settled)
            with nullcontext() if is_dataflow(options) else show_progress(num_clips):
                info = build(run, options=options)
    if info is None:
        _say(f"job description made, nothing started; plan in {config.output}")
        return DONE
    seconds = time.monotonic() - start
    counts = ", ".join(f"{number} {outcome}" for outcome, number in info["counts"].items())
    rate = info["num_rows"] / seconds
    _say(f"{info['num_rows']} rows: {counts}; {seconds:.1f} s, {rate:.2f} rows/s")
    _say(f"result in {config.output}")
    fraction = info["failed_fraction"]
    if fraction > config.max_failed_fraction:
        sys.stderr.write(
            f"perfnet-prep: failed share of the rows must be <= {config.max_failed_fraction:g} "
            f"(max_failed_fraction), got {fraction:.3f}; see the column `detail` of "
            f"{join(config.output, 'ledger.parquet')}\n"
        )
        return DATA_FAILED
    return DONE


def _plan(options: PlanOptions) -> int:
    from pipelines.plan_report import report_plan

    report_plan(options)
    return DONE


def _verify(options: VerifyOptions) -> int:
    from pipelines.verify import verify_output
    from pipelines.verify_files import withdraw_damaged

    found = verify_output(options.output)
    for line in [*found.problems, *withdraw_damaged(options.output, found)]:
        _say(line)
    verdict = f"{len(found.problems)} problems" if found.problems else "sound"
    _say(f"{options.output}: {verdict}; {found.num_records} records, {found.num_images} images")
    return DATA_FAILED if found.problems else DONE


def _stats(options: StatsOptions) -> int:
    from rich.console import Console

    from pipelines.stats import open_outputs, stats_json
    from pipelines.stats_table import show_stats

    outputs = open_outputs(options.outputs)
    if options.json:
        _say(json.dumps(stats_json(outputs), indent=2, ensure_ascii=False))
    else:
        show_stats(outputs, Console())
    return DONE


def _report(options: ReportOptions) -> int:
    from pipelines.report import write_report
    from pipelines.stats import open_outputs

    size = write_report(open_outputs(options.outputs), path=options.output, num_clips=options.clips)
    _say(f"{options.output}: {size / 1e6:.1f} MB")
    return DONE


def _models(options: ModelsOptions) -> int:
    from pose.assets import fetch_asset, list_assets

    if options.action == "fetch":
        source = Path(options.source).expanduser() if options.source else None
        fetch_asset(options.name, source=source, progress=_say)
    for row in list_assets():
        command = f"perfnet-prep models fetch {row.asset.name}"
        state = str(row.path) if row.is_fetched else f"not fetched; run: {command}"
        _say(f"{row.asset.name} {row.asset.version} ({row.asset.licence}): {state}")
    return DONE


def _pose_eval(options: PoseEvalOptions) -> int:
    from pipelines.pose_eval import evaluate_backend

    scores = evaluate_backend(options)
    _say(scores.json() if options.json else scores.text())
    return DONE


def _preview(config: PreviewConfig) -> int:
    from pipelines.preview import describe_preview, make_preview

    _say(describe_preview(make_preview(config), config.output))
    return DONE


def _show(options: ShowOptions) -> int:
    from pipelines.show import show_clip

    _say(show_clip(options.folder, options.clip_id, options.output))
    return DONE


def _export(options: Any) -> int:
    from pipelines.export_mmaction2 import export_mmaction2
    from pipelines.export_pyskl import export_pyskl

    start = time.monotonic()
    is_pyskl = isinstance(options, PysklOptions)
    done = export_pyskl(options) if is_pyskl else export_mmaction2(options)
    _say(f"{done.describe()}; {time.monotonic() - start:.1f} s; result in {options.destination}")
    return DONE


class Command(NamedTuple):
    """One command of the program."""

    options: Any
    """What tyro makes the options of: a dataclass, or several as sub-commands."""
    run: Callable[..., int]
    """Takes the options, and `beam_options` if it has any; returns the exit status."""
    summary: str
    takes_beam_options: bool = False
    """Whether what follows `--` goes to Apache Beam."""


COMMANDS = {
    "build": Command(
        BuildConfig,
        _build,
        "turn annotated videos into shards of RGB, optical flow and rendered pose",
        takes_beam_options=True,
    ),
    "plan": Command(PlanOptions, _plan, "predict time, disk and failures of a build"),
    "verify": Command(VerifyOptions, _verify, "check a finished output folder"),
    "stats": Command(StatsOptions, _stats, "show the figures of finished outputs"),
    "report": Command(ReportOptions, _report, "write an HTML page about finished outputs"),
    "preview": Command(
        PreviewConfig, _preview, "show what build would store of one video, as a video"
    ),
    "show": Command(ShowOptions, _show, "print and show what an output holds of one clip"),
    "export": Command(ExportOptions, _export, "write outputs as mmaction2 or PYSKL data sets"),
    "models": Command(ModelsOptions, _models, "fetch or list the pose models"),
    "pose-eval": Command(PoseEvalOptions, _pose_eval, "measure a pose back end on images of COCO"),
}


def _usage() -> str:
    lines = [f"  {name:<11}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: perfnet-prep COMMAND ...\n",
            *lines,
            "\n`perfnet-prep COMMAND --help` lists the options of a command.\n",
        )
    )
