"""Whether a decoded file gave all the frames that it claims to hold."""

from fractions import Fraction

from video.source import Damage, VideoInfo

_DURATION_TOLERANCE_SECONDS = Fraction(1, 2)


def describe_loss(
    info: VideoInfo, damage: Damage, *, num_decoded: int, end_seconds: Fraction
) -> str:
    """Say what is missing of a file that was read to its end; "" if nothing is.

    A stated frame count, less the packets that the edit list hides, is believed up to 2 % or one
    frame (every HMDB51 header counts one frame too many). Without one the stated duration is:
    variable frame rates make a count from it worthless, unless the decoder met damage as well.

    Args:
        info: What the container claims.
        damage: What the decoder met.
        num_decoded: Source frames decoded.
        end_seconds: Where the last of them ends.
    """
    declared = max(0, info.declared_frames - damage.num_discarded)
    of_declared = f" of {declared} declared" if declared > num_decoded else ""
    if damage.num_errors:
        packets = "1 packet" if damage.num_errors == 1 else f"{damage.num_errors} packets"
        return (
            f"{packets} could not be decoded (first error: {damage.first_error}); "
            f"{num_decoded} frames decoded{of_declared}"
        )
    if info.declared_frames:
        is_cut_off = num_decoded < declared and bool(_cut_off(damage))
        if is_cut_off or _is_short(num_decoded, declared):
            return f"{num_decoded} frames decoded{of_declared}{_cut_off(damage)}"
        return ""
    return _describe_by_duration(info, damage, num_decoded, end_seconds)


def _cut_off(damage: Damage) -> str:
    """Evidence that the end of the file, or a part of it, is not there."""
    if damage.missing_bytes:
        return f"; {damage.missing_bytes} bytes are missing at the end of the file"
    if damage.num_cut_packets:
        return "; the file is cut off, or parts of it are missing"
    return ""


def _describe_by_duration(
    info: VideoInfo, damage: Damage, num_decoded: int, end_seconds: Fraction
) -> str:
    stated, end = info.duration_seconds, end_seconds
    if stated is None or stated == info.file_duration_seconds:
        # What is stated of the whole file may be another stream's: all have to end too early.
        stated, end = info.file_duration_seconds, max(end_seconds, damage.other_end_seconds)
    lost = Fraction(0) if stated is None else stated - end
    step = 1 / info.frame_rate if info.frame_rate else _DURATION_TOLERANCE_SECONDS
    tolerance = min(step / 2, _DURATION_TOLERANCE_SECONDS)
    if stated is not None and lost > (
        tolerance if damage.missing_bytes else _DURATION_TOLERANCE_SECONDS
    ):
        return (
            f"the video ends after {float(end_seconds):.2f} s of {float(stated):.2f} s declared"
            f"{_cut_off(damage)}"
        )
    if damage.num_cut_packets or (damage.missing_bytes and info.file_duration_seconds is None):
        return f"{num_decoded} frames decoded{_cut_off(damage)}"
    if info.duration_seconds is None:
        return ""
    implied = round(info.duration_seconds * info.frame_rate) if info.frame_rate else 0
    if damage.missing_bytes and num_decoded < implied:
        return f"{num_decoded} frames decoded of about {implied}{_cut_off(damage)}"
    if damage.num_corrupt_frames and _is_short(num_decoded, implied):
        return f"{num_decoded} frames decoded of about {implied}, some of them damaged"
    return ""


def _is_short(num_decoded: int, declared: int) -> bool:
    return declared - num_decoded > max(1, declared // 50)
