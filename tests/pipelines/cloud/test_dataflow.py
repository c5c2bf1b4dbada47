"""The pipeline as a Dataflow job, without a cloud: translated, submitted, run as it was staged."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam
import pytest

pytest.importorskip("google.cloud.dataflow_v1beta3", reason="needs: pip install '.[gcp]'")

from apache_beam.internal.gcp import auth
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from google.protobuf import json_format

from pipelines import storage
from pipelines.cli import main
from tests.pipelines.cloud.jobs_endpoint import Job, jobs_endpoint

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
Contents = Callable[[str | Path], dict[str, Any]]

IMAGE = "europe-docker.pkg.dev/project/prep/perfnet-prep:1"
REPOSITORY = Path(__file__).parents[3]


def beam_options(cloud: str, *extra: str) -> list[str]:
    """What a user gives after `--`."""
    return [
        *("--", "--runner=DataflowRunner", "--project=project", "--region=europe-west4"),
        *(f"--temp_location={cloud}/temp", f"--sdk_container_image={IMAGE}"),
        *("--machine_type=n2-standard-8", "--disk_size_gb=64", "--job_name=prep", *extra),
    ]


def hints_of(pipeline: Any, step: str) -> dict[str, str]:
    """Resource hints of the environment of a step."""
    (transform,) = [
        each for each in pipeline.components.transforms.values() if each.unique_name == step
    ]
    environment = pipeline.components.environments[transform.environment_id]
    return {name: value.decode("ascii") for name, value in environment.resource_hints.items()}


BUILD_SHARD = "BuildShards/BuildShard"


def test_dry_run_translates_the_pipeline_and_starts_nothing(
    cloud: str,
    remote_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results: list[Any] = []
    run_pipeline = DataflowRunner.run_pipeline

    def spy(*arguments: Any) -> Any:
        results.append(run_pipeline(*arguments))
        return results[-1]

    monkeypatch.setattr(DataflowRunner, "run_pipeline", spy)
    options = beam_options(cloud, "--dry_run=True", "--sdk_location=container")
    assert main([*remote_arguments("out", "--workers", "6"), *options]) == 0
    assert "job description made, nothing started" in capsys.readouterr().out
    (result,) = results
    pipeline = result.job.proto_pipeline
    names = {each.unique_name for each in pipeline.components.transforms.values()}
    assert {"ReadPlan/Path", "ReadPlan/Specs", BUILD_SHARD, "WriteResults/Write"} <= {
        "/".join(name.split("/")[:2]) for name in names
    }
    assert hints_of(pipeline, BUILD_SHARD) == {
        common_urns.resource_hints.MIN_RAM_BYTES.urn: str(6 * 4096 * 2**20)
    }
    assert hints_of(pipeline, "WriteResults/Write") == {}
    assert "state/plan.jsonl" in storage.list_remote_sizes(f"{cloud}/out")
    assert not [name for name in storage.list_remote_sizes(cloud) if name.startswith("temp/")]


def test_job_has_the_image_machines_disks_threads_and_hints_that_were_asked_for(
    cloud: str, remote_arguments: Arguments
) -> None:
    gpu = "type:nvidia-tesla-t4;count:1;install-nvidia-driver"
    arguments = remote_arguments("out", "--workers", "8", "--accelerator", gpu)
    arguments += ["--clip-memory-mib", "3000"]
    options = beam_options(cloud, "--sdk_location=container", "--num_workers=3")
    with jobs_endpoint(lambda _job: "JOB_STATE_FAILED") as endpoint:
        status = main([*arguments, *options, f"--dataflow_endpoint={endpoint.address}"])
    assert endpoint.refusals == []
    assert endpoint.places == [("project", "europe-west4")]
    (job,) = endpoint.jobs
    assert (status, job.name) == (1, "prep"), "a job that fails ends the command with status 1"
    (pool,) = job.environment.worker_pools
    images = {image.container_image for image in pool.sdk_harness_container_images}
    assert images == {IMAGE}
    assert (pool.machine_type, pool.disk_size_gb, pool.num_workers) == ("n2-standard-8", 64, 3)
    assert pool.num_threads_per_worker == 8
    assert "no_use_multiple_sdk_containers" in job.environment.experiments
    assert "use_multiple_sdk_containers" not in job.environment.experiments
    assert job.type_ == 1, "JOB_TYPE_BATCH"
    hints = hints_of(_staged_pipeline(job), BUILD_SHARD)
    assert hints == {
        common_urns.resource_hints.MIN_RAM_BYTES.urn: str(8 * 3000 * 2**20),
        common_urns.resource_hints.ACCELERATOR.urn: gpu,
    }
    assert _staged_names(job) == {"pipeline.pb", "submission_environment_dependencies.txt"}
    assert len(json_format.MessageToJson(job)) < 100_000, "the plan is a file, not part of it"


def _staged_pipeline(job: Job) -> Any:
    options = json_format.MessageToDict(job.environment.sdk_pipeline_options)["options"]
    data = storage.read_bytes(options["pipelineUrl"])
    return beam_runner_api_pb2.Pipeline.FromString(data)


def _staged_names(job: Job) -> set[str]:
    options = json_format.MessageToDict(job.environment.sdk_pipeline_options)["options"]
    folder = storage.parent(options["pipelineUrl"])
    names = set(storage.list_remote_sizes(folder))
    (pool,) = job.environment.worker_pools
    assert {package.name for package in pool.packages} == names - {"pipeline.pb"}
    return names


def test_job_run_from_what_was_staged_gives_the_bytes_of_a_local_run(
    cloud: str,
    remote_arguments: Arguments,
    contents: Contents,
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --setup_file: the worker has the dependencies of the image, the code is staged."""
    reports: list[dict[str, str]] = []

    def work(job: Job) -> str:
        reports.append(_run_in_fresh_environment(job, tmp_path))
        return "JOB_STATE_DONE"

    monkeypatch.chdir(REPOSITORY)
    options = beam_options(cloud, "--setup_file=./setup.py")
    with jobs_endpoint(work) as endpoint:
        address = f"--dataflow_endpoint={endpoint.address}"
        assert main([*remote_arguments("out"), *options, address]) == 0
    assert endpoint.refusals == []
    (report,) = reports
    assert report["code"].startswith(f"{tmp_path}/worker/")
    assert report["beam"] == apache_beam.__version__
    assert "workflow.tar.gz" in _staged_names(endpoint.jobs[0])
    assert "6 rows: 1 missing, 1 unreadable, 4 written" in capsys.readouterr().out
    assert contents(f"{cloud}/out") == contents(built)
    assert main(["verify", f"{cloud}/out"]) == 0


def _run_in_fresh_environment(job: Job, folder: Path) -> dict[str, str]:
    """Install what was staged, and nothing else of this repository, and run the pipeline."""
    options = json_format.MessageToDict(job.environment.sdk_pipeline_options)
    (folder / "options.json").write_text(json.dumps(options))
    staged = storage.parent(options["options"]["pipelineUrl"])
    package = folder / "workflow.tar.gz"
    package.write_bytes(storage.read_bytes(f"{staged}/workflow.tar.gz"))
    venv.create(folder / "worker", with_pip=False)
    python = folder / "worker" / "bin" / "python"
    # The dependencies are those of this environment, as they are those of the image. A path in a
    # .pth file is searched, but its own .pth files, such as that of an editable install, are not.
    (site_packages,) = (folder / "worker").glob("lib/python*/site-packages")
    (site_packages / "image.pth").write_text("\n".join(p for p in sys.path if "-packages" in p))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", package)
    for command in (
        install,
        (Path(__file__).with_name("run_staged_job.py"), folder / "options.json"),
    ):
        done = subprocess.run(
            [python, *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    report: dict[str, str] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--output", "out"), "output must be a remote path (gs://...) with --runner=Dataflow"),
        (("--videos", "{videos}"), "videos must be a remote path (gs://...) with --runner="),
        (("--temp_location", "here"), "--temp_location must be a remote path (gs://...) with"),
        (("--project", ""), "Beam options must be complete and valid, got: Missing required"),
    ],
)
def test_job_that_cannot_work_is_refused_before_anything_is_written(
    cloud: str,
    remote_arguments: Arguments,
    video_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    option, value = change
    arguments = [*remote_arguments("out"), *beam_options(cloud)]
    if option in arguments:
        arguments[arguments.index(option) + 1] = value.format(videos=video_set / "videos")
    else:
        arguments = [each for each in arguments if not each.startswith(f"{option}=")]
        arguments += [f"{option}={value}"] if value else []
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert storage.list_remote_sizes(f"{cloud}/out") == {}
    assert not (tmp_path / "out" / "state" / "plan.jsonl").exists()


def test_submitting_writes_no_credential_anywhere(
    cloud: str,
    remote_arguments: Arguments,
    account: Path,
    tmp_path: Path,
    download: Callable[[str, Path], Path],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of DataflowRunner's own log, of the job, of what is staged: at every level."""
    caplog.set_level("DEBUG")
    options = beam_options(cloud, "--sdk_location=container")
    with jobs_endpoint(lambda _job: "JOB_STATE_FAILED") as endpoint:
        address = f"--dataflow_endpoint={endpoint.address}"
        assert main([*remote_arguments("out"), *options, address]) == 1
    credentials = auth._Credentials._credentials.get_google_auth_credentials()
    secrets = {credentials.token, account.with_name("secret").read_text()}
    assert len(secrets - {None, ""}) == 2, "the account was used"
    (job,) = endpoint.jobs
    printed = capfd.readouterr()
    assert "dataflow_runner" in {record.module for record in caplog.records}
    texts = [printed.out, printed.err, caplog.text, json_format.MessageToJson(job)]
    stored = [path for path in download(cloud, tmp_path / "all").rglob("*") if path.is_file()]
    assert "pipeline.pb" in {path.name for path in stored}
    for secret in secrets:
        assert not [text for text in texts if secret in text]
        assert not [path for path in stored if secret.encode() in path.read_bytes()]


def test_refused_job_is_one_line(
    cloud: str, remote_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    with jobs_endpoint(lambda _job: "JOB_STATE_DONE") as endpoint:
        address = f"--dataflow_endpoint={endpoint.address}/nosuch"
        options = beam_options(cloud, "--sdk_location=container", address)
        assert main([*remote_arguments("out"), *options]) == 1
    assert endpoint.jobs == []
    printed = capsys.readouterr().err.strip().split("\n")[-1]
    assert "Dataflow in project, europe-west4" in printed
    assert "Traceback" not in printed
