"""Write a corpus with existing features in another form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.corpus import feature_file
from speakerid.corpus.check import check_corpus
from speakerid.corpus.utterances import Utterance
from speakerid.preparation import recordings_table
from speakerid.preparation.options import Options, Prepared
from speakerid.preparation.sources.recordings import Scan
from speakerid.preparation.target import check_target, locked
from speakerid.preparation.write import write_corpus


def repack(source: Path, out: Path, options: Options, found: Scan) -> Prepared:
    """Write a corpus with existing features in another form, for example as a packed store."""
    defaults = Options()
    for name in vars(options).keys() - {"layout", "layout_out", "dtype", "workers"}:
        if getattr(options, name) != getattr(defaults, name):
            raise UserError(f"{name}: has no effect on {source}, whose features are already computed; leave it out")
    corpus = check_corpus(source)
    features = corpus.root  # may be a folder inside the source
    check_target(out, corpus.features)
    corpus = replace(corpus, root=out)

    def frames(utterance: Utterance) -> NDArray[np.float32]:
        path = features / utterance.feature_path
        return feature_file.load(path, utterance.length, corpus.features.n_mels).numpy()

    with locked(out):
        write_corpus(
            corpus, frames, options.layout_out, options.dtype, write_extra=lambda: recordings_table.remove(out)
        )
    return Prepared(corpus, found, [], 0, None, [])
