"""Starting runs, watching them, and closing them however they end."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import AssayError, InputError
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.datasets.canonical import Dataset, ingest
from components.datasets.sources import open_source
from components.lineage.actor import actor
from components.lineage.durable import locked_directory, writable_directory, write_atomically
from components.lineage.evidence import CLOSING_STAGE, EvidenceChain, EvidenceRecord, chain_of
from components.lineage.evidence_keys import HomeKeys
from components.lineage.model_keys import ModelKeys
from components.lineage.row_key import read_row_key, row_key_for_rows
from components.release.records import read_releases
from components.stacks.abandoned import close_abandoned, held, hold, let_go, unsettled
from components.stacks.environment import SBOM_FILE, Environment, environment
from components.stacks.process import ReleaseProcess
from components.stacks.run_spec import STACKS, RunSpec, new_run_id, utc_now
from components.stacks.stages import Stage
from pipelines.worker import TOLD

log = logging.getLogger("assay.process")

_PROBE = {"tfx": "tfx", "pytorch": "lightning"}
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 10

Watch = Callable[[RunSpec, EvidenceRecord], None]
"""Called with every record as soon as it stands."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run that is wanted."""

    stack: str
    candidate: str
    policy_path: Path


def stacks_named(name: str) -> tuple[str, ...]:
    """The stacks that ``tfx``, ``pytorch`` or ``both`` means.

    Raises:
        InputError: another word, or a stack whose extra is not installed.
    """
    chosen = STACKS if name == "both" else (name,)
    for stack in chosen:
        if stack not in STACKS:
            raise InputError(
                f"unknown stack {stack!r}", where="--stack", expected="tfx, pytorch or both"
            )
        if importlib.util.find_spec(_PROBE[stack]) is None:
            raise InputError(
                f"extra {stack} is not installed",
                where="this Python environment",
                expected=f"`make setup EXTRAS={stack}` (or EXTRAS=all)",
            )
    return chosen


def prepare(
    contract_path: Path, orders: Sequence[Order], home: Path, data: Path | None
) -> list[RunSpec]:
    """Ingest the data once for each policy and write down every run before the first one starts.

    Raises:
        InputError: contract, policy, candidate, data or home are not usable.
    """
    home = home.resolve()
    contract = load_contract(contract_path)
    policies = {o.policy_path: load_policy(o.policy_path, contract) for o in orders}
    for order in orders:
        known = policies[order.policy_path].candidates
        if order.candidate not in known:
            raise InputError(
                f"unknown candidate {order.candidate!r}",
                where=str(order.policy_path),
                expected="one of " + ", ".join(known),
            )
    open_source(contract, data)
    writable_directory(home / "keys").chmod(0o700)
    with locked_directory(home):  # a purge takes no rows that a run is about to read
        key = row_key_for_rows(home)
        datasets = {p: ingest(contract, policy, home, key, data) for p, policy in policies.items()}
        for keys in (HomeKeys(home), ModelKeys(home)):
            keys.signer()  # made now, or found wanting before anything is written
        close_abandoned(home)
        surroundings = environment()
        return [
            _start(
                order,
                contract,
                policies[order.policy_path],
                datasets[order.policy_path],
                home,
                surroundings,
            )
            for order in orders
        ]


def _start(
    order: Order,
    contract: Contract,
    policy: Policy,
    dataset: Dataset,
    home: Path,
    surroundings: Environment,
) -> RunSpec:
    run_id = new_run_id(order.stack, order.candidate)
    directory = writable_directory(home / "runs" / run_id)
    hold(directory)
    # The run keeps the very bytes that it is bound to: the originals may change tomorrow.
    shutil.copyfile(contract.path, directory / "contract.yaml")
    shutil.copyfile(policy.path, directory / "policy.yaml")
    spec = RunSpec(
        run_id=run_id,
        stack=order.stack,
        candidate=order.candidate,
        home=str(home),
        contract_path=str(directory / "contract.yaml"),
        contract=contract.digest,
        policy_path=str(directory / "policy.yaml"),
        policy=policy.digest,
        dataset=contract.name,
        dataset_path=str(dataset.directory),
        dataset_version=dataset.version,
        **_done_with(surroundings, directory),
        actor=actor(),
        started=utc_now(),
    )
    spec.save()
    return spec


def _done_with(surroundings: Environment, directory: Path) -> dict[str, str]:
    """The part of a run's identity that says what it is done with; the SBOM is kept beside it."""
    write_atomically(directory / SBOM_FILE, surroundings.bill)
    return {
        "code": surroundings.code,
        "environment": surroundings.digest,
        "lock": surroundings.lock,
        "sbom": surroundings.sbom,
        "image": surroundings.image,
    }


def prepare_release(directory: Path, reason: str) -> RunSpec:
    """Write down a run that releases the model of an earlier one, which was judged then.

    Args:
        directory: an earlier run: one that a closed release gate blocked, whose model two people
            have excused since, or one that was released, for a rollback.
        reason: why it is released now.

    Raises:
        InputError: the run trained and judged no model, or is still open; or the home's row key
            is gone.
        EvidenceError: its evidence is broken.
    """
    origin = RunSpec.load(RunSpec.load(directory).origin)
    with locked_directory(Path(origin.home)):  # a purge takes no model that is about to be released
        return _start_again(origin, directory, reason)


def _start_again(origin: RunSpec, directory: Path, reason: str) -> RunSpec:
    read_row_key(Path(origin.home))
    close_abandoned(Path(origin.home))
    _require_judged(origin)
    known = read_releases(Path(origin.home), origin.dataset, origin.stack)
    ReleaseProcess(origin)  # what the run is bound to is still what its records say
    if known and origin.run_id in (known[-1].run, known[-1].continues):
        raise InputError(
            f"its model stands already, as release {known[-1].number}",
            where=str(directory),
            expected="another run",
        )
    run_id = new_run_id(origin.stack, origin.candidate)
    target = writable_directory(Path(origin.home) / "runs" / run_id)
    hold(target)
    for name in ("contract.yaml", "policy.yaml"):
        shutil.copyfile(origin.directory / name, target / name)
    spec = replace(
        origin,
        run_id=run_id,
        contract_path=str(target / "contract.yaml"),
        policy_path=str(target / "policy.yaml"),
        **_done_with(environment(), target),
        actor=actor(),
        started=utc_now(),
        continues=origin.run_id,
        reason=reason,
    )
    spec.save()
    return spec


def _require_judged(origin: RunSpec) -> None:
    """A run was released, or it was its closed release gate that ended it."""
    stages = {r.stage: r for r in _chain(origin).records()}
    closing, gate = stages.get(CLOSING_STAGE), stages.get(Stage.RELEASE_GATE)
    outcome = closing.body["outcome"] if closing is not None else ""
    blocked_there = outcome == "blocked" and Stage.PUSH not in stages
    if gate is None or not (outcome == "released" or blocked_there):
        raise InputError(
            "no release gate has judged a model there, or the run ended in another way",
            where=str(origin.directory),
            expected="a run that was released, or blocked at release_gate",
        )


def execute(
    specs: Sequence[RunSpec],
    watch: Watch,
    beam_args: Sequence[str] = (),
    worker: Sequence[str] = ("pipelines.worker",),
) -> None:
    """Run started runs, one stack after the other, and report every record as it is written.

    A stack runs in a process of its own, ``python -m`` with ``worker`` in front of the stack and
    the runs. Whatever happens to that process, its runs are closed, and what they had recorded
    stays.

    Raises:
        AssayError: a stack's process broke down; its message is in the error, its output in the
            run's ``native.log``.
        KeyboardInterrupt: passed on after the runs were closed as interrupted.
    """
    # Whoever ends us politely (a closed terminal, a container that is stopped) is Ctrl-C to us.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        for stack in dict.fromkeys(s.stack for s in specs):
            _settle_earlier(stack, Path(specs[0].home))
            _execute_stack([s for s in specs if s.stack == stack], watch, beam_args, worker)
    finally:
        for spec in specs:
            process = ReleaseProcess(spec)
            if not process.chain.closed:
                process.close(interrupted="a run before this one broke off")
            process.ensure_release()
            let_go(spec.directory)


def _settle_earlier(stack: str, home: Path) -> None:
    """Let a stack's store know of runs that broke off before; what fails is told and stays due."""
    for directory in unsettled(home, stack):
        command = [sys.executable, "-P", "-m", "pipelines.worker", stack, str(directory)]
        with (directory / "native.log").open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode:
            log.warning("assay: the %s store does not know how %s ended", stack, directory.name)
        let_go(directory)


def _execute_stack(
    specs: Sequence[RunSpec], watch: Watch, beam_args: Sequence[str], module: Sequence[str]
) -> None:
    log_path = specs[0].directory / "native.log"
    command = [sys.executable, "-P", "-m", *module, specs[0].stack]
    command += [str(s.directory) for s in specs] + ["--", *beam_args]
    reason = "interrupted by the user"
    seen: set[Path] = set()
    log_path.touch(mode=0o600)
    with log_path.open("wb") as log:
        worker = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            pass_fds=held(s.directory for s in specs),
        )
        try:
            while worker.poll() is None:
                _report_new(specs, seen, watch)
                time.sleep(_POLL_SECONDS)
            reason = f"the {specs[0].stack} process ended with code {worker.returncode}"
        finally:
            _stop(worker)
            unfinished = [s for s in specs if not _chain(s).closed]
            for spec in unfinished:
                ReleaseProcess(spec).close(interrupted=reason)
            _report_new(specs, seen, watch)
    if unfinished or worker.returncode:
        lines = log_path.read_text("utf-8", errors="replace").splitlines()
        told = [line.removeprefix(TOLD) for line in lines if line.startswith(TOLD)]
        raise AssayError(f"{reason}: {(told or ['it said nothing'])[-1]} (output: {log_path})")


def _stop(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is not None:
        return
    # An impatient second Ctrl-C must not leave the worker alive and its runs open.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, number)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(_GRACE_SECONDS)
            return


def _chain(spec: RunSpec) -> EvidenceChain:
    return chain_of(spec.directory)


def _report_new(specs: Sequence[RunSpec], seen: set[Path], watch: Watch) -> None:
    for spec in specs:
        files = set((spec.directory / "evidence").glob("[0-9]*.json"))
        if files <= seen:
            continue
        for record in _chain(spec).records():
            path = spec.directory / "evidence" / f"{record.sequence:04d}-{record.stage}.json"
            if path not in seen:
                seen.add(path)
                watch(spec, record)
