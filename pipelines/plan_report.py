"""`perfnet-prep plan`: the prediction of a build as tables or JSON."""

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines import storage
from pipelines.config import BuildConfig
from pipelines.estimate import Estimate, estimate_run
from pipelines.plan_options import PlanOptions
from pipelines.prepare import prepare_run
from pipelines.probe import probe_run

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def report_plan(options: PlanOptions) -> None:
    """Print what a build will take; nothing is written.

    Raises:
        ConfigError: As `prepare_run`.
    """
    run = prepare_run(options.build)
    console = Console(stderr=True)
    with console.status("opening files and processing a few clips"):
        probe = probe_run(run, num_files=options.probe_files, num_clips=options.probe_clips)
    estimate = estimate_run(run, probe)
    free = _free_bytes(options.build.output)
    if options.json:
        sys.stdout.write(json.dumps({**asdict(estimate), "free_bytes": free}, indent=1) + "\n")
    else:
        _print_tables(estimate, options.build, free)
    for warning in _warnings(estimate, options.build, free):
        sys.stderr.write(f"perfnet-prep: {warning}\n")


def _free_bytes(output: str) -> int | None:
    """Bytes free where the output will be; None if that cannot be asked."""
    if storage.is_remote(output):
        return None
    folder = Path(output).resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _warnings(estimate: Estimate, config: BuildConfig, free: int | None) -> list[str]:
    """What stands in the way of the build."""
    warnings = []
    if free is not None and free < estimate.total_bytes:
        warnings.append(
            f"disk of the output must have {show_bytes(estimate.total_bytes)} free, got "
            f"{show_bytes(free)}; choose another --output, fewer --formats or lower qualities"
        )
    if estimate.failed_fraction > config.max_failed_fraction:
        warnings.append(
            f"failed share of the rows must be <= {config.max_failed_fraction:g} "
            f"(max_failed_fraction), got {estimate.failed_fraction:.3f} predicted; see the "
            "outcomes above"
        )
    return warnings


def _print_tables(estimate: Estimate, config: BuildConfig, free: int | None) -> None:
    console = Console(highlight=False)
    console.print(
        f"{config.dataset} {config.split}: {estimate.num_rows:,} rows, "
        f"{estimate.num_found:,} with a file"
    )
    rows = Table("outcome", box=None, pad_edge=False)
    rows.add_column("rows", justify="right")
    rows.add_column("share", justify="right")
    rows.add_column("how known")
    for name, number in estimate.predicted.items():
        is_exact = estimate.settled.get(name) == number
        how = "counted" if is_exact else f"predicted from {estimate.probed_files} files"
        rows.add_row(name, f"{number:,}", f"{number / estimate.num_rows:.1%}", how)
    console.print(rows)
    console.print()
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _figures(estimate, free):
        table.add_row(name, value)
    console.print(table)


def _figures(estimate: Estimate, free: int | None) -> list[tuple[str, str]]:
    """Names and values of the second table."""
    disk = ", ".join(f"{name} {show_bytes(size)}" for name, size in estimate.bytes_by_part.items())
    workers = f"{estimate.workers} worker" + "s" * (estimate.workers > 1)
    return [
        ("frames", f"{estimate.num_frames:,} ({show_hours(estimate.video_hours)} of video)"),
        ("shards", f"{estimate.num_shards:,}"),
        (f"time with {workers}", show_hours(estimate.hours)),
        ("CPU time", show_hours(estimate.core_hours)),
        ("disk", f"{show_bytes(estimate.total_bytes)} ({disk})"),
        ("disk free", "not known" if free is None else show_bytes(free)),
        (
            "measured on",
            f"{estimate.probed_files} files opened, {estimate.probed_clips} clips processed "
            f"({estimate.probed_frames:,} frames)",
        ),
    ]


def show_bytes(number: float) -> str:
    """Return a size with three digits and a decimal unit."""
    for unit in _UNITS[:-1]:
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} {_UNITS[-1]}"


def show_hours(hours: float) -> str:
    """Return a length of time in the unit that suits it: seconds, minutes, hours or days."""
    for limit, factor, unit in ((1 / 60, 3600, "s"), (1, 60, "min"), (48, 1, "h")):
        if hours < limit:
            return f"{hours * factor:.3g} {unit}"
    return f"{hours / 24:,.1f} days"
