"""SIGTERM (a queue's warning before it kills) and SIGHUP (a terminal that closes) stop as Ctrl-C does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ALSO = ("SIGTERM", "SIGHUP")  # a system may lack the second


@contextmanager
def stopped_by_signals() -> Iterator[list[signal.Signals]]:
    """Inside, these signals raise ``KeyboardInterrupt``; yields a list of those that came.

    One that is ignored, as ``nohup`` sees to, stays ignored.
    """
    came: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        raise KeyboardInterrupt

    known = [getattr(signal, name) for name in _ALSO if hasattr(signal, name)]
    ours = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():  # no other may set handlers
        ours = []
    for number in ours:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
