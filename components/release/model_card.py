"""The model card of a release, from its evidence alone: Markdown, HTML and PDF of one content.

What only people know comes from the policy's ``model_card``; the keys that have a place of their
own in the card are those of ``components.release.card_statements.KEYS``. What nobody has stated is
shown as unknown. The same evidence, Assay and typst give the same bytes.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from components.contract.errors import InputError
from components.lineage.durable import writable_directory, write_atomically
from components.release import card_record
from components.release.card_data import data
from components.release.card_gates import gates
from components.release.card_groups import groups
from components.release.card_metadata import metadata
from components.release.card_metrics import metrics
from components.release.card_onc import source_attributes
from components.release.card_parts import ModelCard, Section
from components.release.card_source import CardSource, read_source
from components.release.card_statements import ONC
from components.release.card_status import (
    decided,
    headline,
    release_information,
    status,
    title,
)
from components.release.card_training import training
from components.release.card_uses import uses, warnings
from components.release.model_card_html import to_html
from components.release.model_card_markdown import to_markdown
from components.release.model_card_pdf import to_pdf

DIRECTORY = "card"
"""Where in a run's directory the card goes that its release record names."""


def write_model_card(run_directory: Path) -> tuple[Path, ...]:
    """Write the model card of a run beside its evidence and return its files.

    Raises:
        InputError: there is no evidence, or the directory cannot be written.
        EvidenceError: a chain is broken, or a document is not the one it is bound to.
    """
    return write_card(build_card(run_directory), run_directory / DIRECTORY)


def build_card(run_directory: Path, profile: str | None = None) -> ModelCard:
    """The model card of a run, whatever came of it, before it takes a form.

    Args:
        run_directory: the run, ``HOME/runs/<run id>``.
        profile: ``onc`` adds the source attributes; None leaves the choice to the policy.

    Raises:
        InputError: there is no evidence, or no such profile.
        EvidenceError: a chain is broken, or a document is not the one it is bound to.
    """
    if profile not in (None, "", ONC):
        # Only of who asks: a policy's odd choice must not keep a release from its record.
        raise InputError(
            f"unknown profile {profile!r}", where="the model card", expected=f"{ONC}, or none"
        )
    source = read_source(run_directory, profile)
    return ModelCard(
        title=title(source),
        status=status(source),
        headline=headline(source),
        sections=tuple(s for s in _sections(source) if s is not None),
        head=source.run.last.digest,
        at=datetime.fromisoformat(source.run.last.body["finished"]),
        metadata=metadata(source),
    )


def _sections(source: CardSource) -> tuple[Section | None, ...]:
    return (
        decided(source),
        release_information(source),
        uses(source),
        warnings(source),
        data(source),
        training(source),
        metrics(source),
        groups(source),
        gates(source),
        card_record.transparency(source),
        source_attributes(source) if source.profile == ONC else None,
        card_record.other(source),
        card_record.evidence(source),
    )


def write_card(card: ModelCard, directory: Path) -> tuple[Path, ...]:
    """Write a card's three forms, each whole or not at all, and return their paths.

    Raises:
        InputError: the directory cannot be written.
    """
    forms = {
        "model-card.md": to_markdown(card),
        "model-card.html": to_html(card),
        "model-card.pdf": to_pdf(card),
    }
    writable_directory(directory)
    for name, content in forms.items():
        write_atomically(directory / name, content)
    return tuple(directory / name for name in forms)
