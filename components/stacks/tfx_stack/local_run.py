"""Running a compiled pipeline on this machine, under the run's own name."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.portable import runtime_parameter_utils

from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.contract_to_tfmd import compile_inputs, compile_schema

CONTRACT_SCHEMA, INPUT_SCHEMA = "contract_schema", "input_schema"
_FILE = "schema.pbtxt"


def write_schemas(process: ReleaseProcess) -> None:
    """Write the two compiled schemas where the pipeline imports them from."""
    schemas = {
        CONTRACT_SCHEMA: compile_schema(process.contract, process.policy).schema,
        INPUT_SCHEMA: compile_inputs(process.contract, process.candidate),
    }
    for name, schema in schemas.items():
        directory = process.spec.directory / "native" / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _FILE).write_text(text_format.MessageToString(schema))


def run_locally(pipeline: Any, process: ReleaseProcess) -> None:
    """Compile and run the pipeline; MLMD then knows the run by Assay's run id.

    LocalDagRunner names a run by the time of day unless the name is filled in beforehand.
    """
    compiled = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        compiled, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: process.spec.run_id}
    )
    LocalDagRunner().run_with_ir(compiled)
