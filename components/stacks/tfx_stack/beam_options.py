"""Beam options: what the caller gives, and defaults that stay on this machine."""

from __future__ import annotations

from collections.abc import Sequence

_RUNNER = "--runner=components.stacks.tfx_stack.local_beam_runner.LocalBeamRunner"

# TFX packs its own source for remote workers, seconds for each component, unless an image is named.
# Workers of the local runner share this installation and look at neither.
_LOCAL = (_RUNNER, "--sdk_container_image=none")
_WORKERS = ("--direct_running_mode=in_memory", "--direct_num_workers=1")
_PLUGIN = "--beam_plugins=components.stacks.tfx_stack.portable_lane"


def beam_options(given: Sequence[str]) -> list[str]:
    """The caller's Beam options, completed: one worker in this process where nothing is said.

    Args:
        given: options as Beam's command line takes them. A ``--runner`` replaces the local one
            and everything that belongs to it.
    """
    named = {option.partition("=")[0] for option in given}
    local = () if "--runner" in named else _LOCAL
    workers = [o for o in _WORKERS if o.partition("=")[0] not in named]
    return [*local, *workers, *given, _PLUGIN]
