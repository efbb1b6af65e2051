"""Supplies the one import that the portable lane's TFDV lacks; does nothing on the official lane.

TFDV 1.16 imports ``tfx_bsl.arrow.sql_util``, which tfx-bsl 1.21 dropped together with ZetaSQL.
Only slicing by SQL used it, and nothing here slices by SQL. Importing this module is enough, here
and in Beam's worker processes, which import it when told ``--beam_plugins``.
"""

from __future__ import annotations

import importlib.util
import sys
import types

MISSING_MODULE = "tfx_bsl.arrow.sql_util"


def supply_missing_module() -> bool:
    """Register an empty module under the missing name; whether that was needed."""
    if MISSING_MODULE in sys.modules or importlib.util.find_spec(MISSING_MODULE) is not None:
        return False
    sys.modules[MISSING_MODULE] = types.ModuleType(MISSING_MODULE)
    return True


supply_missing_module()
