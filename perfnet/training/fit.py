"""The training loop of every network, teacher or student."""

import logging
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, set_seed
from torch import nn

from perfnet.data.collate import ClipBatch, to_model_input
from perfnet.data.loader import load_batches
from perfnet.data.order import OrderConfig, ShuffledBatches
from perfnet.data.shard_dataset import ShardDataset
from perfnet.errors import TrainingError
from perfnet.evaluation.evaluate import EvalConfig, check_labels, predict
from perfnet.evaluation.metrics import Accuracy, accuracy_of
from perfnet.modality import channels_of
from perfnet.models.layers import BATCH_NORMS, to_channels_last
from perfnet.models.registry import is_signed, make_model
from perfnet.training.checkpoint import (
    ModelCard,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
    start_from,
)
from perfnet.training.config import FitConfig
from perfnet.training.foreign_weights import load_body_weights, load_start
from perfnet.training.objective import CrossEntropy, Loss, Objective
from perfnet.training.optimizer import make_optimizer, set_learning_rate
from perfnet.training.run_file import write_run_file
from perfnet.training.same_run import check_same_run, settings_of
from perfnet.training.scalar_log import open_scalar_log
from perfnet.training.schedule import learning_rate_at
from schemas.errors import ConfigError

LOGGER = logging.getLogger("perfnet_train")


def fit(config: FitConfig, *, objective: Objective | None = None) -> Path:
    """Train a network; go on from the newest checkpoint of the output folder if there is one.

    A run that was interrupted goes on exactly: the same clips, random numbers and, on one kind of
    processor, the same weights as a run that was not.

    Args:
        config: The run.
        objective: What to train for; None = labels alone.

    Returns:
        The last checkpoint.

    Raises:
        ConfigError: If shards, labels or checkpoints do not fit the configuration.
        TrainingError: If the loss is not finite, or the newest checkpoint is damaged.
        ShardError: If a record cannot be read, unless such are left out.
    """
    run = _Run(config, objective or CrossEntropy())
    total_steps = config.schedule.total_steps
    batches = run.batches(total_steps)
    run.announce(total_steps)
    run.model.train()
    for step in range(run.first_step, total_steps):
        learning_rate = run.set_learning_rate(step)
        figures: list[dict[str, float]] = []
        for _ in range(config.accumulate):
            batch = next(batches)
            with run.accelerator.accumulate(run.model):
                loss = run.forward(batch)
                run.check_finite(loss, step, batch)
                run.accelerator.backward(loss.total)  # of the mean over `accumulate` batches
                if config.optimizer.clip_norm and run.accelerator.sync_gradients:
                    run.accelerator.clip_grad_norm_(
                        run.model.parameters(), config.optimizer.clip_norm
                    )
                run.optimizer.step()  # accelerate: only after the last of the batches
                run.optimizer.zero_grad()
            if batch["clip_id"]:
                figures.append({"loss": float(loss.total.detach()), **loss.parts})
        run.log(step, figures, learning_rate)
        done = step + 1
        if done % config.checkpoint_every == 0 or done == total_steps:
            run.save(done)
        if config.evaluate_every and done % config.evaluate_every == 0 and done < total_steps:
            run.evaluate(done)
    run.evaluate(total_steps)
    run.close()
    return checkpoint_path(run.checkpoints, total_steps)


class _Run:
    """The objects of a run: data, network, optimiser, log."""

    def __init__(self, config: FitConfig, objective: Objective) -> None:
        self.config, self.objective = config, objective
        # Not accelerate's mixed precision: it is the same for all runs of a process.
        self.accelerator = Accelerator(
            mixed_precision="no", gradient_accumulation_steps=config.accumulate
        )
        self.checkpoints = config.output / "checkpoints"
        modalities = tuple(dict.fromkeys((config.modality, *objective.extra_modalities)))
        self.dataset = ShardDataset(
            config.shards,
            modalities=modalities,
            view=config.view,
            seed=config.seed,
            on_corrupt="skip",  # told by `report_corrupt`: errors of workers come as tracebacks
        )
        _check_labelled(self.dataset, config.shards)
        self.card = ModelCard(
            model=config.model,
            modality=config.modality,
            in_channels=channels_of(config.modality),
            labels=self.dataset.labels.texts,
        )
        self._check_val_shards()
        set_seed(config.seed)  # the same weights on every process
        model = make_model(
            config.model, num_classes=len(self.card.labels), in_channels=self.card.in_channels
        )
        start = load_start(config.init, config.init_weights, self.card)
        if start is not None:
            start_from(model, start, self.card)
        if config.init_body is not None:
            load_body_weights(cast("Any", model).body, config.init_body)
        if config.norm_momentum is not None:
            for norm in (each for each in model.modules() if isinstance(each, BATCH_NORMS)):
                norm.momentum = config.norm_momentum
        model.saves_memory = config.save_memory
        if config.channels_last:
            to_channels_last(model)
        self.bare_model = model
        if self.accelerator.process_index:
            set_seed(config.seed + self.accelerator.process_index)  # but dropout of its own
        optimizer = make_optimizer(model, config.optimizer)
        self.settings = settings_of(config, objective, self.dataset, self.accelerator.num_processes)
        self.first_step = self._resume(model, optimizer)
        if config.compile:
            model.compile()
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.is_main = self.accelerator.is_main_process
        self.writer = None
        if self.is_main:
            write_run_file(config.output, self.settings, model)
            self.writer = open_scalar_log(config.output / "logs", first_step=self.first_step + 1)

    def _resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Load the newest checkpoint of the output folder; gives the step to go on with."""
        found = list_checkpoints(self.checkpoints)
        if not found:
            return 0
        checkpoint = load_checkpoint(found[-1])
        check_same_run(self.settings, checkpoint.training["config"], found[-1])
        model.load_state_dict(dict(checkpoint.weights))
        optimizer.load_state_dict(checkpoint.training["optimizer"])
        rank = self.accelerator.process_index
        torch.set_rng_state(checkpoint.training["rng"][rank])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(checkpoint.training["cuda_rng"][rank])
        return int(checkpoint.training["step"])

    def _check_val_shards(self) -> None:
        """Find out now, not after the training, that it cannot be evaluated."""
        config = self.config
        if config.val_shards is not None:
            dataset = ShardDataset(
                config.val_shards, modalities=(config.modality,), view=config.eval_view
            )
            check_labels(self.card, dataset, config.val_shards)
            if max(dataset.label_indices, default=-1) < 0:
                raise ConfigError(
                    f"val_shards must have clips with labels, got {config.val_shards} without any"
                )

    def autocast(self) -> torch.autocast:
        """The precision of forward passes."""
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=enabled)

    def batches(self, total_steps: int) -> Iterator[ClipBatch]:
        """Every batch from the first step on; the random numbers of the model stay untouched."""
        config = self.config
        accelerator = self.accelerator
        sampler = ShuffledBatches(
            self.dataset.shard_sizes,
            batch_size=config.batch_size,
            first_batch=self.first_step * config.accumulate,
            num_batches=(total_steps - self.first_step) * config.accumulate,
            config=OrderConfig(
                seed=config.seed,
                rank=accelerator.process_index,
                world_size=accelerator.num_processes,
            ),
        )
        unread = 0  # clips since the last one that could be read
        for batch in load_batches(
            self.dataset,
            sampler,
            workers=config.workers,
            on_corrupt=config.on_corrupt,
            pin_memory=accelerator.device.type == "cuda",
        ):
            unread = 0 if batch["clip_id"] else unread + len(batch["corrupt"])
            if unread >= len(self.dataset):
                raise TrainingError(
                    f"shards must hold a clip that can be read, got {unread} after each other that "
                    f"cannot, last {batch['corrupt'][-1]}; run `perfnet-prep verify` on the shards"
                )
            yield batch

    def forward(self, batch: ClipBatch) -> Loss:
        """Loss of a batch; 0 of one without a clip."""
        if not batch["clip_id"]:
            return self._forward_nothing()
        device = self.accelerator.device
        moved: Any = {
            name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
        }
        modality = self.config.modality
        inputs = to_model_input(moved, modality, signed=is_signed(self.config.model.name))
        if not self.config.channels_last:
            inputs = inputs.contiguous()
        with self.autocast():
            logits_bk = self.model(inputs)
        return self.objective.loss(logits_bk, moved, moved["label"])

    def _forward_nothing(self) -> Loss:
        """A pass that changes nothing, so that all processes make equally many."""
        view, device = self.config.view, self.accelerator.device
        size = (view.num_frames, view.height, view.width)
        inputs = torch.zeros(1, self.card.in_channels, *size, device=device)
        self.model.eval()  # batch norms keep their statistics
        with self.autocast():
            logits_bk = self.model(inputs)
        self.model.train()
        return Loss(0.0 * logits_bk.float().sum(), {})

    def check_finite(self, loss: Loss, step: int, batch: ClipBatch) -> None:
        """Raise TrainingError on every process if the loss of one is not finite."""
        is_bad = ~torch.isfinite(loss.total.detach())
        if self.accelerator.reduce(is_bad.float(), "sum"):
            where = ", ".join(batch["clip_id"]) if is_bad else "another process"
            raise TrainingError(
                f"loss must be finite, got {float(loss.total.detach())} at step {step + 1} "
                f"with the clips {where}; lower the learning rate or clip gradients "
                "(--optimizer.clip-norm)"
            )

    def announce(self, total_steps: int) -> None:
        """Tell the log how much there is to do."""
        if not self.is_main:
            return
        per_step = self.config.batch_size * self.config.accumulate * self.accelerator.num_processes
        extent = {"first_step": self.first_step, "total_steps": total_steps, "step_clips": per_step}
        text = f"steps {self.first_step + 1} to {total_steps} of {per_step} clips each"
        if self.first_step == total_steps:
            text = f"all {total_steps} steps are done"
        LOGGER.info(text, extra=extent)

    def set_learning_rate(self, step: int) -> float:
        """Set and return the learning rate of a step."""
        learning_rate = learning_rate_at(step, self.config.schedule)
        set_learning_rate(self.optimizer, learning_rate)
        return learning_rate

    def log(self, step: int, figures: list[dict[str, float]], learning_rate: float) -> None:
        """Write the mean of the figures of a step to the log."""
        done, config = step + 1, self.config
        is_due = done % config.log_every == 0 or done == config.schedule.total_steps
        if not (self.is_main and is_due):
            return
        names = figures[0] if figures else ()  # none if no clip of the step could be read
        values = {name: fmean(each[name] for each in figures) for name in names}
        values["learning_rate"] = learning_rate
        for name, value in values.items():
            cast("Any", self.writer).add_scalar(f"train/{name}", value, done)
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        LOGGER.info("step %d: %s", done, text, extra={"step": done, "figures": values})

    def save(self, step: int) -> None:
        """Write the checkpoint after so many steps."""
        if not all(torch.isfinite(value).all() for value in self.bare_model.parameters()):
            raise TrainingError(
                f"weights must be finite, got others after step {step}; lower the learning rate "
                "or clip gradients (--optimizer.clip-norm)"
            )
        self.objective.at_checkpoint()
        rng = _gather_state(self.accelerator, torch.get_rng_state())
        cuda_rng = []
        if torch.cuda.is_available():
            cuda_rng = _gather_state(self.accelerator, torch.cuda.get_rng_state())
        if self.is_main:
            training = {
                "step": step,
                "optimizer": self.optimizer.state_dict(),
                "rng": rng,
                "cuda_rng": cuda_rng,
                "config": self.settings,
            }
            save_checkpoint(
                checkpoint_path(self.checkpoints, step),
                card=self.card,
                weights=self.bare_model.state_dict(),
                training=training,
            )
            prune_checkpoints(self.checkpoints, keep=self.config.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def evaluate(self, step: int) -> Accuracy | None:
        """Accuracy on the validation shards; None without them."""
        config = self.config
        if config.val_shards is None:
            return None
        self._share_buffers()
        eval_config = EvalConfig(
            view=config.eval_view,
            batch_size=config.batch_size,
            workers=config.workers,
            on_corrupt=config.on_corrupt,
        )
        with self.autocast():
            predictions = predict(
                self.bare_model,
                self.card,
                config.val_shards,
                eval_config,
                rank=self.accelerator.process_index,
                world_size=self.accelerator.num_processes,
            )
        accuracy = accuracy_of(predictions)
        if self.writer is not None:
            for name, value in accuracy._asdict().items():
                self.writer.add_scalar(f"val/{name}", value, step)
            text = f"top-1 {accuracy.top1:.4f}, top-5 {accuracy.top5:.4f}"
            LOGGER.info("step %d: %s", step, text, extra={"accuracy": accuracy})
        return accuracy

    def _share_buffers(self) -> None:
        """Evaluate with the batch statistics that the checkpoint has: those of process 0."""
        if self.accelerator.num_processes > 1:
            for buffer in self.bare_model.buffers():
                buffer.copy_(broadcast(buffer.clone()))

    def close(self) -> None:
        """End logging."""
        if self.writer is not None:
            self.writer.close()
        self.accelerator.end_training()


def _check_labelled(dataset: ShardDataset, shards: Path) -> None:
    if min(dataset.label_indices, default=-1) < 0:
        number = sum(label < 0 for label in dataset.label_indices)
        raise ConfigError(
            f"shards must have at least one clip and a label for every clip, got {shards} with "
            f"{number} of {len(dataset.label_indices)} clips without one"
        )


def _gather_state(accelerator: Accelerator, state: torch.Tensor) -> list[torch.Tensor]:
    """The random state of every process, in order."""
    if accelerator.num_processes == 1:
        return [state]
    gathered = accelerator.gather(state.to(accelerator.device)[None]).cpu()
    return list(gathered)
