"""Where the native stores are, and what of that may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.stacks.store_uris import mlflow_uri, mlmd_uri, without_password


def test_stores_lie_in_the_home_unless_a_variable_names_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASSAY_MLMD_URI", raising=False)
    monkeypatch.delenv("ASSAY_MLFLOW_URI", raising=False)
    assert mlmd_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/stores/mlmd.sqlite"
    assert mlflow_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/stores/mlflow.sqlite"

    monkeypatch.setenv("ASSAY_MLMD_URI", "postgresql://u:p@h/one")
    monkeypatch.setenv("ASSAY_MLFLOW_URI", "postgresql://u:p@h/two")
    assert mlmd_uri(tmp_path) == "postgresql://u:p@h/one"
    assert mlflow_uri(tmp_path) == "postgresql://u:p@h/two"


def test_an_empty_variable_names_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_MLMD_URI", "")
    assert mlmd_uri(tmp_path).startswith("sqlite:///")


@pytest.mark.parametrize(
    "uri, shown",
    [
        ("postgresql://ann:s3cret@db:5432/mlmd", "postgresql://ann:***@db:5432/mlmd"),
        ("postgresql://ann@db/mlmd", "postgresql://ann@db/mlmd"),
        ("postgresql://ann:a@s3cret@db/mlmd", "postgresql://ann:***@db/mlmd"),
        (
            "postgresql://ann:@/mlmd?host=/run/pg&password=s3cret",
            "postgresql://ann:***@/mlmd?host=/run/pg&password=***",
        ),
        ("postgresql:///mlmd?host=/run/pg", "postgresql:///mlmd?host=/run/pg"),
        ("postgresql:///mlmd?PASSWORD=s3cret", "postgresql:///mlmd?PASSWORD=***"),
        ("postgresql://db/mlmd?options=-cs3cret", "postgresql://db/mlmd?options=***"),
        (
            "postgresql://db/mlmd?port=6000&sslmode=require&token=s3cret",
            "postgresql://db/mlmd?port=6000&sslmode=require&token=***",
        ),
        ("sqlite:////tmp/none?password=s3cret", "sqlite:////tmp/none?password=***"),
        ("mysql+pymysql://ann:s3cret@db/mlmd", "mysql+pymysql://ann:***@db/mlmd"),
        ("sqlite:////var/stores/mlmd.sqlite", "sqlite:////var/stores/mlmd.sqlite"),
    ],
)
def test_a_password_is_not_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ann:s3c/ret@db/mlmd",
        "postgresql://ann:s3c?ret@db/mlmd",
        "postgresql://ann:s3c#ret@db/mlmd",
        "postgresql://ann:[s3cret@db/mlmd",
        "ann:s3cret@db/mlmd",
        "host=db password=s3cret",
    ],
)
def test_what_cannot_be_told_apart_is_hidden_whole(uri: str) -> None:
    shown = without_password(uri)
    assert "s3c" not in shown and "ret" not in shown and "ann" not in shown
