"""Lineage from the signed evidence of a home: chains, release histories and waivers.

It is the adapter that every native store is held against, so nothing goes into the graph that was
not checked: each signature and link, the documents that a run is bound to, that a release is what
its run came to, and that a waiver was signed by the two people whom the run's policy names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from components.audit.access_log import read_access
from components.audit.evidence_graph import add_release, add_run, release_key
from components.audit.evidence_runs import RunFacts, read_runs
from components.audit.evidence_waivers import read_waivers
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from components.lineage.digests import parse_canonical
from components.lineage.evidence_keys import HomeKeys
from components.lineage.graph import EdgeKind, GraphBuilder, NodeKind, StoreReading
from components.release.records import Release, histories, read_releases


class EvidenceLineage:
    """The evidence of all runs of a home, or of one stack's."""

    name = "evidence"

    def __init__(self, home: Path, stack: str | None = None) -> None:
        self.home, self.stack = home, stack

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """All that the evidence says, or only what it says of some runs.

        ``queries`` counts the files that were read; there are no entries.

        Raises:
            InputError: there is no home, or no such run in it.
            EvidenceError: a chain, a history or a waiver is broken; names the run and the file.
        """
        found = {r.run: r for r in read_runs(self._directories(runs), self._trusted())}
        found = {n: r for n, r in found.items() if self.stack in (None, r.stack)}
        graph = GraphBuilder()
        files = sum(r.files for r in found.values())
        for run in found.values():
            self._require_origin(run, found, whole=runs is None)
            add_run(graph, run)
        for run in found.values():
            if run.continued and run.continued[0] in found:
                graph.edge(f"run/{run.run}", EdgeKind.INFORMED_BY, f"run/{run.continued[0]}")
        files += self._add_releases(graph, found, whole=runs is None)
        files += self._add_waivers(graph, found, whole=runs is None)
        files += self._add_row_counts(graph, found)
        return StoreReading(graph.build(), {}, files)

    def _directories(self, runs: Collection[str] | None) -> list[Path]:
        folder = self.home / "runs"
        if not folder.is_dir():
            raise InputError(
                "holds no runs", where=str(self.home), expected="a home (`assay run`, `--home DIR`)"
            )
        if runs is not None:
            for name in sorted(runs):
                if Path(name).name != name or name == ".." or not (folder / name).is_dir():
                    raise InputError(f"no run {name!r}", where=str(folder), expected="a run's id")
            return [folder / name for name in sorted(set(runs))]
        # The id says the stack, and the records, which are believed, must say the same.
        pattern = f"*-{self.stack}-*" if self.stack else "*"
        return sorted(p for p in folder.glob(pattern) if p.is_dir())

    def _trusted(self) -> dict[str, bytes]:
        return HomeKeys(self.home).trusted()

    def _require_origin(self, run: RunFacts, found: Mapping[str, RunFacts], whole: bool) -> None:
        """A run that goes on from another does so from that one's very end."""
        if run.continued is None:
            return
        name, head = run.continued
        origin = found.get(name)
        if origin is None and whole:
            raise EvidenceError(f"run {name}, which {run.run} continues, is not there")
        if origin is not None and origin.head != head:
            raise EvidenceError(f"run {name} is not as it was when {run.run} continued it")

    def _add_releases(self, graph: GraphBuilder, found: Mapping[str, RunFacts], whole: bool) -> int:
        read = 0
        for dataset, stack in histories(self.home):
            if self.stack not in (None, stack):
                continue
            known = self._releases(dataset, stack)
            read += len(known)
            shown = [r for r in known if whole or r.run in found]
            self._require_brought_along(shown, found)
            for release in shown:
                _require_released(release, found)
                add_release(graph, release, found[release.run])
            names = {r.number: release_key(r) for r in shown}
            for release in shown:
                if before := names.get(release.supersedes):
                    graph.edge(
                        f"release/{release_key(release)}", EdgeKind.INFORMED_BY, f"release/{before}"
                    )
        return read

    def _require_brought_along(
        self, releases: Collection[Release], found: Mapping[str, RunFacts]
    ) -> None:
        """A bundle has its release's whole history, and no run of an earlier release.

        Where all runs of a history came in bundles, one that is missing was never here.
        """
        absent = [r for r in releases if r.run not in found]
        present = {r.run for r in releases} & found.keys()
        if not absent or not present:
            return
        imported = {s for a in read_access(self.home) if a.command == "import" for s in a.subjects}
        continued = [found[n].continued for n in imported & found.keys()]
        if present <= imported | {c[0] for c in continued if c}:
            first = absent[0]
            raise InputError(
                f"has no run {first.run}, which made release {first.number} of {first.dataset} in"
                f" {first.stack}",
                where=str(self.home),
                expected="its bundle imported as well; `assay audit restore` takes bundles alone",
            )

    def _releases(self, dataset: str, stack: str) -> list[Release]:
        try:
            return read_releases(self.home, dataset, stack)
        except EvidenceError as error:
            raise type(error)(f"releases/{dataset}/{stack}: {error}") from error

    def _add_waivers(self, graph: GraphBuilder, found: Mapping[str, RunFacts], whole: bool) -> int:
        waivers, read = read_waivers(self.home, self.stack, found, whole=whole)
        for waiver in waivers:
            graph.node(
                NodeKind.WAIVER,
                waiver.sha256,
                reason=waiver.reason,
                expires=waiver.expires.isoformat(),
                signer=waiver.signer,
                cosigner=waiver.cosigner,
            )
        return read

    def _add_row_counts(self, graph: GraphBuilder, found: Mapping[str, RunFacts]) -> int:
        """How many rows a dataset version has, by the manifest whose digest is its name.

        What is no such manifest is not believed. Where there is none, as in a home that a bundle
        was brought into, it is what the referee counted at the data gate and the home signed.
        """
        versions = {(r.inputs["dataset"], r.inputs["datasetVersion"]) for r in found.values()}
        read = 0
        for dataset, version in sorted(versions):
            path = self.home / "datasets" / dataset / version[:16] / "manifest.json"
            if path.is_file():
                raw, read = path.read_bytes(), read + 1
                if hashlib.sha256(raw).hexdigest() == version:
                    rows = parse_canonical(raw, path.name)["rows"]
                    graph.node(NodeKind.DATASET, version, rows=str(rows))
        for run in found.values():
            if run.rows is not None:
                graph.node(NodeKind.DATASET, run.inputs["datasetVersion"], rows=str(run.rows))
        return read


def _require_released(release: Release, found: Mapping[str, RunFacts]) -> None:
    """The run that a release names was closed as released, and pushed that model."""
    name = f"releases/{release.dataset}/{release.stack}/{release.number:06d}.json"
    run = found.get(release.run)
    push = run.stage(Stage.PUSH) if run else None
    if run is None or push is None:
        raise EvidenceError(f"{name}: run {release.run} is not there, or pushed nothing")
    models = [digest for output, _, _, digest in push.outputs if output == "serving_model"]
    if (run.outcome, run.head, models) != ("released", release.head, [release.model]):
        raise EvidenceError(f"{name} is not what run {release.run} came to")
