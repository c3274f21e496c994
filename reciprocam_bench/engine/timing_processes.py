"""Other processes that time blocks of rounds, each with a network of its own."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from reciprocam_bench.config import Config
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.experiment import make_methods, set_up_backbone
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.protocols.protocol import load_protocol
from reciprocam_bench.timing.measure import Call
from reciprocam_bench.timing.timer import Timer


@dataclass(frozen=True)
class OtherTimer:
    """A `Timer` in another process, which waits without work while it is not asked."""

    connection: Connection
    on_block: Callable[[int], None]
    failed: dict[str, str] = field(default_factory=dict)

    def block(self, block: int, rounds: range) -> list[Call]:
        """As `Timer.block`."""
        try:
            self.connection.send((block, rounds, self.failed))
        except BrokenPipeError:
            raise _stopped() from None
        calls, failed = self._answer()
        self.failed.update(failed)
        self.on_block(len(rounds))
        return calls

    def ready(self) -> None:
        """Wait until it has loaded its network."""
        self._answer()

    def _answer(self) -> tuple[list[Call], dict[str, str]]:
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError):
            raise _stopped() from None
        if isinstance(answer, str):
            raise UserError(f"timing in another process failed: {answer}; set timing.processes to 1")
        return answer


def _stopped() -> UserError:
    return UserError("a process that timed was stopped from outside; run the same command again")


@contextmanager
def started(
    config: Config,
    count: int,
    methods: list[Method],
    batches: dict[int, Tensor],
    on_block: Callable[[int], None],
    failed: dict[str, str],
) -> Iterator[list[OtherTimer]]:
    """``count`` processes with the network of a config, which end with the block; none costs nothing.

    ``batches`` are images by batch size, on any device; ``on_block`` is told the number of rounds of a finished block,
    and all share ``failed``.
    """
    context = multiprocessing.get_context("spawn")
    titles = {m.title for m in methods}
    on_cpu = {size: images.cpu() for size, images in batches.items()}
    processes, timers = [], []
    try:
        for number in range(1, count + 1):
            ours, theirs = context.Pipe()
            what = (theirs, config, titles, on_cpu, number, torch.get_num_threads())
            process = context.Process(target=_serve, args=what, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            timers.append(OtherTimer(ours, on_block, failed))
            timers[-1].ready()
        yield timers
    finally:
        for timer in timers:
            timer.connection.close()  # nobody asks any more: it ends
        for process in processes:
            process.join(timeout=1)  # unless it is in the middle of a block
            process.kill()
            process.join()


def _serve(
    connection: Connection, config: Config, titles: set[str], batches: dict[int, Tensor], number: int, threads: int
) -> None:
    keep_freed_memory()  # as the first process does: without it calls are slower here than there
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # the first process's to answer; it ends this one
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        backbone = set_up_backbone(config, load_protocol(config.protocol[0]), set_up_torch(config, threads))
        timed = (config.timing and config.timing.methods) or config.methods
        methods = make_methods([m for m in timed if m.title in titles], backbone, config.seed)
        ready = {size: backbone.prepare(images) for size, images in batches.items()}
        timer = Timer(backbone, methods, ready, number)
        timer.warm_up(1)
        connection.send(([], timer.failed))
        while True:
            block, rounds, failed = connection.recv()
            timer.failed.update(failed)
            connection.send((timer.block(block, rounds), timer.failed))
    except (EOFError, ConnectionError):  # nobody asks any more
        pass
    except Exception as error:  # whatever it is, it is the first process that tells it
        connection.send(str(error) if isinstance(error, UserError) else in_words(error))
