"""`train.py` with a simulated failure: started by torchrun, so that one process of several can fail.

    accident.py KIND RANK STEP --config FILE …

KIND is `signal` (SIGTERM, and rank 0 is the last to leave the others), `kill` (SIGKILL, in the first start only),
`fail` (a UserError), or `none`.
"""

import os
import signal
import sys
import time

import torch
import torch.distributed as dist

from speakerid import cli
from speakerid.base.distributed import was_restarted
from speakerid.base.errors import UserError
from speakerid.training.batches import TrainingBatches

kind, rank, when = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv[1:4] = []
fetch, leave = TrainingBatches.__getitem__, dist.destroy_process_group


def fetch_or_not(self: TrainingBatches, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    if step == when and os.environ["RANK"] == rank:
        if kind == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        if kind == "kill" and not was_restarted():
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "fail":
            raise UserError("anna.pt: the disk is gone")
    return fetch(self, step)


def leave_late() -> None:
    if kind == "signal" and os.environ["RANK"] == "0":
        time.sleep(1)
    leave()


TrainingBatches.__getitem__ = fetch_or_not
dist.destroy_process_group = leave_late
torch.set_num_threads(1)
cli.main("train")
