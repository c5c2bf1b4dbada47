"""Read exported folders with mmaction2's data sets; prints what they gave as JSON.

Run by tests/pipelines/test_export_readers.py, in an environment that has mmaction2:
`read_with_mmaction2.py RAWFRAMES_EXPORT POSES_EXPORT SPLIT...`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.datasets import PoseDataset, RawframeDataset
from mmengine.registry import init_default_scope

NUM_FRAMES = 12
"""Frames of every clip."""
CLIP_LEN = 4
PACK = {"type": "PackActionInputs"}
SAMPLE = {
    "type": "SampleFrames",
    "clip_len": 1,
    "frame_interval": 1,
    "num_clips": NUM_FRAMES,
    "test_mode": True,
}
POSE_SAMPLE = [{"type": "UniformSampleFrames", "clip_len": CLIP_LEN}, {"type": "PoseDecode"}]
HEATMAPS = [
    *POSE_SAMPLE,
    {"type": "PoseCompact", "hw_ratio": 1.0, "allow_imgpad": True},
    {"type": "Resize", "scale": (-1, 64)},
    {"type": "CenterCrop", "crop_size": 56},
    {"type": "GeneratePoseTarget", "sigma": 0.6, "use_score": True, "with_kp": True},
    {"type": "FormatShape", "input_format": "NCTHW_Heatmap"},
    PACK,
]
GRAPH = [
    {"type": "PreNormalize2D"},
    {"type": "GenSkeFeat", "dataset": "coco", "feats": ["j"]},
    *POSE_SAMPLE,
    {"type": "FormatGCNInput", "num_person": 2},
    PACK,
]


def frames(folder: Path, list_name: str, **options: Any) -> RawframeDataset:
    """The clips of a list, every image of them."""
    return RawframeDataset(
        ann_file=str(folder / list_name),
        data_prefix={"img": str(folder / "rawframes")},
        pipeline=[SAMPLE, {"type": "RawFrameDecode", "io_backend": "disk"}],
        test_mode=True,
        **options,
    )


def poses(folder: Path, split: str, pipeline: list[Any]) -> PoseDataset:
    """The clips of a split of the pickle."""
    return PoseDataset(
        ann_file=str(folder / "poses.pkl"), split=split, pipeline=pipeline, test_mode=True
    )


def describe(dataset: Any) -> list[dict[str, Any]]:
    """What a model would get of every clip."""
    clips = []
    for index in range(len(dataset)):
        info, item = dataset.get_data_info(index), dataset[index]
        pixels = item["inputs"].numpy() if "inputs" in item else np.array(item["imgs"])
        clips.append(
            {
                "name": Path(info["frame_dir"]).name,
                "total_frames": info["total_frames"],
                "label": info["label"],
                "shape": list(pixels.shape),
                "means": pixels.mean(axis=tuple(range(1, pixels.ndim)), dtype=float).tolist(),
                "max": float(pixels.max()),
            }
        )
    return clips


def read(rawframes: Path, skeletons: Path, split: str) -> dict[str, Any]:
    """What the data sets give for one split."""
    flow = {"modality": "Flow", "filename_tmpl": "flow_{}_{:05d}.jpg"}
    datasets = {
        "rgb": frames(rawframes, f"rgb_{split}.txt"),
        "pose": frames(rawframes, f"pose_{split}.txt", filename_tmpl="pose_{:05d}.jpg"),
        "flow": frames(rawframes, f"flow_{split}.txt", **flow),
        "heatmaps": poses(skeletons, split, HEATMAPS),
        "graph": poses(skeletons, split, GRAPH),
    }
    return {name: describe(dataset) for name, dataset in datasets.items()}


if __name__ == "__main__":
    init_default_scope("mmaction")
    folders = Path(sys.argv[1]), Path(sys.argv[2])
    result = {split: read(*folders, split) for split in sys.argv[3:]}
    sys.stdout.write("\n" + json.dumps(result) + "\n")
