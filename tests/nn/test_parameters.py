"""Parameter counts: the lab report's tables row by row, and those stated in the configs."""

import re
from pathlib import Path

import pytest
from torch import nn

from speakerid.config import load_config
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.nn.summary import applied_parameters, summary, unique_parameters

CONFIGS = Path(__file__).parents[2] / "configs"
TASK1, TASK2 = CONFIGS / "task1_transformer.yaml", CONFIGS / "task2_conformer.yaml"

TASK1_ROWS = {
    "queries, keys and values": (("attention.query", "attention.key", "attention.value"), 19_200),
    "output projection": (("attention.output",), 6_480),
    "feed-forward": (("feed_forward",), 128_880),
    "two LayerNorms": (("attention_norm", "feed_forward_norm"), 320),
}
TASK2_ROWS = {
    "two feed-forwards": (("first_feed_forward", "second_feed_forward"), 161_160),
    "queries, keys, values and output": (
        ("attention.query", "attention.key", "attention.value", "attention.output"),
        25_920,
    ),
    "position projection": (("attention.position",), 6_400),
    "position biases": (("attention.content_bias", "attention.position_bias"), 160),
    "first pointwise": (("convolution.expand",), 12_960),
    "depthwise": (("convolution.depthwise",), 5_120),
    "BatchNorm": (("convolution.norm",), 320),
    "second pointwise": (("convolution.project",), 12_880),
    "five LayerNorms": (("first_norm", "attention_norm", "convolution_norm", "second_norm", "final_norm"), 800),
}


def report_model(config: Path) -> SpeakerClassifier:
    return SpeakerClassifier(load_config(config).model, n_mels=40, n_speakers=600)


def the_layer(model: SpeakerClassifier) -> nn.Module:
    """The layer that all three applications share."""
    (layer,) = (module for name, module in model.encoder.named_modules() if name == "stack.layers.0")
    return layer


def count(layer: nn.Module, names: tuple[str, ...]) -> int:
    """Number of parameters in the named parts of the layer."""
    return sum(
        parameter.numel()
        for name, parameter in layer.named_parameters()
        if any(f"{name}.".startswith(f"{part}.") for part in names)
    )


@pytest.mark.parametrize(
    ("config", "names", "expected"),
    [
        pytest.param(config, *row, id=f"{config.stem}: {title}")
        for config, rows in ((TASK1, TASK1_ROWS), (TASK2, TASK2_ROWS))
        for title, row in rows.items()
    ],
)
def test_rows_of_the_tables_in_the_report(config: Path, names: tuple[str, ...], expected: int) -> None:
    assert count(the_layer(report_model(config)), names) == expected


@pytest.mark.parametrize(
    ("config", "unique", "line"),
    [
        pytest.param(TASK1, 154_880, "The parameter size of encoder block is 154.88k", id="task1"),
        pytest.param(TASK2, 225_720, "The parameter size of encoder block is 225.72k", id="task2"),
    ],
)
def test_encoders_of_the_report(config: Path, unique: int, line: str) -> None:
    model = report_model(config)
    assert unique_parameters(model.encoder) == unique
    assert applied_parameters(model.encoder) == 3 * unique
    assert summary(model).splitlines()[-1] == line


@pytest.mark.parametrize(
    ("config", "classifier"),
    [
        pytest.param(TASK1, 80 * 80 + 80 + 80 * 600 + 600, id="task1: Linear, ReLU, Linear"),
        pytest.param(TASK2, 2 * 80 + 80 * 600 + 600, id="task2: BatchNorm1d, Linear"),
    ],
)
def test_classifiers_of_the_report(config: Path, classifier: int) -> None:
    assert unique_parameters(report_model(config).classifier) == classifier


@pytest.mark.parametrize(("config", "encoder"), [(TASK1, 154_880), (TASK2, 225_720)], ids=["task1", "task2"])
def test_summary_counts_every_part_once_and_as_applied(config: Path, encoder: int) -> None:
    model = report_model(config)
    rows = [line.split() for line in summary(model).splitlines()[:-1]]
    counts = {row[0]: [int(cell.replace(",", "")) for cell in row[1:]] for row in rows[1:]}
    others = unique_parameters(model.prenet) + unique_parameters(model.classifier)
    assert counts == {
        "prenet": [40 * 80 + 80] * 2,
        "encoder": [encoder, 3 * encoder],
        "classifier": [unique_parameters(model.classifier)] * 2,
        "model": [encoder + others, 3 * encoder + others],
    }


@pytest.mark.parametrize("config", [TASK1, TASK2], ids=["task1", "task2"])
def test_independent_layers_are_applied_once_each(config: Path) -> None:
    settings = load_config(config, ["model.encoder.share_layers=false"]).model
    encoder = SpeakerClassifier(settings, n_mels=40, n_speakers=600).encoder
    layer = the_layer(report_model(config))
    assert unique_parameters(encoder) == applied_parameters(encoder) == 3 * unique_parameters(layer)


SIZED = {
    path: size
    for path in sorted(CONFIGS.glob("*.yaml"))
    if (size := re.search(r"([\d,]+) parameters( with 600 speakers)?", path.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize(("config", "size"), SIZED.items(), ids=[path.stem for path in SIZED])
def test_a_config_has_the_parameters_stated_in_its_header(config: Path, size: re.Match[str]) -> None:
    model = report_model(config)
    assert unique_parameters(model if size[2] else model.encoder) == int(size[1].replace(",", ""))


def test_the_models_of_known_sizes_say_so() -> None:
    names = {path.stem for path in SIZED}
    assert names >= {"task1_transformer", "task2_conformer", "branchformer", "small", "medium", "large"}


def test_the_branchformer_has_the_size_of_task_2() -> None:
    size = unique_parameters(report_model(CONFIGS / "branchformer.yaml").encoder)
    assert size == pytest.approx(225_720, rel=0.02)


def test_the_final_norm_of_a_shared_pre_norm_stack_is_applied_once() -> None:
    settings = load_config(TASK1, ["model.encoder.norm_first=true"]).model
    encoder = SpeakerClassifier(settings, n_mels=40, n_speakers=600).encoder
    assert unique_parameters(encoder) == 154_880 + 160
    assert applied_parameters(encoder) == 3 * 154_880 + 160
