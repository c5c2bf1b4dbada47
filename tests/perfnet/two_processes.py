"""One of two processes that train together; writes down what it saw."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from perfnet.data.collate import ClipBatch
from perfnet.evaluation.evaluate import predict
from perfnet.training import fit as fit_module
from perfnet.training.objective import CrossEntropy, Loss
from tests.perfnet.training_runs import tiny_fit

_SEEN: dict[str, Any] = {"losses": [], "clips": []}


class _Watching(CrossEntropy):
    def loss(self, logits_bk: torch.Tensor, batch: ClipBatch, labels_b: torch.Tensor) -> Loss:
        loss = super().loss(logits_bk, batch, labels_b)
        _SEEN["losses"].append(float(loss.total.detach()))
        _SEEN["clips"] += [list(key) for key in zip(batch["clip_id"], batch["epoch"], strict=True)]
        return loss


def _predict(model: Any, *args: Any, **options: Any) -> Any:
    predictions = predict(model, *args, **options)
    _SEEN["evaluated"] = list(predictions.clip_ids)
    _SEEN["logits"] = torch.from_numpy(predictions.logits)
    _SEEN["weights"] = {name: value.clone() for name, value in model.state_dict().items()}
    _SEEN["rank"] = options["rank"]
    return predictions


def main() -> None:
    """Train on the shards of the first argument into the folder of the second; changes as JSON."""
    shards, output = (Path(text) for text in sys.argv[1:3])
    changes = json.loads(sys.argv[3]) if sys.argv[3:] else {}
    torch.set_num_threads(1)
    fit_module.predict = _predict
    config = tiny_fit(shards, output / "run", steps=3, val_shards=shards, **changes)
    fit_module.fit(config, objective=_Watching())
    torch.save(_SEEN, output / f"rank-{_SEEN['rank']}.pt")


if __name__ == "__main__":
    main()
