"""What `assay check` says: a table for people, JSON for machines, JUnit XML for CI."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.checks.measurement import Finding, Status
from components.checks.small_figures import NOT_SHOWN
from components.checks.suppression import UNDER, is_small
from components.lineage.digests import decimal, sha256_file
from pipelines.check import ENGINE, Checked
from pipelines.show import STYLES


def as_json(checked: Checked) -> dict[str, Any]:
    """The whole result; figures as decimal strings, as in evidence."""
    policy = checked.policy
    return {
        "contract": _named(checked.contract.name, checked.contract.digest)
        | {"version": checked.contract.version},
        "policy": None if policy is None else _named(policy.name, policy.digest),
        "data": {
            "rows": checked.rows,
            "files": [_named(f.name, sha256_file(f)) for f in checked.source.files],
        },
        "reference": checked.reference,
        "verdict": checked.verdict.to_json(),
        "coverage": [c.to_json() for c in checked.covered],
    }


def _named(name: str, digest: str) -> dict[str, str]:
    return {"name": name, "sha256": digest}


def print_table(console: Console, checked: Checked) -> None:
    """Coverage, a clause a line: rule, severity, engine, result, the figure behind it."""
    by_rule = {f.rule: f for f in checked.verdict.findings}
    rows = UNDER if is_small(checked.rows) else f"{checked.rows:,}"
    table = Table(title=f"{checked.source.named}: {rows} rows", title_justify="left")
    for heading in ("rule", "severity", "engine", "result", "measured"):
        table.add_column(heading, overflow="fold")
    for covered in checked.covered:
        finding = by_rule[covered.clause.rule]
        for engine, status in covered.by_engine.items():
            table.add_row(
                Text(covered.clause.rule),
                Text(covered.clause.severity),
                Text(engine),
                Text(status, STYLES[status]),
                Text(_measured(finding)),
            )
    console.print(table)
    for finding in checked.verdict.findings:
        if finding.status is not Status.PASS or finding.rule == "first_release":
            console.print(Text(f"{finding.status:<13}", STYLES[finding.status]), end="")
            console.print(Text(f"{finding.rule}: {finding.reason}"), soft_wrap=True)
    status = checked.verdict.status
    passed = sum(f.status is Status.PASS for f in checked.verdict.findings)
    console.print(
        Text(status, STYLES[status]),
        Text(f" {passed} of {len(checked.verdict.findings)} rules hold", "default"),
        sep="",
    )


def _measured(finding: Finding) -> str:
    figure = finding.measurement
    if figure is None:
        return "–"
    if figure.hidden:
        return NOT_SHOWN
    value = decimal(figure.value)
    short = f"{figure.value:.4g}" if value is not None else "not a number"
    return f"{short} {figure.unit}" if figure.unit != "1" else short


def junit(checked: Checked) -> bytes:
    """JUnit XML: a test case a finding; FAIL is a failure, INCONCLUSIVE an error."""
    findings = checked.verdict.findings
    counts = {s: sum(f.status is s for f in findings) for s in Status}
    figures: dict[str, str] = {
        "tests": str(len(findings)),
        "failures": str(counts[Status.FAIL]),
        "errors": str(counts[Status.INCONCLUSIVE]),
    }
    root = ElementTree.Element("testsuites", {"name": "assay check", **figures})
    suite = ElementTree.SubElement(root, "testsuite", {"name": checked.contract.name, **figures})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("assay", metadata.version("assay")),
        ("contract", checked.contract.digest),
        ("policy", checked.policy.digest if checked.policy else "none"),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for finding in findings:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"{checked.contract.name}.{ENGINE}",
            name=_xml_text(finding.rule),
        )
        if finding.status is not Status.PASS:
            kind = "failure" if finding.status is Status.FAIL else "error"
            ElementTree.SubElement(case, kind, message=_xml_text(finding.reason))
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _xml_text(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold at all."""
    return "".join(
        c if c in "\t\n\r" or ord(c) >= 0x20 and c not in "\ufffe\uffff" else "?" for c in text
    )
