"""A run's model is signed when it is trained, and verified before anything loads it.

The signature lies in the artifacts of the run that trained, its digest in the record of that stage.
So a model and its signature cannot be changed for those of another run, though one key signs both.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from components.lineage.durable import write_atomically
from components.lineage.evidence import chain_of
from components.lineage.model_keys import ModelKeys
from components.lineage.model_signature import ModelSignatureError, sign_model, verify_model
from components.stacks.run_spec import RunSpec
from components.stacks.stages import Stage, StageResult

MODEL_SIGNATURE = "model_signature"
"""Output of the train stage, and of the push stage beside what was pushed."""

_SUFFIX = ".sig"


def sign_trained(spec: RunSpec, model: Path) -> Path:
    """Sign what a run trained; returns the signature's file.

    Args:
        spec: the run.
        model: the file or directory that would be served.
    """
    signature = signature_file(spec)
    sign_model(model, signature, ModelKeys(Path(spec.home)))
    return signature


def verified_model(spec: RunSpec, model: Path) -> Path:
    """The model again, now that it may be loaded.

    Args:
        spec: the run that trained it, or one that releases what another run trained.
        model: the file or directory that is about to be loaded, or a copy that was served.

    Raises:
        ModelSignatureError: it is not what that run trained and signed, or there is no signature.
    """
    if not model.exists():
        raise ModelSignatureError(f"{model.name} is not there")
    verify_model(model, _recorded_signature(spec), ModelKeys(Path(spec.home)))
    return model


def verified_content(spec: RunSpec, model: Path) -> bytes:
    """The bytes of a model of one file, for whoever hands them on: they are read only once.

    What is verified is a copy of them that only this process can write, so nobody can change the
    file between the check and the use.

    Raises:
        ModelSignatureError: as for ``verified_model``.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ModelSignatureError(f"{model.name} is not there") from error
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / model.name
        copy.write_bytes(content)
        verified_model(spec, copy)
    return content


def with_signature(spec: RunSpec, stage: Stage, result: StageResult) -> StageResult:
    """What a stage left, with the model's signature where the stage trained or pushed one.

    A stack that loads its model before the stage is recorded signs it itself, as soon as there is
    one, and hands the signature over: it is verified here.
    """
    if stage is Stage.TRAIN:
        model = result.outputs["model"]
        if MODEL_SIGNATURE in result.outputs:
            verified_model(spec, model)
            return result
        return _with_output(result, sign_trained(spec, model))
    if stage is Stage.PUSH:
        pushed = result.outputs["serving_model"]
        write_atomically(beside(pushed), _recorded_signature(spec))
        return _with_output(result, beside(pushed))
    return result


def beside(model: Path) -> Path:
    """Where the signature of a pushed model lies: beside it, for what is served stays as it was."""
    return model.with_name(f"{model.name}{_SUFFIX}")


def _with_output(result: StageResult, signature: Path) -> StageResult:
    return replace(result, outputs={**result.outputs, MODEL_SIGNATURE: signature})


def signature_file(spec: RunSpec) -> Path:
    """Where the signature of a run's model is kept, in the run that trained it."""
    return spec.origin / "artifacts" / f"model{_SUFFIX}"


def _recorded_signature(spec: RunSpec) -> bytes:
    """The signature of the run that trained, the one that its record names if it has one yet."""
    run = spec.origin.name
    try:
        raw = signature_file(spec).read_bytes()
    except OSError as error:
        raise ModelSignatureError(f"the model of run {run} has no signature") from error
    for record in chain_of(spec.origin).records():
        if record.stage == Stage.TRAIN:
            held = record.body["outputs"].get(MODEL_SIGNATURE, {}).get("sha256")
            if hashlib.sha256(raw).hexdigest() != held:
                raise ModelSignatureError(f"the signature of run {run} is not what it recorded")
    return raw
