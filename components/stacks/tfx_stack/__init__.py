"""The TFX stack."""

import os

# MLMD's database drivers narrate every connection on the terminal, and read this when they are
# loaded, which whatever module of the stack comes first may do.
os.environ.setdefault("GLOG_minloglevel", "4")
