"""Do what a Dataflow worker does with a job: run the staged pipeline with the staged code.

Run by `test_dataflow.py` in an environment of its own: `python run_staged_job.py OPTIONS_FILE`,
a file with the `sdkPipelineOptions` of the job. Prints where the pipeline's code lies.
"""

import hashlib
import json
import sys
from pathlib import Path

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import pipelines.build
from pipelines import storage


def run(options_file: Path) -> dict[str, str]:
    """Run the pipeline; returns where its code lies and Beam's version."""
    given = json.loads(options_file.read_text())["options"]
    staged = {name: given.pop(name) for name in ("pipelineUrl", "pipelineProtoHash")}
    whole = {n: int(v) for n, v in given.items() if isinstance(v, float)}  # Struct has no integers
    options = PipelineOptions.from_dictionary({**given, **whole, "runner": "FnApiRunner"})
    storage.use_options(options)
    data = storage.read_bytes(staged["pipelineUrl"])
    if hashlib.sha256(data).hexdigest() != staged["pipelineProtoHash"]:
        raise ValueError("the staged pipeline must be the submitted one")
    pipeline = beam_runner_api_pb2.Pipeline.FromString(data)
    for environment in pipeline.components.environments.values():
        if environment.urn != common_urns.environments.DOCKER.urn:
            raise ValueError(f"Dataflow runs containers only, got {environment.urn}")
        environment.urn = "beam:env:embedded_python:v1"
        environment.payload = b""
        del environment.dependencies[:]
    FnApiRunner().run_via_runner_api(pipeline, options).wait_until_finish()
    return {"code": str(pipelines.build.__file__), "beam": apache_beam.__version__}


if __name__ == "__main__":  # child processes import this file
    sys.stdout.write(json.dumps(run(Path(sys.argv[1]))))
