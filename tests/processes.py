"""Processes of the program that need not import torch anew: forked from a server that has imported it.

Each is a process like any other: it has its own working directory, environment, output and signals, and can be killed.
What a start itself does, finding modules and reading ``PYTHONHASHSEED``, is for tests with a `subprocess`.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
# What the program imports when it runs. Registries fill themselves later, so that a child finds its own plug-ins.
FORKED.set_forkserver_preload(
    [
        "pytest",
        "matplotlib.pyplot",
        "pycocotools.coco",
        "scipy.stats",
        "reciprocam_bench.cli",
        "reciprocam_bench.engine.complete",
        "reciprocam_bench.reporting.page.write",
    ]
)


@atexit.register
def _kill_those_left() -> None:
    """A test that failed may have left one, for which Python would wait."""
    for process in multiprocessing.active_children():
        process.kill()


class Started:
    """``rcam-bench`` with these words, running; the part of `subprocess.Popen` that tests use.

    ``env`` is its whole environment, else this one; ``prepare`` is called in it first, and must be known by name.
    """

    def __init__(
        self,
        *words: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.words = words
        # In files: nobody has to read them while it runs.
        self._files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
        ends = [Connection(os.dup(file.fileno()), readable=False) for file in self._files]
        given = (words, ends, str(cwd or Path.cwd()), dict(os.environ if env is None else env), prepare)
        self._process = FORKED.Process(target=_program, args=given)
        self._process.start()
        self.pid = int(self._process.pid or 0)
        for end in ends:
            end.close()

    @property
    def returncode(self) -> int | None:
        """As `subprocess.Popen.returncode`, and always of now."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = 120) -> int:
        """Wait for its end; its exit code, or minus the signal that ended it."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.words, timeout)
        return self.returncode

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait for its end; what it wrote on stdout and stderr."""
        self.wait(timeout)
        for file in self._files:
            file.seek(0)
        out, errors = (file.read() for file in self._files)
        return out, errors


def rcam_bench(*words: str, **about: object) -> subprocess.CompletedProcess[str]:
    """``rcam-bench`` with these words, to its end; ``about`` it as in `Started`."""
    process = Started(*words, **about)  # type: ignore[arg-type]
    out, errors = process.communicate()
    return subprocess.CompletedProcess(words, process.wait(), out, errors)


def holding(function: Callable[..., object], *given: object) -> tuple[BaseProcess, Any]:
    """A process that does ``function(*given, tell)``, and the first thing that it tells; to be killed."""
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=function, args=(*given, theirs.send))
    process.start()
    theirs.close()
    return process, ours.recv()


def _program(
    words: tuple[str, ...], ends: list[Connection], cwd: str, env: dict[str, str], prepare: Callable | None
) -> None:
    """What ``python -m reciprocam_bench`` does once modules are imported."""
    for number, end in enumerate(ends, 1):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    multiprocessing.set_start_method(None, force=True)  # for its own children the usual one, not the server
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[1:] = words
    try:
        if prepare:
            prepare()
        runpy.run_module("reciprocam_bench", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # Python ends by the signal itself
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
