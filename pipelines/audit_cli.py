"""`assay audit`: questions and checks that an auditor puts to the stores and the evidence."""

from __future__ import annotations

import typer

from pipelines.access_cli import access
from pipelines.evidence_commands import reads_evidence
from pipelines.mutations_cli import mutations
from pipelines.phi_cli import phi
from pipelines.questions_cli import questions
from pipelines.restore_cli import restore

audit_app = typer.Typer(
    help="Ask the stores and the evidence what an auditor asks.", no_args_is_help=True
)
audit_app.command()(reads_evidence(questions))
audit_app.command()(reads_evidence(mutations))
audit_app.command()(reads_evidence(access))
audit_app.command()(reads_evidence(phi))
audit_app.command()(reads_evidence(restore))
