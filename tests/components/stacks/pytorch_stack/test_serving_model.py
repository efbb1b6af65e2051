"""One model in three forms: the referee's features, the torch module, the ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import numpy_helper

from components.checks import preprocessing as referee
from components.checks.measurement import Finding, Status
from components.checks.serving_skew import compare
from components.contract.errors import EvidenceError, ProcessError
from components.contract.features import ModelInput, model_inputs
from components.lineage.digests import sha256_file
from components.stacks.pytorch_stack import artifacts, onnx_scoring
from components.stacks.pytorch_stack.model_stages import scores_in_memory
from components.stacks.pytorch_stack.network import RiskModel, build_network
from components.stacks.pytorch_stack.onnx_export import export_onnx, save_onnx
from components.stacks.pytorch_stack.onnx_scoring import OnnxScorer
from components.stacks.pytorch_stack.preprocessing import Preprocessing, fit, module_inputs
from components.stacks.pytorch_stack.tensors import RawSplit, _number_tensor, read_split

UNSEEN = RawSplit(
    name="unseen",
    numbers={
        "age": torch.tensor([float("nan"), 0.0, 1e9, -5.0], dtype=torch.float64),
        "add": torch.tensor([1.0, float("nan"), float("nan"), 2.0], dtype=torch.float64),
        "sub": torch.tensor([1.0, 0.0, float("nan"), 1.0], dtype=torch.float64),
        "under_40": torch.tensor([0.0, float("nan"), 1.0, 1.0], dtype=torch.float64),
        "plan code": torch.tensor([99.0, 10.0, float("nan"), 3.0], dtype=torch.float64),
    },
    texts={
        "sex": pa.array(["x", None, "f", "M"]),
        "ward": pa.array([None, "never seen", "A", "Ä\nÖ"]),
    },
    labels=torch.zeros(4),
    rows=pa.array([bytes(32)] * 4, pa.binary(32)),
)
"""Nulls, unknown codes and unknown text in every kind of column."""


@pytest.fixture(scope="module")
def process(make_process):
    """A run whose candidate sees every column."""
    return make_process("plain")


@pytest.fixture(scope="module")
def raw(process) -> RawSplit:
    """The evaluation rows."""
    inputs = model_inputs(process.contract, process.candidate)
    return read_split(process.dataset, "evaluation", process.contract, inputs)


@pytest.fixture(scope="module")
def module(process) -> Preprocessing:
    """Preprocessing fitted on the training rows."""
    inputs = model_inputs(process.contract, process.candidate)
    train = read_split(process.dataset, "train", process.contract, inputs)
    count = process.policy.training.min_category_count
    return Preprocessing(fit(train, inputs, process.contract, count))


@pytest.fixture(scope="module")
def model(process, module: Preprocessing) -> RiskModel:
    """An untrained model: any weights will do to compare its two forms."""
    torch.manual_seed(5)
    return RiskModel(module, build_network(module.width, process.policy.training)).eval()


@pytest.fixture(scope="module")
def exported(model: RiskModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as ONNX."""
    return save_onnx(export_onnx(model), tmp_path_factory.mktemp("onnx") / "model.onnx")


def torch_scores(model: RiskModel, raw: RawSplit) -> np.ndarray:
    """Scores of the torch form."""
    with torch.inference_mode():
        return model(*module_inputs(raw, model.preprocessing.fitted)).numpy()


def test_features_are_the_referees(process, module: Preprocessing, raw: RawSplit) -> None:
    inputs = model_inputs(process.contract, process.candidate)
    count = process.policy.training.min_category_count
    fitted = referee.fit(process.dataset.files(split="train"), inputs, count)
    files = process.dataset.files(split="evaluation")
    expected = referee.features(pa.concat_tables(pq.read_table(f) for f in files), fitted)
    mine = module(*module_inputs(raw, module.fitted)).numpy()
    assert mine.shape == expected.shape
    assert np.abs(mine - expected).max() < 1e-5
    assert [f.kind for f in module.fitted].count("text") == 2


@pytest.mark.parametrize("rows", ["evaluation", "unseen"])
def test_onnx_gives_the_scores_of_torch(
    model: RiskModel, exported: Path, raw: RawSplit, rows: str
) -> None:
    chosen = raw if rows == "evaluation" else UNSEEN
    served = OnnxScorer(exported, sha256_file(exported)).score(chosen)
    assert served.shape == (len(chosen),)
    assert np.abs(served - torch_scores(model, chosen)).max() < 1e-6
    assert len(np.unique(served)) > 1


def test_null_and_unknown_categories_are_all_zeros(module: Preprocessing) -> None:
    features = module(*module_inputs(UNSEEN, module.fitted))
    start = 0
    for f in module.fitted:
        block = features[:, start : start + f.width]
        if f.name in ("ward", "plan code"):
            assert block.sum(dim=1).tolist()[:1] == [0.0]
        start += f.width
    assert torch.isfinite(features).all()


def test_the_graph_takes_raw_columns_by_name(process, exported: Path) -> None:
    graph = onnx.load(exported).graph
    inputs = model_inputs(process.contract, process.candidate)
    assert [i.name for i in graph.input] == [i.name for i in inputs]
    text = {i.name for i in graph.input if i.type.tensor_type.elem_type == onnx.TensorProto.STRING}
    assert text == {"sex", "ward"}
    assert [n.op_type for n in graph.node].count("LabelEncoder") == 2


def test_the_file_tells_nothing_of_the_machine(exported: Path) -> None:
    content = exported.read_bytes()
    assert b"/" + b"site-packages" not in content
    assert str(Path.home()).encode() not in content
    assert b"stack_trace" not in content


def test_the_same_model_gives_the_same_bytes(model: RiskModel, exported: Path) -> None:
    assert export_onnx(model).SerializeToString() == exported.read_bytes()


def test_another_file_than_was_recorded_is_not_opened(exported: Path, tmp_path: Path) -> None:
    digest, copy = sha256_file(exported), tmp_path / "model.onnx"
    copy.write_bytes(exported.read_bytes() + b"\x00")
    with pytest.raises(EvidenceError, match="is not the model that was recorded"):
        OnnxScorer(copy, digest)


def test_preprocessing_and_weights_come_back(
    process, model: RiskModel, raw: RawSplit, tmp_path: Path
) -> None:
    saved = artifacts.save_preprocessing(tmp_path / "transform", model.preprocessing)
    weights = artifacts.save_weights(tmp_path / "weights.safetensors", model)
    back = artifacts.load_weights(
        weights, artifacts.load_preprocessing(saved), process.policy.training
    )
    assert np.array_equal(torch_scores(back, raw), torch_scores(model, raw))


def test_a_transform_whose_files_do_not_fit_is_refused(model: RiskModel, tmp_path: Path) -> None:
    saved = artifacts.save_preprocessing(tmp_path / "transform", model.preprocessing)
    inputs = saved / "inputs.json"
    text = inputs.read_text().replace('"mean": ', '"mean": 1')
    inputs.write_text(text)
    with pytest.raises(EvidenceError, match="not those of its inputs"):
        artifacts.load_preprocessing(saved)


def test_a_constant_column_and_an_empty_one_become_zeros(process) -> None:
    columns = {"add": [0.1, 0.1, 0.1], "age": [float("nan")] * 3}
    split = RawSplit(
        "train",
        {k: torch.tensor(v, dtype=torch.float64) for k, v in columns.items()},
        {},
        torch.zeros(3),
        pa.array([bytes(32)] * 3, pa.binary(32)),
    )
    inputs = [ModelInput("add", False), ModelInput("age", False)]
    module = Preprocessing(fit(split, inputs, process.contract, 1))
    assert module(*module_inputs(split, module.fitted)).tolist() == [[0.0, 0.0]] * 3


def test_rows_that_are_not_the_manifests_are_refused(process, monkeypatch) -> None:
    monkeypatch.setitem(process.dataset.manifest["splits"]["evaluation"], "root", "00" * 32)
    with pytest.raises(EvidenceError, match="not those of the manifest"):
        read_split(process.dataset, "evaluation", process.contract, [])


def test_integers_that_float64_cannot_hold_are_refused_without_being_told() -> None:
    with pytest.raises(ProcessError, match=r"column codes holds integers beyond 2\*\*53") as told:
        _number_tensor("codes", pa.chunked_array([pa.array([2**53 + 1])]))
    assert "9007199254740993" not in repr(told.value)


def shifted(model: onnx.ModelProto) -> onnx.ModelProto:
    """An export whose preprocessing subtracts other means than training does."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    (mean,) = [i for i in changed.graph.initializer if i.name.endswith("preprocessing.mean")]
    mean.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(mean) + 3.0, mean.name))
    return changed


def skew(model: RiskModel, raw: RawSplit, served: Path, folder: Path) -> dict[str, Finding]:
    """The referee's findings on training's own figures and those of an exported file."""
    with torch.inference_mode():
        features = model.preprocessing(*module_inputs(raw, model.preprocessing.fitted)).numpy()
    scorer = OnnxScorer(served, sha256_file(served))
    trained = {
        "features": artifacts.save_features(folder / "f.parquet", raw.rows, features),
        "score": artifacts.save_scores(
            folder / "s.parquet", raw.rows, scores_in_memory(model, raw)
        ),
    }
    exported = {
        "features": artifacts.save_features(folder / "of.parquet", raw.rows, scorer.features(raw)),
        "score": artifacts.save_scores(folder / "os.parquet", raw.rows, scorer.score(raw)),
    }
    return {k: compare(k, trained[k], exported[k], at_most=1e-5, unit="1") for k in trained}


def test_a_right_export_computes_what_training_computes(
    model: RiskModel, raw: RawSplit, exported: Path, tmp_path: Path
) -> None:
    found = skew(model, raw, exported, tmp_path)
    assert {f.status for f in found.values()} == {Status.PASS}


def test_a_mismatched_export_shows_in_features_and_scores(
    model: RiskModel, raw: RawSplit, exported: Path, tmp_path: Path
) -> None:
    served = save_onnx(shifted(onnx.load(exported)), tmp_path / "shifted.onnx")
    found = skew(model, raw, served, tmp_path)
    assert {f.status for f in found.values()} == {Status.FAIL}


def test_features_are_asked_for_in_slices_like_scores(
    module: Preprocessing, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = OnnxScorer(exported, sha256_file(exported))
    whole = scorer.features(UNSEEN)
    monkeypatch.setattr(onnx_scoring, "_ROWS_AT_ONCE", 3)
    assert whole.shape == (4, module.width)
    assert np.array_equal(scorer.features(UNSEEN), whole)
