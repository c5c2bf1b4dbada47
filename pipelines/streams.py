"""Which streams of a record a run stores, by format."""

from collections.abc import Collection

_FLOW = {"tfrecord": frozenset({"flow"}), "parquet": frozenset({"flow_x", "flow_y"})}
_POSE = {
    "overlay": frozenset({"pose_overlay"}),
    "keypoints": frozenset({"poses"}),
    "both": frozenset({"pose_overlay", "poses"}),
}


def streams_in(
    shard_format: str, *, modalities: Collection[str], pose_storage: str
) -> frozenset[str]:
    """Return the fields of `ClipRecord` that a shard of one format holds.

    Args:
        shard_format: tfrecord or parquet.
        modalities: What was asked for: rgb, flow, pose, pa.
        pose_storage: overlay, keypoints or both.
    """
    streams = frozenset(modalities) & {"rgb", "pa"}
    if "flow" in modalities:
        streams |= _FLOW[shard_format]
    if "pose" in modalities:
        streams |= _POSE[pose_storage]
    return streams
