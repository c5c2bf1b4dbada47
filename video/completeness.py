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
    if damage.num_errors:
        return (
            f"{damage.num_errors} packets could not be decoded "
            f"(first error: {damage.first_error}); {num_decoded} frames decoded"
        )
    if info.declared_frames:
        declared = info.declared_frames - damage.num_discarded
        if _is_short(num_decoded, declared):
            return f"{num_decoded} frames decoded of {declared} declared"
        return ""
    return _describe_by_duration(info, damage, num_decoded, end_seconds)


def _describe_by_duration(
    info: VideoInfo, damage: Damage, num_decoded: int, end_seconds: Fraction
) -> str:
    if info.duration_seconds is None:
        return ""
    if info.duration_seconds - end_seconds > _DURATION_TOLERANCE_SECONDS:
        stated = float(info.duration_seconds)
        return f"the video ends after {float(end_seconds):.2f} s of {stated:.2f} s declared"
    implied = round(info.duration_seconds * info.frame_rate) if info.frame_rate else 0
    if damage.num_corrupt_frames and _is_short(num_decoded, implied):
        return f"{num_decoded} frames decoded of about {implied}, some of them damaged"
    return ""


def _is_short(num_decoded: int, declared: int) -> bool:
    return declared - num_decoded > max(1, declared // 50)
