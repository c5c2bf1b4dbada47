"""A stand-in for Dataflow's jobs endpoint: takes a job strictly as the API defines it.

It knows only what the client needs to submit a job and to wait for it. What a job does is left
to a function that is given the job.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.cloud import dataflow_v1beta3 as dataflow
from google.protobuf import json_format

Job = Any
"""google.dataflow.v1beta3.Job"""

_JOBS = re.compile(r"/v1b3/projects/(?P<project>[^/?]+)/locations/(?P<region>[^/?]+)/jobs")
FAILURE = "a worker of the planted failure was lost"
JOB_ID = "2026-01-01_00_00_00-1"


@dataclass(slots=True)
class JobsEndpoint:
    """What has been asked of the endpoint."""

    run: Callable[[Job], str]
    """Does a job; returns its last state."""
    address: str = ""
    jobs: list[Job] = field(default_factory=list)
    places: list[tuple[str, str]] = field(default_factory=list)
    """Project and region of each job."""
    refusals: list[str] = field(default_factory=list)
    """Requests that are not as the API defines them."""
    state: str = "JOB_STATE_PENDING"

    def create(self, path: str, body: bytes) -> dict[str, Any]:
        """Take a job and begin with it.

        Raises:
            ValueError: If it is not the message that the API defines.
        """
        place = _JOBS.fullmatch(path.split("?", maxsplit=1)[0])
        if place is None:
            raise ValueError(f"no such method: {path}")
        job = json_format.Parse(body, dataflow.Job.pb(dataflow.Job()), ignore_unknown_fields=False)
        self.jobs.append(job)
        self.places.append((place["project"], place["region"]))
        threading.Thread(target=self._work, args=(job,), daemon=True).start()
        return self.answer()

    def _work(self, job: Job) -> None:
        self.state = "JOB_STATE_RUNNING"
        try:
            self.state = self.run(job)
        except BaseException:
            self.state = "JOB_STATE_FAILED"
            raise

    def messages(self) -> dict[str, Any]:
        """Return what is told about the job: why it failed, if it did."""
        if self.state != "JOB_STATE_FAILED":
            return {}
        told = {"id": "1", "time": "2026-01-01T00:00:00Z", "messageText": FAILURE}
        return {"jobMessages": [{**told, "messageImportance": "JOB_MESSAGE_ERROR"}]}

    def answer(self) -> dict[str, Any]:
        """Return the job as it is now."""
        job = self.jobs[-1]
        known = {"name": job.name, "clientRequestId": job.client_request_id}
        return {"id": JOB_ID, "currentState": self.state, **known}


@contextmanager
def jobs_endpoint(run: Callable[[Job], str]) -> Iterator[JobsEndpoint]:
    """Serve a `JobsEndpoint` on loopback."""
    endpoint = JobsEndpoint(run)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                self._send(200, endpoint.create(self.path, body))
            except (ValueError, json_format.ParseError) as error:
                endpoint.refusals.append(f"{self.path}: {error}")
                self._send(400, {"error": {"code": 400, "message": str(error)}})

        def do_GET(self) -> None:
            self._send(200, endpoint.messages() if "/messages" in self.path else endpoint.answer())

        def _send(self, status: int, values: dict[str, Any]) -> None:
            answer = json.dumps(values).encode("utf-8")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.address = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
