import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from speakerid.base.errors import UserError
from speakerid.config import (
    Config,
    DataConfig,
    FeatureConfig,
    TrainConfig,
    load_config,
)
from speakerid.config.model import (
    AttentiveStatisticsConfig,
    BatchNormConfig,
    BranchformerConfig,
    ConformerConfig,
    CosineConfig,
    EBranchformerConfig,
    LinearConfig,
    MeanConfig,
    MlpConfig,
    ModelConfig,
    SelfAttentiveConfig,
    StatisticsConfig,
    TransformerConfig,
)

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))

TRANSFORMER = "run_dir: runs/x\nmodel: {encoder: {kind: transformer}}\n"
"""The shortest valid experiment."""
CONFORMER = TRANSFORMER.replace("transformer", "conformer")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "experiment.yaml"


def load(file: Path, text: str, *overrides: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)


def refusal(file: Path, text: str, *overrides: str) -> str:
    """The message, which is one line."""
    with pytest.raises(UserError) as refused:
        load(file, text, *overrides)
    message = str(refused.value)
    assert "\n" not in message
    return message


def with_encoder(settings: str, kind: str = "transformer") -> str:
    return f"run_dir: runs/x\nmodel: {{encoder: {{kind: {kind}, {settings}}}}}\n"


def with_model(settings: str) -> str:
    return f"run_dir: runs/x\nmodel: {{encoder: {{kind: transformer}}, {settings}}}\n"


def test_missing_settings_have_their_defaults(file: Path) -> None:
    config = load(file, TRANSFORMER)
    assert config == Config(run_dir=Path("runs/x"), model=ModelConfig(encoder=TransformerConfig(kind="transformer")))


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "0.001", "1.0e-3"])
def test_a_number_may_be_written_as_people_write_it(file: Path, written: str) -> None:
    assert load(file, TRANSFORMER + f"train: {{learning_rate: {written}}}").train.learning_rate == 1e-3
    assert load(file, TRANSFORMER, f"train.learning_rate={written}").train.learning_rate == 1e-3


def test_a_batch_of_one_is_fine_without_batchnorm(file: Path) -> None:
    assert load(file, TRANSFORMER, "train.batch_size=1", "model.classifier=linear").train.batch_size == 1


def test_a_removed_setting_may_have_the_value_that_former_versions_wrote(file: Path) -> None:
    assert load(file, TRANSFORMER + "train: {classifier_steps: 0}") == load(file, TRANSFORMER)
    message = refusal(file, TRANSFORMER + "train: {classifier_steps: 5}")
    assert message.endswith("train: classifier_steps: found 5, but this setting no longer exists; leave it out")
    assert "\n" not in message


def test_settings_are_frozen(file: Path) -> None:
    config = load(file, TRANSFORMER)
    with pytest.raises(ValidationError, match="frozen"):
        config.train.batch_size = 7  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(TRANSFORMER + "sede: 1", "sede: unknown setting; did you mean 'seed'?", id="top"),
        pytest.param(
            TRANSFORMER + "train: {totalsteps: 5}",
            "train.totalsteps: unknown setting; did you mean 'total_steps'?",
            id="section",
        ),
        pytest.param(
            with_encoder("kernel_sise: 5", "conformer"),
            "model.encoder.kernel_sise: unknown setting; did you mean 'kernel_size'?",
            id="encoder",
        ),
        pytest.param(
            TRANSFORMER + "data: {zzz: 5}",
            "data.zzz: unknown setting; known here: root, split, valid_fraction, folds, dtype, packed, "
            "company_share, frames_per_batch",
            id="like nothing",
        ),
    ],
)
def test_a_misspelling_is_refused_with_a_suggestion(file: Path, text: str, expected: str) -> None:
    assert refusal(file, text) == f"{file}: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            TRANSFORMER + "batch_size: 5",
            "batch_size: not a setting here; it belongs to train.batch_size",
            id="top",
        ),
        pytest.param(
            TRANSFORMER + "train: {seed: 5}",
            "train.seed: not a setting here; it belongs to seed",
            id="section",
        ),
        pytest.param(
            TRANSFORMER + "nhead: 5",
            "nhead: not a setting here; it belongs to "
            "model.encoder.nhead (kind: transformer, conformer, branchformer, e_branchformer) or "
            "model.pooling.nhead (kind: self_attentive, attentive_statistics)",
            id="of several kinds",
        ),
        pytest.param(
            with_encoder("kernel_size: 5"),
            "model.encoder.kernel_size: not a setting here; it belongs to "
            "model.encoder.kernel_size (kind: conformer, branchformer, e_branchformer)",
            id="conformer's under a transformer",
        ),
        pytest.param(
            with_encoder("norm_first: true", "conformer"),
            "model.encoder.norm_first: not a setting here; it belongs to model.encoder.norm_first (kind: transformer)",
            id="transformer's under a conformer",
        ),
        pytest.param(
            with_encoder("dim_feedforward: 8", "branchformer"),
            "model.encoder.dim_feedforward: not a setting here; it belongs to "
            "model.encoder.dim_feedforward (kind: transformer, conformer, e_branchformer)",
            id="under an encoder without feed-forward network",
        ),
        pytest.param(
            with_model("pooling: {kind: statistics, nhead: 2}"),
            "model.pooling.nhead: not a setting here; it belongs to "
            "model.encoder.nhead (kind: transformer, conformer, branchformer, e_branchformer) or "
            "model.pooling.nhead (kind: self_attentive, attentive_statistics)",
            id="heads of a pooling that has none",
        ),
        pytest.param(
            with_model("classifier: {kind: linear, scale: 2}"),
            "model.classifier.scale: not a setting here; it belongs to model.classifier.scale (kind: cosine)",
            id="scale of a classifier that has none",
        ),
    ],
)
def test_a_misplaced_setting_is_refused_with_its_section(file: Path, text: str, expected: str) -> None:
    assert refusal(file, text) == f"{file}: {expected}"


def test_a_section_named_like_an_encoder_is_named_in_the_refusal(file: Path) -> None:
    message = refusal(file, "run_dir: runs/x\nmodel: {transformer: {nhead: 1}}")
    assert "model.transformer: unknown setting" in message


def test_all_errors_are_in_one_message(file: Path) -> None:
    text = "sede: 1\nmodel: {d_model: wide, encoder: {kind: conformer, heads: 2}}\ntrain: {batch_size: 0}"
    message = refusal(file, text)
    for field in ("sede", "run_dir", "model.d_model", "model.encoder.heads", "train.batch_size"):
        assert f" {field}: " in message
    assert "found 'wide'" in message
    assert "found 0" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("model: {encoder: {kind: transformer}}", "run_dir: missing", id="missing"),
        pytest.param(TRANSFORMER + "seed: many", "seed: found 'many'", id="no number"),
        pytest.param(TRANSFORMER + "train: {crop_frames: 1.5}", "train.crop_frames: found 1.5", id="no whole number"),
        pytest.param(TRANSFORMER + "train: {learning_rate: .nan}", "train.learning_rate: found nan", id="nan"),
        pytest.param(TRANSFORMER + "train: {learning_rate: .inf}", "train.learning_rate: found inf", id="inf"),
        pytest.param(TRANSFORMER + "train: {batch_size: -1}", "train.batch_size: found -1", id="negative"),
        pytest.param(TRANSFORMER + "data: {valid_fraction: 1}", "data.valid_fraction: found 1", id="all validate"),
        pytest.param(TRANSFORMER + "data: {split: sesion}", "data.split: found 'sesion'", id="no such split"),
        pytest.param(with_encoder("dropout: 1"), "model.encoder.dropout: found 1", id="all dropped"),
        pytest.param(TRANSFORMER + "train: 5", "train: found 5", id="a value for a section"),
        pytest.param(
            "run_dir: x\nmodel: {encoder: {kind: transfomer}}",
            "model.encoder: found kind 'transfomer', expected one of transformer, conformer, branchformer,",
            id="no such encoder",
        ),
        pytest.param(
            with_encoder("kernel_size: 30", "conformer"),
            "kernel_size must be odd to be centered on a frame, found 30",
            id="even kernel",
        ),
        pytest.param(
            with_encoder("merge_kernel_size: 4", "e_branchformer"),
            "model.encoder: merge_kernel_size must be odd to be centered on a frame, found 4",
            id="even merging kernel",
        ),
        pytest.param(with_encoder("dim_gating: 7", "branchformer"), "model.encoder.dim_gating: found 7", id="halves"),
        pytest.param(with_encoder("layer_drop: 1"), "model.encoder.layer_drop: found 1", id="all layers dropped"),
        pytest.param(with_encoder("positions: relative"), "model.encoder.positions: found 'relative'", id="positions"),
        pytest.param(
            "run_dir: x\nmodel: {d_model: 6, encoder: {kind: conformer, nhead: 2, positions: rotary}}",
            "model: encoder.positions=rotary rotates pairs of channels, so d_model (6) / encoder.nhead (2) must be "
            "even",
            id="no pairs to turn",
        ),
        pytest.param(with_model("subsampling: 3"), "model.subsampling: found 3", id="subsampling"),
        pytest.param(
            with_model("pooling: meen"), "model.pooling: found kind 'meen', expected one of mean,", id="no such pooling"
        ),
        pytest.param(
            with_model("pooling: {kind: attentive_statistics, nhead: 7}"),
            "model: pooling.nhead (7) must divide the encoder's 80 channels",
            id="groups of channels",
        ),
        pytest.param(
            with_model("classifier: softmax"),
            "model.classifier: found kind 'softmax', expected one of linear, mlp, batchnorm, cosine",
            id="no such classifier",
        ),
        pytest.param(
            with_model("classifier: {scale: 20}"),
            "model.classifier: found no kind, expected one of linear, mlp, batchnorm, cosine",
            id="settings of no kind",
        ),
        pytest.param(with_model("classifier: {kind: cosine, scale: 0}"), "model.classifier.scale: found 0", id="scale"),
        pytest.param(with_encoder("nhead: 3"), "encoder.nhead (3) must divide d_model (80)", id="heads"),
        pytest.param(
            TRANSFORMER + "train: {total_steps: 100, warmup_steps: 100}",
            "warmup_steps (100) must be below total_steps (100)",
            id="warm-up",
        ),
        pytest.param(
            TRANSFORMER + "train: {batch_size: 1}",
            "train.batch_size must be at least 2 with model.classifier=batchnorm and train.accumulate=1, found 1",
            id="BatchNorm over one",
        ),
        pytest.param(
            with_model("classifier: {kind: cosine, batch_norm: true}") + "train: {batch_size: 1}",
            "train.batch_size must be at least 2 with model.classifier=cosine and train.accumulate=1, found 1",
            id="BatchNorm over one in front of cosines",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_field_and_reason(file: Path, text: str, expected: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: ")
    assert expected in message


def test_a_kind_without_settings_of_its_own_is_written_as_its_name(file: Path) -> None:
    model = load(file, with_model("pooling: statistics, classifier: {kind: mlp}")).model
    assert model == load(file, with_model("pooling: {kind: statistics}, classifier: mlp")).model
    written = model.model_dump(mode="json")
    assert (written["pooling"], written["classifier"]) == ("statistics", "mlp")


def test_a_kind_with_settings_is_written_with_all_of_them(file: Path) -> None:
    model = load(file, with_model("pooling: self_attentive, classifier: cosine")).model
    written = model.model_dump(mode="json")
    assert written["pooling"] == {"kind": "self_attentive", "nhead": 1, "dim_attention": 128}
    assert written["classifier"] == {"kind": "cosine", "scale": 30.0, "sub_centers": 1, "batch_norm": False}
    assert next(iter(written["encoder"])) == "kind"


def test_groups_of_concatenated_layers_are_counted_over_all_of_them(file: Path) -> None:
    pooling = "model.pooling={kind: attentive_statistics, nhead: 240}"
    assert "must divide the encoder's 80 channels" in refusal(file, TRANSFORMER, pooling)
    assert load(file, TRANSFORMER, pooling, "model.encoder.concat_layers=true").model.frame_width == 240


def test_groups_of_widened_frames_are_counted_over_their_channels(file: Path) -> None:
    pooling = "model.pooling={kind: attentive_statistics, nhead: 96}"
    assert "must divide pooling_width's 100 channels" in refusal(file, TRANSFORMER, pooling, "model.pooling_width=100")
    assert load(file, TRANSFORMER, pooling, "model.pooling_width=384").model.pooled_width == 384


def test_overrides_replace_values_of_the_file(file: Path) -> None:
    config = load(
        file,
        TRANSFORMER + "seed: 1\n",
        "seed=2",
        "train.batch_size=8",
        "model.encoder={kind: conformer}",
        "model.encoder.kernel_size=5",
        "run_dir=runs/a=b",
    )
    assert config == Config(
        run_dir=Path("runs/a=b"),
        seed=2,
        model=ModelConfig(encoder=ConformerConfig(kind="conformer", kernel_size=5)),
        train=TrainConfig(batch_size=8),
    )


def test_an_override_may_fill_an_empty_section(file: Path) -> None:
    assert load(file, TRANSFORMER + "train:\n", "train.batch_size=8").train.batch_size == 8


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        pytest.param("train.batchsize=8", "train.batchsize: unknown setting; did you mean 'batch_size'?", id="unknown"),
        pytest.param("batch_size=8", "batch_size: not a setting here; it belongs to train.batch_size", id="elsewhere"),
        pytest.param("train.batch_size=many", "train.batch_size: found 'many'", id="wrong type"),
        pytest.param("train.total_steps=5", "warmup_steps (1000) must be below total_steps (5)", id="wrong together"),
        pytest.param("train=5", "train: found 5", id="a value for a section"),
        pytest.param("run_dir=", "run_dir: found None", id="nothing"),
    ],
)
def test_overrides_are_checked_like_the_file(file: Path, override: str, expected: str) -> None:
    message = refusal(file, TRANSFORMER, override)
    assert message.startswith(f"{file} with {override}: ")
    assert expected in message


@pytest.mark.parametrize("override", ["seed", "=5", "train.=5", "train..batch_size=5", ""])
def test_a_malformed_override_is_refused_with_the_form(file: Path, override: str) -> None:
    expected = f"override {override!r}: expected section.setting=value, as in model.d_model=96"
    assert refusal(file, TRANSFORMER, override) == expected


@pytest.mark.parametrize("override", ["seed=[1", "seed=1: 2: 3", "train={batch_size: 1, batch_size: 2}"])
def test_an_override_that_is_not_yaml_is_refused(file: Path, override: str) -> None:
    assert refusal(file, TRANSFORMER, override) == f"override {override!r}: the value is not valid YAML"


def test_an_override_below_a_setting_is_refused(file: Path) -> None:
    message = refusal(file, TRANSFORMER + "seed: 1", "seed.x=5")
    assert message == "override 'seed.x=5': 'seed' is a setting, not a section"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param(TRANSFORMER + "seed: 1\nseed: 2", "seed", id="top"),
        pytest.param(with_encoder("nhead: 1, nhead: 2"), "nhead", id="nested"),
        pytest.param(TRANSFORMER + "model: {encoder: {kind: conformer}}", "model", id="section"),
    ],
)
def test_a_key_written_twice_is_refused(file: Path, text: str, key: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: not valid YAML: ")
    assert f"duplicate key '{key}'" in message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"model: {encoder", id="unclosed"),
        pytest.param(b"model: a: b", id="nested on a line"),
        pytest.param(b"\tmodel: a", id="tab"),
        pytest.param(b"seed: \xff", id="no utf-8"),
        pytest.param(b"seed: !!python/name:os.system", id="code"),
        pytest.param(b"[1]: 2", id="a list as a key"),
        pytest.param(b"model: !!map [a]", id="a list for a mapping"),
        pytest.param(b"seed: 2001-02-30", id="no such day"),
    ],
)
def test_broken_yaml_is_refused_with_the_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"^{re.escape(str(file))}: not valid YAML: [^\n]+$"):
        load_config(file)


@pytest.mark.parametrize(("text", "found"), [("", "NoneType"), ("- seed", "list"), ("seed", "str")])
def test_a_file_that_holds_no_settings_is_refused(file: Path, text: str, found: str) -> None:
    assert refusal(file, text) == f"{file}: found {found}, expected settings like 'run_dir: runs/first'"


def test_a_missing_file_is_refused(file: Path) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(str(file))}: cannot be read: No such file"):
        load_config(file)


def test_differences_are_named_with_both_values(file: Path) -> None:
    one = load(file, CONFORMER, "model.pooling=statistics", "train.batch_size=8")
    assert one.differences(one) == {}
    other = load(file, TRANSFORMER, "model.pooling={kind: self_attentive}", "model.d_model=96", "init_from=a.pt")
    assert one.differences(other) == {
        "init_from": (None, Path("a.pt")),
        "model.d_model": (80, 96),
        "model.encoder": ("conformer", "transformer"),
        "model.pooling": ("statistics", "self_attentive"),
        "train.batch_size": (8, 32),
    }
    nearly = load(file, CONFORMER, "model.pooling=statistics", "train.batch_size=8", "model.encoder.kernel_size=5")
    assert one.differences(nearly) == {"model.encoder.kernel_size": (31, 5)}


def restated(section: BaseModel, prefix: str = "") -> list[str]:
    """Settings that are written although they have their default value."""
    found = []
    for name in section.model_fields_set:
        value = getattr(section, name)
        if value == type(section).model_fields[name].default:
            found.append(prefix + name)
        elif isinstance(value, BaseModel):
            found += restated(value, f"{prefix}{name}.")
    return sorted(found)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_experiment_states_only_what_departs_from_the_defaults(path: Path) -> None:
    assert restated(load_config(path)) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_experiment_writes_to_a_folder_of_its_own_name(path: Path) -> None:
    assert load_config(path).run_dir == Path("runs") / path.stem


counts = st.integers(1, 10**6)
positive = st.floats(0, exclude_min=True, allow_infinity=False)
probabilities = st.floats(0, 1, exclude_max=True)
paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60).map(Path)
heads = st.shared(st.integers(1, 64), key="nhead")
odd = counts.map(lambda half: 2 * half - 1)
stack = {
    "num_layers": st.integers(1, 200), "nhead": heads, "dropout": probabilities, "share_layers": st.booleans(),
    "concat_layers": st.booleans(), "layer_drop": probabilities,
}  # fmt: skip
convolutional = stack | {"kernel_size": odd, "positions": st.sampled_from(["relative", "rotary", "none"])}
gated = convolutional | {"dim_gating": counts.map(lambda half: 2 * half)}
attentive = {"nhead": heads, "dim_attention": counts}
encoders = st.one_of(
    st.builds(
        TransformerConfig,
        kind=st.just("transformer"),
        dim_feedforward=counts,
        qkv_bias=st.booleans(),
        norm_first=st.booleans(),
        positions=st.sampled_from(["none", "rotary"]),
        **stack,
    ),
    st.builds(
        ConformerConfig,
        kind=st.just("conformer"),
        dim_feedforward=counts,
        conv_channels=st.none() | counts,
        glu=st.booleans(),
        macaron=st.booleans(),
        **convolutional,
    ),
    st.builds(BranchformerConfig, kind=st.just("branchformer"), **gated),
    st.builds(
        EBranchformerConfig, kind=st.just("e_branchformer"), dim_feedforward=counts, merge_kernel_size=odd, **gated
    ),
)
models = st.builds(
    ModelConfig,
    d_model=st.builds(lambda nhead, width: 2 * nhead * width, heads, counts),
    subsampling=st.sampled_from([1, 2]),
    encoder=encoders,
    pooling=st.one_of(
        st.builds(MeanConfig, kind=st.just("mean")),
        st.builds(StatisticsConfig, kind=st.just("statistics")),
        st.builds(SelfAttentiveConfig, kind=st.just("self_attentive"), **attentive),
        st.builds(AttentiveStatisticsConfig, kind=st.just("attentive_statistics"), **attentive),
    ),
    pooling_width=st.none() | heads.map(lambda nhead: 2 * nhead),
    embedding_dim=st.none() | counts,
    classifier=st.one_of(
        st.builds(LinearConfig, kind=st.just("linear")),
        st.builds(MlpConfig, kind=st.just("mlp")),
        st.builds(BatchNormConfig, kind=st.just("batchnorm")),
        st.builds(CosineConfig, kind=st.just("cosine"), scale=positive, sub_centers=counts, batch_norm=st.booleans()),
    ),
)
configs = st.builds(
    Config,
    run_dir=paths,
    init_from=st.none() | paths,
    seed=st.integers(0, 2**64 - 1),
    device=st.text(st.characters(exclude_categories=["Cs"])),
    model=models,
    data=st.builds(
        DataConfig,
        root=paths,
        split=st.sampled_from(["auto", "session", "order", "random"]),
        valid_fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
        packed=st.none() | paths,
        frames_per_batch=counts,
    ),
    train=st.builds(
        TrainConfig,
        total_steps=st.integers(10**4, 10**6),
        warmup_steps=st.integers(0, 10**4 - 1),
        valid_steps=counts,
        save_steps=counts,
        log_steps=counts,
        batch_size=st.integers(2, 10**6),
        crop_frames=counts,
        learning_rate=positive,
        weight_decay=positive | st.just(0.0),
        max_grad_norm=positive,
    ),
)


@settings(deadline=None, max_examples=50)
@given(config=configs)
def test_a_config_written_as_yaml_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    file = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    assert load(file, yaml.safe_dump(config.model_dump(mode="json"))) == config


def number_fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """All numeric settings, with their sections."""
    for name, field in section.model_fields.items():
        for choice in (field.annotation, *get_args(field.annotation)):
            if isinstance(choice, type) and issubclass(choice, BaseModel):
                yield from number_fields(choice)
            elif choice in (int, float) or str(choice).startswith("typing.Annotated[int"):
                yield section, name


NUMBERS = sorted(
    {(section, name) for section in (Config, FeatureConfig) for section, name in number_fields(section)}, key=str
)


@pytest.mark.parametrize(("section", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_no_number_is_a_boolean_or_without_bounds(section: type[BaseModel], name: str) -> None:
    giant = (10**30, -(10**30)) if section.model_fields[name].annotation is int else ()
    for value in (*giant, True, False, 1e400, float("nan"), "1e400", "9" * 5_000, "-0.0x", [], {}):
        with pytest.raises(ValidationError) as refused:
            section.model_validate({name: value})
        assert name in {problem["loc"][0] for problem in refused.value.errors()}, value


@pytest.mark.parametrize("name", ["run_dir", "init_from", "data.root", "data.packed"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [('"a\\0b"', "zero byte"), ("x" * 256, "too long"), ("é" * 128, "too long"), ("x/" * 3_000, "too long"),
     ("[a]", "path"), ("true", "path"), ("5", "path")],
)  # fmt: skip
def test_an_invalid_path_is_refused(name: str, value: str, reason: str, file: Path) -> None:
    message = refusal(file, TRANSFORMER, f"{name}={value}")
    assert f"{name}: " in message
    assert reason in message
    assert len(message) < 20_000
