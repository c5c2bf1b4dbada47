"""What can go wrong, as one tree.

```
PrepError
  ConfigError (also ValueError)        before the first record: a field, path or option is wrong
  RecordError(clip_id, outcome, detail)  one bad clip: a ledger row, the run goes on
  ShardError                           a finished shard is damaged, short or missing
```

A ValueError or TypeError out of a kernel is a bug of ours and stops the run.
Message form: `<what> must <rule>, got <value>[; <way out>]`.
"""

from schemas.outcome import Outcome


class PrepError(Exception):
    """Any error that this project raises on purpose."""


class ConfigError(PrepError, ValueError):
    """A setting, path or annotation file cannot be used; raised before work starts."""


class RecordError(PrepError):
    """One clip cannot be turned into a record.

    Args:
        clip_id: The clip, or "" where the raiser does not know it (the pipeline adds it).
        outcome: The ledger outcome of the clip.
        detail: One sentence for a person.
    """

    def __init__(self, clip_id: str, outcome: Outcome, detail: str) -> None:
        super().__init__(clip_id, outcome, detail)
        self.clip_id = clip_id
        self.outcome = outcome
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.clip_id or 'clip'}: {self.outcome.value}: {self.detail}"


class ShardError(PrepError):
    """A shard file is missing, damaged or does not hold what it should."""
