"""Write the speakers of a corpus's test utterances as a CSV file in HW4 format."""

from collections.abc import Sequence
from pathlib import Path

import torch

from speakerid.base.distributed import rank, summed
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_file
from speakerid.base.progress import Progress
from speakerid.corpus import answers, hw4
from speakerid.corpus.utterances import Corpus
from speakerid.training.batches import Crops
from speakerid.training.predict import predict_batches
from speakerid.training.trained_model import TrainedModel


def infer(
    checkpoints: Sequence[StrPath],
    data: StrPath,
    output: StrPath,
    device: torch.device,
    frames_per_batch: int | None = None,
    crops: Crops | None = None,
) -> Corpus:
    """Identify the speakers of a corpus's test utterances and write `Id,Category` rows, atomically.

    Args:
        checkpoints: one checkpoint, or several of the same speakers, whose log-probabilities are averaged.
        data: folder of a corpus with testdata.json.
        output: the CSV file.
        device: device of the models.
        frames_per_batch: bound on the padded frames of a batch; by default the checkpoint's setting. It does not
            change the answers.
        crops: additional crops, see `speakerid.training.predict.predict_batches`.

    Returns:
        The corpus.

    Raises:
        UserError: the checkpoints have different speakers or features, the corpus has other features, or a file is
            damaged.
    """
    trained = TrainedModel.load(checkpoints, data)
    corpus, store = trained.open("test")
    if not corpus.test:
        raise UserError(
            f"{Path(data) / hw4.TESTDATA}: utterances: none to identify; `prepare --test-fraction` sets some aside"
        )
    models = [model.to(device) for model in trained.models]
    frames_per_batch = frames_per_batch or trained.config.data.frames_per_batch
    classes = torch.zeros(len(corpus.test), dtype=torch.int64)
    with Progress("auto" if rank() == 0 else "silent").bar("Infer", "uttr", len(classes)) as bar:
        for indices, scores in predict_batches(models, store, range(len(classes)), frames_per_batch, crops=crops):
            classes[indices] = scores.argmax(-1)
            bar.advance(len(indices))
    classes = summed(classes)  # each element was filled by one process
    if rank() == 0:
        with atomic_file(Path(output)) as partial:
            answers.write(partial, corpus.test, [trained.speakers[index] for index in classes.tolist()])
    return corpus
