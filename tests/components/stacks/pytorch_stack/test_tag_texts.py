"""What a tag cannot hold is split or marked, and never taken for what was said."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from components.stacks.pytorch_stack.tag_texts import (
    LONGEST_TAG,
    document_tags,
    read_document,
    shortened,
    whole,
)

texts = st.text(st.characters(codec="utf-8"), max_size=200)


def test_what_was_cut_is_not_taken_for_what_was_said() -> None:
    assert whole(shortened("a" * LONGEST_TAG)) == "a" * LONGEST_TAG
    assert len(shortened("a" * (LONGEST_TAG + 1))) == LONGEST_TAG
    assert whole(shortened("a" * (LONGEST_TAG + 1))) is None
    assert whole(None) is None


@settings(deadline=None)
@given(st.dictionaries(texts, texts, max_size=60))
def test_a_document_is_read_back_from_its_portions(document: dict[str, str]) -> None:
    tags = document_tags("assay.stage.train.findings", document)
    assert all(len(v) <= LONGEST_TAG for v in tags.values())
    assert read_document("assay.stage.train.findings", {**tags, "assay.stage": "x"}) == document


def test_a_long_document_has_several_portions() -> None:
    document = {f"limit:a-rule-with-a-long-name-{i}": "INCONCLUSIVE" for i in range(400)}
    assert len(document_tags("a", document)) > 3
    assert document_tags("a", {}) == {}


def test_a_portion_that_is_broken_is_left_out() -> None:
    tags = {"a.1": '{"x":"PASS"}', "a.2": "{", "a.3": "[1]", "a.4": "[" * 100_000}
    assert read_document("a", tags) == {"x": "PASS"}
