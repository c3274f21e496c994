"""``rcam-bench`` for shell scripts that call it often: each call is a process of its own that need not load torch.

One process, forked from the server of `processes`, is forked again for each call. What stands on the PATH hands it
words, folder, environment and the three streams, and ends with its exit code.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from processes import holding

CLIENT = """#!{python} -ISB
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    sys.exit(int(server.recv(8) or b"70"))
"""


@contextlib.contextmanager
def rcam_bench_in(folder: Path) -> Iterator[Path]:
    """An executable ``rcam-bench`` in a new folder, which is returned for the PATH."""
    folder.mkdir()
    address, client = str(folder / "socket"), folder / "rcam-bench"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    server, _ = holding(serve, address)
    try:
        yield folder
    finally:
        os.killpg(int(server.pid or 0), signal.SIGKILL)  # with what it was forked into
        server.join()


def serve(address: str, tell: Callable[[str], None]) -> None:
    """Fork for every call."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        tell("ready")
        while True:
            call, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(call)
            call.close()


def answer(call: socket.socket) -> None:
    """Become the process that was called for."""
    from reciprocam_bench.cli import main

    size, streams, *_ = socket.recv_fds(call, 4, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    with call.makefile("rb") as message:
        words, folder, environment = json.loads(message.read(int.from_bytes(size, "big")))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["rcam-bench", *words]
    code = 70  # of a traceback, which a caller must not take for a mistake of the user's
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    call.sendall(str(code).encode())
    os._exit(code)
