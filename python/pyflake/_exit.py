"""Nodes are given back when the interpreter ends, and forks are counted."""

import atexit
import os
import sys

from pyflake._pyflake import _forked, _release_all

#: The process that has the finalizers below.
_finalized = None


def taken():
    """Runs when this process has taken a node.

    The workers of multiprocessing and of celery end with `os._exit`, so without `atexit`; they run their own
    finalizers before that. Each worker empties their list when it begins, so a fork does not pass them on.
    """
    global _finalized
    if _finalized == os.getpid():
        return
    _finalized = os.getpid()
    for name in ("multiprocessing.util", "billiard.util"):
        util = sys.modules.get(name)
        if util is not None:
            util.Finalize(None, _release_all, exitpriority=-100)


atexit.register(_release_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
