"""Thread environment of a compute process; must be set before torch or numpy start threads."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

_PR_SET_PDEATHSIG = 1


def configure_threads(threads: int) -> None:
    """Limit OpenMP and let idle threads sleep.

    Spinning threads of several processes on the same cores made MACE steps 4 to 30 times slower
    (two OpenMP threads on a shared two-core machine: 559 ms a step, 18.5 ms without spinning).
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def die_with_parent() -> Callable[[], None] | None:
    """Return a ``preexec_fn`` that has the kernel kill a child when its parent dies.

    A killed job must not leave a training behind that writes to the same files as the next one.
    Only Linux offers this; elsewhere None.
    """
    if sys.platform != "linux":
        return None
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return ask


class StopSignal:
    """Turns SIGTERM, SIGINT and SIGXCPU into a question: schedulers warn before they kill."""

    def __init__(self) -> None:
        self.received: str | None = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name

    def __enter__(self) -> StopSignal:
        self._previous = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
