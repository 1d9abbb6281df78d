"""Bundles that `export` cannot have written, but with a valid digest."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor

from speakerid.recognition.bundle_file import Content, digest_of

Content_ = dict[str, Any]
Tensors = dict[str, Tensor]
Mutation = Callable[[Content_, Tensors], object]


def rewrite(source: Path, target: Path, mutation: Mutation) -> None:
    """Change content and tensors, and update the digest if possible."""
    blob = source.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    content = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["speakerid"])
    content, tensors = copy.deepcopy(content), dict(load(blob))
    mutation(content, tensors)
    try:
        checked = Content.model_validate(content)
        content["digest"] = digest_of(checked, {name: value.numpy() for name, value in tensors.items()})
        content = json.loads(checked.model_copy(update={"digest": content["digest"]}).model_dump_json())
    except (ValidationError, TypeError, RecursionError, ValueError):
        pass
    target.write_bytes(save(tensors, {"speakerid": json.dumps(content)}))


def settings(path: str, value: object) -> Mutation:
    """Set a value of the content, by its dotted name."""

    def mutate(content: Any, _: Tensors) -> None:
        *sections, name = path.split(".")
        for section in sections:
            content = content[int(section) if isinstance(content, list) else section]
        content[int(name) if isinstance(content, list) else name] = value

    return mutate


def tensor(name: str, change: Callable[[Tensor], Tensor]) -> Mutation:
    """Change a tensor."""
    return lambda _, tensors: tensors.update({name: change(tensors[name]).contiguous()})


def drop(name: str) -> Mutation:
    return lambda _, tensors: tensors.pop(name)


def extra(name: str, value: Tensor) -> Mutation:
    return lambda _, tensors: tensors.update({name: value})


def rename_first(content: Content_, name: str) -> None:
    """Rename the first speaker, also in the evidence."""
    former, content["speakers"][0]["name"] = content["speakers"][0]["name"], name
    content["evidence_speakers"] = [[name if n == former else n for n in some] for some in content["evidence_speakers"]]


GIANT = 10**30
DEEP: list[Any] = []
for _ in range(600):
    DEEP = [DEEP]


def stranger_profiles(index: int, dtype: torch.dtype = torch.int32) -> Mutation:
    """Set the own profiles of the first strangers."""

    def mutate(_: Any, tensors: Tensors) -> None:
        count = len(tensors["evidence.0.stranger_speakers"])
        tensors["evidence.0.stranger_profiles"] = torch.full((count,), index, dtype=dtype)

    return mutate


REFUSED: dict[str, Mutation] = {
    "a stranger who is a speaker that there is not": stranger_profiles(10**6),
    "a stranger who is a speaker before the first": stranger_profiles(-2),
    "strangers' profiles of another type": stranger_profiles(0, torch.float32),
    "kernel": settings("model.encoder.kernel_size", 10**9 + 1),
    "pooling": settings("model.pooling", {"kind": "attentive_statistics", "nhead": 1, "dim_attention": 10**9}),
    "sub_centers": settings("model.classifier", {"kind": "cosine", "sub_centers": 10**9}),
    "shared layers": lambda c, _: c["model"]["encoder"].update(num_layers=10**9, share_layers=True),
    "another encoder": settings("model.encoder", {"kind": "transformer"}),
    "equalised": settings("features.equalise", True),
    "a lowest frequency above the highest": settings("features.f_min", 8000.0),
    "no speakers": settings("speakers", []),
    "fewer speakers": lambda c, _: c["speakers"].pop(),
    "a name twice": lambda c, _: c["speakers"][0].update(name=c["speakers"][1]["name"]),
    "a name that is a number": settings("speakers.0.name", 7),
    "a name that is a list": settings("speakers.0.name", ["a"]),
    "evidence of nobody known": settings("evidence_speakers.0.0", "somebody"),
    "evidence for one name less": lambda c, _: c["evidence_speakers"][0].pop(),
    "no evidence": lambda c, _: c.update(seconds=[], evidence_speakers=[]),
    "empty evidence": settings("evidence_speakers.0", []),
    "durations": settings("seconds.0", -1.0),
    "descending durations": lambda c, _: c["seconds"].reverse(),
    "an infinite duration": settings("seconds.0", float("inf")),
    "no scale": settings("identification.scale", []),
    "a negative scale": settings("identification.scale.0", -1.0),
    "a name without end": lambda c, _: rename_first(c, "x" * 10**6),
    "a word without end in an error": settings("model.encoder.kind", "x" * 10**6),
    "a long scale": lambda c, _: c["identification"]["scale"].append(1.0),
    "a scale without end": settings("identification.scale.0", 1e300),
    "an unknown that is no number": settings("identification.unknown.0", float("nan")),
    "ragged thresholds": lambda c, _: c["identification"]["log_odds"][0].pop(),
    "no thresholds": settings("identification.log_odds", []),
    "rates above 1": settings("identification.rates.0", 7.0),
    "no rates": lambda c, _: c["identification"].update(rates=[], log_odds=[[] for _ in c["seconds"]]),
    "verification of other lengths": settings("verification.seconds", [1.0]),
    "expected without durations": lambda c, _: c["expected"].extend(c["expected"] * 3),
    "expected of another form": settings("expected", [{"seconds": 1}]),
    "a card that is a list": settings("card", []),
    "a card nested deeply": settings("card.deep", DEEP),
    "an unknown key": settings("owner", "me"),
    "another format": settings("format", "speakerid bundle 99"),
    "a format that is a number": settings("format", 2),
    "a digest that is a number": settings("digest", 0),
    "centers of another shape": tensor("centres", lambda t: t[:, :, :-1]),
    "centers without a dimension": tensor("centres", lambda t: t[0, 0, 0]),
    "centers that are empty": tensor("centres", lambda t: t[:0]),
    "centers in double precision": tensor("centres", lambda t: t.double()),
    "centers that are integers": tensor("centres", lambda t: t.int()),
    "centers that are not numbers": tensor("centres", lambda t: t * float("nan")),
    "giant centers": tensor("centres", lambda t: t + 1e30),
    "no centers": drop("centres"),
    "no sizes": drop("centre_clips"),
    "negative sizes": tensor("centre_clips", lambda t: -t),
    "sizes that do not add up": tensor("centre_clips", lambda t: t + 1),
    "recordings of nobody": extra("recordings", torch.tensor([[99, 1]])),
    "recordings of another shape": extra("recordings", torch.zeros(2, 3, dtype=torch.int64)),
    "no recordings": drop("recordings"),
    "a variance that is a vector": extra("weights.within", torch.ones(5)),
    "a negative variance": tensor("weights.between", lambda t: -t),
    "a variance next to zero": tensor("weights.between", lambda t: t * 0 + 1e-40),
    "no variance": drop("weights.within"),
    "weights that are infinite": tensor("weights.model.prenet.weight", lambda t: t * float("inf")),
    "weights of another shape": tensor("weights.model.prenet.weight", lambda t: t[:-1]),
    "weights less": drop("weights.model.prenet.bias"),
    "evidence that is not numbers": tensor("evidence.0.known", lambda t: t * float("nan")),
    "evidence of another width": tensor("evidence.0.known", lambda t: t[:, 1:]),
    "strangers without speakers": tensor("evidence.0.stranger_speakers", lambda t: t[:-1]),
    "strangers of another type": tensor("evidence.0.stranger_speakers", lambda t: t.long()),
    "no strangers' prints": drop("evidence.0.strangers"),
    "evidence of a duration that is not there": extra("evidence.77.known", torch.zeros(1, 32).half()),
    **{
        f"a tensor of {dtype}": extra("x", torch.zeros(4).to(dtype))
        for dtype in (torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16, torch.float64,
                      torch.float8_e4m3fn, torch.complex64)
    },
    "a tensor that is empty": extra("x", torch.zeros(0, 5)),
    "a tensor without a dimension": extra("x", torch.zeros(())),
}  # fmt: skip
"""Each is rejected."""

NUMBERS: dict[str, Mutation] = {
    f"{name} = {value}": settings(name, value)
    for name in (
        "model.d_model", "model.encoder.num_layers", "model.encoder.dim_feedforward", "model.encoder.nhead",
        "model.embedding_dim", "model.pooling_width", "features.n_mels", "features.window_length",
        "features.sample_rate", "features.hop_length", "features.level", "features.floor", "speakers.0.clips",
    )
    for value in (-1, 0, 10**5, GIANT, None, 1.5)
}  # fmt: skip
"""Each is rejected or works, since it may be valid."""

HARMLESS: dict[str, Mutation] = {
    "no card": settings("card", {}),
    "a card of anything": settings("card", {"fitted_on": [1, {"a": None}], "x": "y" * 10_000}),
    "no expectations": settings("expected", []),
    "no verification": settings("verification", None),
    "an empty name": settings("speakers.0.name", "unknown"),
    "prints of zero": tensor("centres", lambda t: t * 0),
    "weights of zero": tensor("weights.model.prenet.weight", lambda t: t * 0),
    "large weights": tensor("weights.model.prenet.weight", lambda t: t * 1e8),
    "a tiny variance": tensor("weights.within", lambda t: t * 0 + 1e-30),
    "one stranger": lambda _, t: t.update({n: v[:1] for n, v in t.items() if "stranger" in n}),
    "no strangers": lambda _, t: t.update({n: v[:0].contiguous() for n, v in t.items() if "stranger" in n}),
    "many clips": settings("speakers.0.clips", 10**9),
}
"""Each is rejected or works."""
