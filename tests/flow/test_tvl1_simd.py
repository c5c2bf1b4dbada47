"""SIMD kernels against the plain ones, and the code they compile to for other CPUs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flow import jit, simd, tvl1_levels, tvl1_pyramid
from flow.tvl1 import Tvl1Config, make_schedule, tvl1_flow
from flow.tvl1_levels import Level, LevelConfig, PlainLevel, SimdLevel
from flow.tvl1_solver import Solver

needs_simd = pytest.mark.skipif(not simd.HAS_SIMD, reason="no AVX2 or AVX-512 on this CPU")
_FLOW = """
import numpy as np
from flow import simd
from flow.tvl1 import Tvl1Config, tvl1_flow
frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16), dtype=np.uint8)
flow = tvl1_flow(frames[0], frames[1], config=Tvl1Config(mode="fast", num_inner=12))
print(simd.HAS_SIMD, flow.shape, bool(np.isfinite(flow).all() and flow.any()))
"""
LEVELS = (PlainLevel, SimdLevel)
SIZES = [(8, 8), (8, 9), (11, 16), (23, 37), (32, 64), (9, 130)]

_COMPILE = """
import numpy as np
from numba import float32, int64, types
from flow import simd, tvl1_simd, tvl1_simd_median, tvl1_simd_warp
assert simd.LANES == 16
f, i16, s = float32[::1], types.int16[::1], float32
layout, scales = types.UniTuple(int64, 4), types.UniTuple(s, 2)
signatures = [
    (tvl1_simd.iterate, (f, layout, s, int64)),
    (tvl1_simd.iterate_until, (f, layout, s, types.float64, int64, f)),
    (tvl1_simd_warp.linearise, (f, f, f, f, layout, scales)),
    (
        tvl1_simd_warp.linearise_opencv,
        (f, f, types.UniTuple(f, 3), f, layout, scales, float32[:, ::1]),
    ),
    (tvl1_simd_median.median_int16, (f, i16, i16, int64[:, ::1], layout, s)),
    (tvl1_simd_median.median_exact, (f, f, f, int64[:, ::1], layout)),
]
for kernel, signature in signatures:
    kernel.compile(signature)
    (assembly,) = kernel.inspect_asm().values()
    print("zmm" in assembly, "vrsqrt14ps" in assembly, "vfmadd" in assembly)
"""


def make_images(size: tuple[int, int]) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    images = [cv2.GaussianBlur(rng.normal(128, 60, size), (0, 0), 1.2) for _ in range(2)]
    return [image.astype(np.float32) for image in images]


def make_seeded_level(kind: Any, size: tuple[int, int], *, is_opencv: bool) -> Level:
    coarse = tuple((side + 1) // 2 for side in size)
    flow = np.random.default_rng(6).normal(0, 1.5, (*coarse, 2)).astype(np.float32)
    level = kind(size, coarse, LevelConfig(time_step=0.25, attachment=0.15, is_opencv=is_opencv))
    level.set_images(*make_images(size))
    level.seed(flow, 2.0, tightness=0.3)
    level.linearise()
    return level


def run_level(kind: Any, size: tuple[int, int], *, is_opencv: bool, count: int) -> Any:
    level = make_seeded_level(kind, size, is_opencv=is_opencv)
    if is_opencv:
        level.iterate_until(0.0, count)
    else:
        level.iterate(count)
    return level.flow()


@needs_simd
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_opencv", [True, False])
def test_iterations_agree_with_the_plain_ones(size: tuple[int, int], is_opencv: bool) -> None:
    plain = run_level(PlainLevel, size, is_opencv=is_opencv, count=20)
    fast = run_level(SimdLevel, size, is_opencv=is_opencv, count=20)
    # The first 20 iterations; later ones amplify rounding where the problem itself is undecided.
    assert np.abs(plain - fast).max() <= 1e-3
    assert np.abs(plain - fast).mean() <= 1e-4


@needs_simd
@pytest.mark.parametrize("size", SIZES)
def test_change_counts_real_columns_only(size: tuple[int, int]) -> None:
    plain, fast = (make_seeded_level(kind, size, is_opencv=True) for kind in LEVELS)
    for _ in range(3):
        expected = plain.iterate_until(np.inf, 1)
        assert fast.iterate_until(np.inf, 1) == pytest.approx(expected, rel=1e-4)


@needs_simd
@pytest.mark.parametrize("size", SIZES)
def test_stopping_early_to_add_the_change_stops_at_the_same_iteration(
    size: tuple[int, int],
) -> None:
    single, together = (make_seeded_level(SimdLevel, size, is_opencv=True) for _ in range(2))
    changes = [single.iterate_until(np.inf, 1) for _ in range(12)]
    limit = changes[-1] * (1 + 1e-6)
    assert min(changes[:-1]) > limit
    assert together.iterate_until(limit, 11) > limit
    assert together.iterate_until(limit, 30) == pytest.approx(changes[-1], rel=1e-6)
    np.testing.assert_array_equal(together.flow(), single.flow())


@needs_simd
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 40])
def test_any_depth_of_the_wavefront_equals_single_iterations(count: int) -> None:
    together = run_level(SimdLevel, (23, 37), is_opencv=False, count=count)
    level = make_seeded_level(SimdLevel, (23, 37), is_opencv=False)
    for _ in range(count):
        level.iterate(1)
    np.testing.assert_array_equal(level.flow(), together)


@needs_simd
@pytest.mark.parametrize("mode", ["exact", "quality", "fast"])
def test_whole_solver_agrees_with_the_plain_one(mode: Any, monkeypatch: Any) -> None:
    frame1 = make_images((40, 53))[0]
    frame0 = np.roll(frame1, 1, axis=1)
    fast = tvl1_flow(frame0, frame1, config=Tvl1Config(mode=mode))
    monkeypatch.setattr(tvl1_levels.simd, "HAS_SIMD", False)
    plain = Solver((40, 53), make_schedule(Tvl1Config(mode=mode))).solve(frame0, frame1)
    # Which iteration is the last of `exact`, and ties of medians, turn on the last bits.
    assert np.abs(plain - fast).mean() <= (2e-2 if mode == "exact" else 5e-3)


def run_python(code: str, *, folder: Path | None = None, **settings: str) -> str:
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@needs_simd
@pytest.mark.parametrize("cpu", ["skylake-avx512", "znver4"])
def test_kernels_compile_for_avx512(cpu: str, tmp_path: Any) -> None:
    features = "+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512cd"
    output = run_python(
        _COMPILE,
        NUMBA_CPU_NAME=cpu,
        NUMBA_CPU_FEATURES=features,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    rows = [line.split() for line in output.splitlines()]
    assert [row[0] for row in rows] == ["True"] * 6
    assert [row[1] for row in rows[:2]] == ["True"] * 2
    assert [row[2] for row in rows[:4]] == ["True"] * 4


@pytest.mark.slow
def test_a_cpu_without_avx2_gets_the_plain_kernels(tmp_path: Any) -> None:
    output = run_python(
        "from flow import simd, tvl1_levels as t\n"
        "c = t.LevelConfig(time_step=.25, attachment=.15, is_opencv=False)\n"
        "print(simd.HAS_SIMD, type(t.make_level((8, 8), (8, 8), c)).__name__)",
        NUMBA_ENABLE_AVX="0",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert output.split() == ["False", "PlainLevel"]


@pytest.mark.slow
def test_without_compilation_the_plain_kernels_give_the_flow(tmp_path: Any) -> None:
    output = run_python(
        _FLOW.replace("num_inner=12", "num_inner=2, num_warps=1, num_scales=1"),
        NUMBA_DISABLE_JIT="1",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert output.split() == ["False", "(16,", "16,", "2)", "True"]


@pytest.mark.slow
@needs_simd
def test_flow_works_from_a_read_only_installation_without_a_cache_folder(tmp_path: Any) -> None:
    root = Path(jit.__file__).parents[1]
    for package in ("flow", "schemas"):
        shutil.copytree(root / package, tmp_path / package)
        shutil.rmtree(tmp_path / package / "__pycache__", ignore_errors=True)
        (tmp_path / package / "__pycache__").touch()  # nor may a privileged user write there
        (tmp_path / package).chmod(0o555)
    output = run_python(
        _FLOW,
        folder=tmp_path,
        PYTHONPATH=str(tmp_path),
        HOME=os.devnull,
        XDG_CACHE_HOME=os.devnull,
        NUMBA_CACHE_DIR=str(Path(os.devnull) / "cache"),
    )
    assert output.split() == ["True", "(16,", "16,", "2)", "True"]
    assert (tmp_path / "flow" / "__pycache__").read_bytes() == b""


@pytest.mark.slow
def test_kernels_work_where_no_code_can_be_stored() -> None:
    output = run_python(
        "import numpy as np, numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from flow import tvl1_pyramid as p\n"
        "half = np.zeros((4, 4), np.float32)\n"
        "p.halve(np.full((8, 8), 7, np.float32), half, np.zeros(8, np.float32))\n"
        "print(half.min(), half.max())",
    )
    assert output.split() == ["7.0", "7.0"]


@needs_simd
def test_remembered_samples_equal_fresh_ones() -> None:
    config = LevelConfig(time_step=0.25, attachment=0.15, is_opencv=True)
    flows = []
    for num_warps in (1, 3):
        level = SimdLevel((23, 37), (12, 19), config)
        level.set_images(*make_images((23, 37)))
        level.seed(np.full((12, 19, 2), 0.3, np.float32), 2.0, tightness=0.25)
        for _ in range(num_warps):
            level.linearise()
        level.iterate(3)
        flows.append(level.flow())
    np.testing.assert_allclose(flows[0], flows[1], atol=1e-4)


def test_kept_machine_code_is_stamped_with_all_sources() -> None:
    stamp = tvl1_pyramid.halve._cache._cache_file._source_stamp
    assert stamp[1] == jit._sources_digest()
