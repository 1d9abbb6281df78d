"""Training step: forward, backward, clipping, optimizers, and sums for the log.

Nothing here waits for the device: losses are summed on it, and read only for a line of the log.

Shapes: B examples in this process's share of a batch, T frames, M mel bands.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from speakerid.base.distributed import highest, is_shared, rank, summed, world_size
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig, TrainConfig
from speakerid.training.augmentation import Augmentation, seed_generators
from speakerid.training.cuda_graph import StepGraph, can_capture
from speakerid.training.losses import Loss
from speakerid.training.optimizers import optimizers, restore
from speakerid.training.precision import choose_precision

_SUMS = ("loss", "cross_entropy", "correct", "count")
_MIXTURE = 1  # key of NumPy's generator; rank 1 has the same key, but for PyTorch's generator


class TrainingStep:
    """Training steps of a run.

    The random numbers of a step (dropout, augmentation) depend on the seed, the step and the rank only. So the state of
    the generators need not be saved, and a run that was saved by four processes can continue with one.

    Args:
        model: the classifier, on its device.
        settings: settings of training, such as optimizer, precision, accumulation and compilation.
        seed: seed of the random numbers.
        say: prints a line if something could not be done as the settings ask.
        scale: scale of the logits of a cosine classifier, which losses with a margin need.
        features: settings of the log-mels, for channel augmentation; by default those of HW4.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainConfig,
        seed: int = 0,
        say: Callable[[str], None] = print,
        scale: float = 1.0,
        features: FeatureConfig | None = None,
    ) -> None:
        self.model = model
        self._settings = settings
        self._seed = seed
        self._say = say
        self.device = next(model.parameters()).device
        self.precision = choose_precision(settings.precision, self.device)
        self._parameters = list(model.parameters())  # collecting them takes a few percent of a small model's step
        self._dtype = self._parameters[0].dtype
        # Tensors, since a captured step reads them from fixed addresses.
        self._learning_rate = torch.tensor(settings.learning_rate, device=self.device)
        self._margin = torch.zeros((), device=self.device)
        self._mixup_weight = torch.ones((), device=self.device)
        self._loss = Loss(settings.loss, scale)
        self._augment = Augmentation(settings, features or FeatureConfig())
        self._optimizers = optimizers(model, settings)
        self._prepare_optimizers()
        self._step = torch.zeros((), dtype=torch.float64, device=self.device)
        self._sums = torch.zeros(len(_SUMS), dtype=torch.float64, device=self.device)
        self._bad_step = torch.zeros_like(self._step)
        self._wrapped = self._distributed() if is_shared() else model
        self._forward: Callable[[Tensor], Tensor] = self._wrapped
        if settings.compile:
            self._forward = torch.compile(self._wrapped, dynamic=False)
        self._graph = StepGraph(self._work, self.device) if settings.graph and can_capture(self.device) else None

    def __call__(self, features: Tensor, labels: Tensor, step: int, learning_rate: float) -> None:
        """Train on this process's share of a batch.

        Args:
            features: (B, T, M).
            labels: (B,) classes.
            step: number of the step, counted from 0; the random numbers depend on it.
            learning_rate: learning rate of this step.
        """
        self._learning_rate.fill_(learning_rate)
        self._margin.fill_(self._loss.margin(step, self._settings.total_steps))
        if self._settings.mixup:
            self._mixup_weight.fill_(self._draw_mixup_weight(step))
        self._step.fill_(step + 1)
        try:
            self._run(features, labels, step)
        except RuntimeError as error:
            if not self._is_compile_error(error):
                raise
            # Raised before the first step, so no weight has changed yet.
            self._say(f"train.compile: failed, training continues without it ({str(error).strip().splitlines()[0]})")
            self._forward = self._wrapped
            self._run(features, labels, step)

    def _run(self, features: Tensor, labels: Tensor, step: int) -> None:
        seed_generators(self._seed, step, self.device)
        if self._graph is None:
            self._work(features, labels)
        elif not self._graph(features, labels):
            self._say(
                f"train.graph: the capture failed, training continues without it ({self._graph.reason}); "
                "train.graph=false does not try"
            )
            self._graph = None
            self._run(features, labels, step)

    def _work(self, features: Tensor, labels: Tensor) -> None:
        """Work of a step on the device, the same for every step."""
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        parts = self._settings.accumulate
        features, others = self._augmented(features, labels)
        sums = self._sums.new_zeros(len(_SUMS))
        pieces = [tensor.tensor_split(parts) for tensor in (features, labels, others)]
        for part, (x, y, z) in enumerate(zip(*pieces, strict=True)):
            with self._no_sync() if part < parts - 1 else nullcontext():
                loss, figures = self._compute_loss(x, y, z)
                # DistributedDataParallel averages gradients over processes, but they have to be summed.
                (loss * (world_size() / self._settings.batch_size)).backward()
            sums += figures
        norm = nn.utils.clip_grad_norm_(self._parameters, self._settings.max_grad_norm)
        for optimizer in self._optimizers:
            optimizer.step()
        self._sums += sums
        is_first = ~torch.isfinite(sums[0] + norm) & (self._bad_step == 0)
        self._bad_step.copy_(torch.where(is_first, self._step, self._bad_step))

    def _augmented(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Apply channel augmentation, SpecAugment and mixup with the neighbor in the batch to (B, T, M) features.

        Returns:
            (B, T, M) features and (B,) labels of the neighbors.
        """
        features = self._augment(features)
        if not self._settings.mixup:
            return features, labels
        return torch.lerp(features.roll(1, 0), features, self._mixup_weight), labels.roll(1)

    def _compute_loss(self, features: Tensor, labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """The loss summed over a part of a batch, and its `_SUMS`; `others` are the labels that mixup mixes in."""
        with self.precision.autocast(self.device):
            logits = self._forward(features.to(self._dtype))
        logits = logits.to(self._dtype)
        share = self._mixup_weight.to(logits.dtype)

        def mixed(figure: Callable[[Tensor], Tensor]) -> Tensor:
            return figure(labels) if not self._settings.mixup else figure(others).lerp(figure(labels), share)

        loss = mixed(lambda classes: self._loss(logits, classes, self._margin))
        with torch.no_grad():  # from the unmodified logits: a margin must not lower accuracy or raise the cross-entropy
            chosen = logits.argmax(-1)
            correct = mixed(lambda classes: (chosen == classes).sum(dtype=logits.dtype))
            cross_entropy = loss
            if not self._loss.is_plain:
                cross_entropy = mixed(lambda classes: F.cross_entropy(logits, classes, reduction="sum"))
            figures = torch.stack([loss, cross_entropy, correct, torch.full_like(loss, len(labels))])
        return loss, figures.to(self._sums.dtype)

    def local_sums(self) -> dict[str, float]:
        """`sums` of this process only; needs no communication."""
        return dict(zip(_SUMS, self._sums.tolist(), strict=True))

    def sums(self) -> dict[str, float]:
        """Sums of losses, cross-entropies, correct answers and examples of all processes since `clear`."""
        return dict(zip(_SUMS, summed(self._sums).tolist(), strict=True))

    def bad_step(self) -> int:
        """First step, counted from 1, whose loss or gradient was not finite; 0 if there is none."""
        return int(highest(self._bad_step))

    def clear(self) -> None:
        """Reset the sums."""
        self._sums.zero_()

    def state_dict(self) -> list[dict[str, Any]]:
        """States of the optimizers."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load_state_dict(self, states: list[dict[str, Any]], sums: dict[str, float]) -> None:
        """Restore the optimizers and the sums of a checkpoint.

        Raises:
            ValueError: the states are not those of these optimizers.
            KeyError: a sum is missing.
        """
        self._learning_rate.fill_(restore(self._optimizers, states))
        self._prepare_optimizers()
        self._bad_step.zero_()
        mine = [sums[name] if rank() == 0 else 0.0 for name in _SUMS]  # they are of all processes
        self._sums.copy_(torch.tensor(mine, dtype=torch.float64))
        if self._graph is not None:  # the captured step writes to the optimizers' former tensors
            self._graph = StepGraph(self._work, self.device)

    def _prepare_optimizers(self) -> None:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rate

    def _is_compile_error(self, error: RuntimeError) -> bool:
        if self._forward is self._wrapped:
            return False
        from torch._dynamo.exc import TorchDynamoException  # slow to import; torch.compile has done so by now

        return isinstance(error, TorchDynamoException)

    def _draw_mixup_weight(self, step: int) -> float:
        """Weight of a crop in its mixture with the neighbor, for all crops of a step; the same in all processes."""
        rng = np.random.default_rng([self._seed, step, _MIXTURE])
        return float(rng.beta(self._settings.mixup, self._settings.mixup))

    def _distributed(self) -> DistributedDataParallel:
        gpu = [self.device.index] if self.device.type == "cuda" else None
        # Running statistics are the same in every process, see `BatchNorm`.
        return DistributedDataParallel(self.model, gpu, broadcast_buffers=False, gradient_as_bucket_view=True)

    def _no_sync(self) -> Any:
        return self._wrapped.no_sync() if isinstance(self._wrapped, DistributedDataParallel) else nullcontext()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU or the machine ran out of memory; for the latter PyTorch has no exception type."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


@contextmanager
def explain_out_of_memory(advice: Callable[[], str]) -> Iterator[None]:
    """Raise a UserError with this advice if memory runs out in the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise UserError(f"memory ran out {advice()}") from error
        raise
