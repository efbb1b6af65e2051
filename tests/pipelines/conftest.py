"""A user's own little data set, with contract and policy, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

CONTRACT = """\
version: 1.0.0
apiVersion: v3.2.0
kind: DataContract
id: urn:example:people
name: people
status: active
servers:
  - {server: files, type: local, path: people.csv, format: csv}
schema:
  - name: people
    properties:
      - name: person
        logicalType: string
        required: true
        classification: phi-identifier
        customProperties: [{property: assayRole, value: entity, vendor: assay}]
      - name: age
        logicalType: integer
        logicalTypeOptions: {minimum: 0, maximum: 120}
        customProperties: [{property: assayRole, value: feature, vendor: assay}]
      - name: sex
        logicalType: string
        customProperties: [{property: assayRole, value: protected, vendor: assay}]
      - name: ill
        logicalType: integer
        required: true
        customProperties:
          - {property: assayRole, value: label, vendor: assay}
          - {property: assayPositive, value: 1, vendor: assay}
"""


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """A folder with schemas/people.yaml and policies/people.yaml."""
    folder = tmp_path / "project"
    (folder / "schemas").mkdir(parents=True)
    (folder / "policies").mkdir()
    (folder / "schemas" / "people.yaml").write_text(CONTRACT)
    (folder / "policies" / "people.yaml").write_text(POLICY)
    return folder


POLICY = """\
schemaVersion: assay-policy/v1
name: people
dataset: people
purpose: A test of reading one's own data.
splits: {salt: people, train: 0.6, validation: 0.2, evaluation: 0.2}
data_gate:
  first_release: {grounds: nothing was there before this test}
  min_rows: 10
  bins: 5
  max_categories: 100
  drift: {default: {statistic: jensen_shannon, at_most: 0.1}}
training:
  seed: 1
  epochs: 1
  batch_size: 32
  learning_rate: 0.001
  weight_decay: 0.0
  dropout: 0.0
  hidden: [4]
  min_category_count: 1
candidates:
  plain: {description: As trained., protected_features: [], mitigation: none}
decision: {threshold: 0.5}
leak_check: {single_column_auc_at_most: 0.95, min_n: 1, grounds: long enough to be grounds}
release_gate:
  confidence: 0.95
  agreement: 0.02
  transform_tolerance: 0.001
  serving_tolerance: 0.001
  limits:
    - id: auc-floor
      metric: roc_auc
      at_least: 0.6
      tested_on: point
      min_n: 10
      grounds: Better than a guess by what a test can see.
    - id: equal-opportunity-sex
      metric: tpr_difference
      slice: sex
      at_most: 0.2
      tested_on: point
      min_n: 10
      grounds: What a test can see and no more than that.
"""
