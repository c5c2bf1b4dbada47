"""What clients of remote storage raise, as errors of the system.

Beam hands on what each client raises, and every client has a tree of errors of its own.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module

from apache_beam.io.filesystem import BeamIOError

_FAMILIES = (
    ("google.api_core.exceptions", "GoogleAPIError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("google.cloud.storage.exceptions", "DataCorruption"),
    ("google.cloud.storage.exceptions", "InvalidResponse"),
    ("apache_beam.io.aws.clients.s3.messages", "S3ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
)
_NOT_FOUND = 404


@contextmanager
def as_system_errors(path: str) -> Iterator[None]:
    """Turn what a client of remote storage raises into OSError.

    Args:
        path: The file, folder or service at hand, for the message.

    Raises:
        FileNotFoundError: If the storage has no such file, or no such bucket.
        OSError: If it cannot be reached, or refuses.
    """
    try:
        yield
    except (BeamIOError, *_failures()) as error:
        raise _as_system_error(path, error) from error


def _as_system_error(path: str, error: object) -> OSError:
    """Beam's own errors hold those of the client, by path; batches give status codes."""
    if isinstance(error, BeamIOError) and error.exception_details:
        return _as_system_error(path, next(iter(error.exception_details.values())))
    reason = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
    if getattr(error, "code", error) == _NOT_FOUND:
        return FileNotFoundError(errno.ENOENT, "no such file or bucket", path)
    return OSError(errno.EIO, f"remote storage refused or failed: {reason}", path)


@cache
def _failures() -> tuple[type[Exception], ...]:
    """Roots of the errors of all clients that are installed."""
    found = []
    for module, name in _FAMILIES:
        try:
            found.append(getattr(import_module(module), name))
        except (ImportError, AttributeError):
            continue
    return tuple(found)
