"""The house stands as designed: imports point down, and the core loads no ML framework."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FRAMEWORKS = (
    "tensorflow", "keras", "tfx", "tensorflow_data_validation", "tensorflow_transform",
    "tensorflow_model_analysis", "ml_metadata", "apache_beam", "torch", "lightning", "mlflow",
    "great_expectations", "evidently", "fairlearn", "onnxruntime", "sklearn",
)  # fmt: skip


def test_imports_point_down_and_no_exception_is_listed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert not any("ignore_imports" in contract for contract in config["contracts"])
    assert any(contract.get("exhaustive") for contract in config["contracts"])
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def _loaded_by(statement: str, tmp_path: Path) -> set[str]:
    """Top-level modules in a fresh interpreter after a statement."""
    probe = tmp_path / "modules.json"
    code = (
        f"import json, sys\ntry:\n    {statement}\nfinally:\n"
        f"    names = sorted({{m.split('.')[0] for m in sys.modules}})\n"
        f"    open({str(probe)!r}, 'w').write(json.dumps(names))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    return set(json.loads(probe.read_text()))


def _command(*arguments: str) -> str:
    return f"sys.argv = ['assay', *{list(arguments)!r}]; import pipelines.cli as c; c.main()"


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("doctor",), ("run", "no_such"), ("report", "/nowhere")],
)
def test_core_commands_load_no_framework(arguments: tuple[str, ...], tmp_path: Path) -> None:
    loaded = _loaded_by(_command(*arguments), tmp_path)
    assert "typer" in loaded
    assert not loaded & set(FRAMEWORKS)


def test_the_probe_sees_a_framework_that_is_loaded(tmp_path: Path) -> None:
    assert "sklearn" in _loaded_by("import sklearn", tmp_path)


def test_the_process_and_the_referee_load_no_framework(tmp_path: Path) -> None:
    statement = "import components.stacks.process, pipelines.launch, components.compare.report"
    statement += ", components.stacks.exports, components.stacks.keras_bridge"
    loaded = _loaded_by(statement, tmp_path)
    assert "components" in loaded
    assert not loaded & set(FRAMEWORKS)


def test_help_needs_neither_pandas_nor_duckdb(tmp_path: Path) -> None:
    assert not _loaded_by(_command("--help"), tmp_path) & {"pandas", "duckdb", "numpy", "pyarrow"}


def test_kubeflow_is_no_package() -> None:
    assert not (ROOT / "kubeflow" / "__init__.py").exists()


def test_no_module_is_a_drawer() -> None:
    names = {p.name for room in ("components", "pipelines") for p in (ROOT / room).rglob("*.py")}
    assert not {n for n in names if "util" in n or "helper" in n or "misc" in n}


def test_one_module_of_the_pytorch_stack_imports_keras() -> None:
    room = ROOT / "components" / "stacks" / "pytorch_stack"
    imports = re.compile(r"^\s*(?:import|from) keras\b", re.MULTILINE)
    assert [p.name for p in room.rglob("*.py") if imports.search(p.read_text())] == [
        "keras_torch.py"
    ]
