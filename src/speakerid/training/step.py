"""One optimisation step: forward, backward, clipping, AdamW, and sums for the log.

Nothing here waits for the device: losses are added up where they are computed and read when a line of the log is due.

Letters: B examples in this process's part of a batch.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from speakerid.config import TrainConfig
from speakerid.distributed import highest, is_shared, rank, summed, world_size
from speakerid.training.graph import StepGraph

_SUMS = ("loss", "correct", "count")


class TrainingStep:
    """The steps of one run.

    The random numbers of a step (dropout) depend on the seed, the step and the rank alone, so no generator's state
    needs saving, and a run that was saved by four processes goes on with one.

    Args:
        model: the classifier, on its device.
        settings: optimizer, precision, accumulation, compilation.
        seed: of the random numbers.
        say: prints a line, where something is done otherwise than asked for.
    """

    def __init__(
        self, model: nn.Module, settings: TrainConfig, seed: int = 0, say: Callable[[str], None] = print
    ) -> None:
        self.model = model
        self._settings = settings
        self._seed = seed
        self._say = say
        self.device = next(model.parameters()).device
        # A tensor, for a captured step reads it where it lies.
        self._learning_rate = torch.tensor(settings.learning_rate, device=self.device)
        self.optimizer = torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay, fused=True)
        self._prepare_optimizer()
        self._step = torch.zeros((), dtype=torch.float64, device=self.device)
        self._sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        self._bad_step = torch.zeros_like(self._step)
        self._shared = self._distributed() if is_shared() else model
        self._forward: Callable[[Tensor], Tensor] = self._shared
        if settings.compile:
            self._forward = torch.compile(self._shared, dynamic=False)
        self._graph = StepGraph(self._work) if self.device.type == "cuda" and not is_shared() else None

    def __call__(self, features: Tensor, labels: Tensor, step: int, learning_rate: float) -> None:
        """Learn from this process's part of batch `step`, counted from 0.

        Args:
            features: (B, T, M).
            labels: (B,) classes.
            step: what the random numbers of the step depend on.
            learning_rate: of this step.
        """
        self._learning_rate.fill_(learning_rate)
        self._step.fill_(step + 1)
        self._seed_generator(step)
        try:
            self._run(features, labels)
        except RuntimeError as error:
            if not self._is_the_compiler_s(error):
                raise
            # Raised in front of the first step, so nothing was learned yet.
            self._say(f"train.compile: failed, training goes on without it ({str(error).strip().splitlines()[0]})")
            self._forward = self._shared
            self._seed_generator(step)
            self._run(features, labels)

    def _run(self, features: Tensor, labels: Tensor) -> None:
        if self._graph is None:
            self._work(features, labels)
        elif not self._graph(features, labels):
            self._say(f"CUDA graph: not captured, training goes on without it ({self._graph.reason})")
            self._graph = None

    def _work(self, features: Tensor, labels: Tensor) -> None:
        """What happens on the device, the same for every step."""
        self.optimizer.zero_grad()
        parts = self._settings.accumulate
        loss = self._sums.new_zeros(())
        correct = self._sums.new_zeros(())
        for part, (x, y) in enumerate(zip(features.tensor_split(parts), labels.tensor_split(parts), strict=True)):
            with self._unsynchronised() if part < parts - 1 else nullcontext():
                part_loss, logits = self._loss(x, y)
                # DistributedDataParallel averages over processes what is a sum over all examples.
                (part_loss * (world_size() / self._settings.batch_size)).backward()
            loss += part_loss.detach()
            correct += (logits.detach().argmax(-1) == y).sum()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.max_grad_norm)
        self.optimizer.step()
        self._sums += torch.stack([loss, correct, torch.full_like(loss, len(labels))])
        is_first = ~torch.isfinite(loss + norm) & (self._bad_step == 0)
        self._bad_step.copy_(torch.where(is_first, self._step, self._bad_step))

    def _loss(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the cross-entropies, and the (B, S) logits."""
        autocast = self._settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            logits = self._forward(features.to(next(self.model.parameters()).dtype))
        if autocast:
            logits = logits.float()
        return F.cross_entropy(logits, labels, reduction="sum"), logits

    def local_sums(self) -> dict[str, float]:
        """`sums` of this process alone, which needs nobody else to ask for them too."""
        return dict(zip(_SUMS, self._sums.tolist(), strict=True))

    def sums(self) -> dict[str, float]:
        """Of loss, correct answers and examples of all processes, since `clear`."""
        return dict(zip(_SUMS, summed(self._sums).tolist(), strict=True))

    def bad_step(self) -> int:
        """The first step, counted from 1, whose loss or gradient was not finite; 0 where there was none."""
        return int(highest(self._bad_step))

    def clear(self) -> None:
        """Begin to sum anew."""
        self._sums.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Of the optimizer."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any], sums: dict[str, float]) -> None:
        """Go on from the optimizer and the sums of a checkpoint."""
        self.optimizer.load_state_dict(state)
        self._learning_rate.copy_(state["param_groups"][0]["lr"])
        self._prepare_optimizer()
        self._bad_step.zero_()
        mine = [sums[name] if rank() == 0 else 0.0 for name in _SUMS]  # they are everybody's
        self._sums.copy_(torch.tensor(mine, dtype=torch.float64))
        if self._graph is not None:  # it writes to the optimizer's former tensors
            self._graph = StepGraph(self._work)

    def _prepare_optimizer(self) -> None:
        for group in self.optimizer.param_groups:  # what a checkpoint says of them may be of another device
            group["lr"] = self._learning_rate
            group["capturable"] = self.device.type == "cuda"

    def _is_the_compiler_s(self, error: RuntimeError) -> bool:
        if self._forward is self._shared:
            return False
        from torch._dynamo.exc import TorchDynamoException  # takes a second to import; by now torch.compile has

        return isinstance(error, TorchDynamoException)

    def _seed_generator(self, step: int) -> None:
        sequence = np.random.SeedSequence([self._seed, step, rank()])
        seed = int(sequence.generate_state(1, np.uint64)[0])
        # Not torch.manual_seed, which visits the generators of every device there could be.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)

    def _distributed(self) -> DistributedDataParallel:
        gpu = [self.device.index] if self.device.type == "cuda" else None
        # Running statistics are the same in every process, see speakerid.layers.batch_norm.
        return DistributedDataParallel(self.model, gpu, broadcast_buffers=False, gradient_as_bucket_view=True)

    def _unsynchronised(self) -> Any:
        return self._shared.no_sync() if isinstance(self._shared, DistributedDataParallel) else nullcontext()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU or the machine has no more memory; for the latter PyTorch has no exception of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
