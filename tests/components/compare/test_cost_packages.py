"""What a stack asks for is followed through what is installed, and what does not fit is named."""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.compare.cost_packages import (
    PYTHONS,
    Conflict,
    Installed,
    closure,
    installed,
    megabytes,
    supported,
)
from components.contract.errors import InputError


def _held(*ones: Installed) -> dict[str, Installed]:
    return {one.name: one for one in ones}


HELD = _held(
    Installed(
        "assay",
        "1",
        ("core>=1", "frame-work[fast]==2.*; extra == 'tfx'", "Other; extra == 'pytorch'"),
        size=10**9,
    ),
    Installed("core", "1.5", requires_python=">=3.11", size=2_000_000),
    Installed(
        "frame-work",
        "2.1",
        ("core<2", "quick; extra == 'fast'", "slow; extra == 'careful'", "old; python_version<'3'"),
        ">=3.9,!=3.12.*,<3.14",
        500_000,
    ),
    Installed("quick", "1rc1", ("core", "frame-work"), size=None),
    Installed("other", "3", ("core[none]>=1.5",), size=1_250_000),
)


def test_a_closure_follows_extras_and_markers_and_goes_round_in_no_circle() -> None:
    tfx, pytorch, core = (closure(extra, HELD) for extra in ("tfx", "pytorch", ""))
    assert (tfx.direct, tfx.names) == ({"frame-work"}, {"core", "frame-work", "quick"})
    assert (pytorch.direct, pytorch.names) == ({"other"}, {"core", "other"})
    assert (core.direct, core.names) == ({"core"}, {"core"})
    assert tfx.conflicts == pytorch.conflicts == core.conflicts == ()


def test_an_unsatisfied_pin_is_found_and_named() -> None:
    """Also one that stands beside another requirement of the same distribution that is met."""
    frame = Installed("frame-work", "2.1", ("core>=1", "core<1.5; python_version>'3'"))
    found = closure("tfx", {**HELD, "frame-work": frame})
    assert found.conflicts == (Conflict("frame-work", "core<1.5", "1.5"),)


def test_a_missing_distribution_is_a_conflict_with_nothing() -> None:
    held = {name: one for name, one in HELD.items() if name != "other"}
    found = closure("pytorch", held)
    assert found.conflicts == (Conflict("assay", "Other", ""),)
    assert found.missing == ("Other",)
    assert closure("tfx", held).missing == ()


def test_a_project_that_is_not_installed_is_refused() -> None:
    with pytest.raises(InputError, match="other-project is not installed"):
        closure("tfx", HELD, "other-project")


def test_a_pre_release_that_was_installed_satisfies_what_asks_for_its_version() -> None:
    other = Installed("other", "3", ("quick>=1rc0",))
    assert closure("pytorch", {**HELD, "other": other}).conflicts == ()


def test_megabytes_are_of_files_that_are_listed() -> None:
    assert megabytes(["core", "frame-work", "quick"], HELD) == 2.5


def test_a_python_that_one_dependency_shuts_out_is_not_supported() -> None:
    assert supported(["core", "frame-work", "quick"], HELD) == {
        "3.10": ("core",),
        "3.11": (),
        "3.12": ("frame-work",),
        "3.13": (),
        "3.14": ("frame-work",),
    }


@pytest.mark.parametrize("needs", [">=3.10.4", "<3.10.5", "==3.10.7"])
def test_some_patch_of_a_python_is_enough(needs: str) -> None:
    held = _held(Installed("one", "1", requires_python=needs))
    assert supported(["one"], held)[PYTHONS[0]] == ()


def test_this_environment_is_read_whole() -> None:
    held = installed()
    core = closure("", held)
    asked = [Requirement(text) for text in metadata.requires("assay") or ()]
    assert core.direct == {canonicalize_name(r.name) for r in asked if "extra" not in str(r.marker)}
    assert core.direct <= core.names
    assert held["numpy"].version == metadata.version("numpy")
    # The files of numpy that are there, without bytecode, as a second way of counting them.
    files = metadata.files("numpy") or []
    assert held["numpy"].size == sum(f.size or 0 for f in files)
    assert megabytes(["numpy"], held) > 10
