"""Other processes that time blocks of rounds, each with a network of its own."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from torch import Tensor

from reciprocam_bench.config import Config, NamedConfig, dump_config, parse_config
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

    def block(self, block: int, rounds: range) -> list[Call]:
        """As `Timer.block`."""
        self.connection.send((block, rounds))
        answer = self._answer()
        self.on_block(len(rounds))
        return answer

    def ready(self) -> None:
        """Wait until it has loaded its network."""
        self._answer()

    def _answer(self) -> list[Call]:
        try:
            answer = self.connection.recv()
        except EOFError:
            raise UserError("a process that timed was stopped from outside; run the same command again") from None
        if isinstance(answer, str):
            raise UserError(f"timing in another process failed: {answer}; set timing.processes to 1")
        return answer


@contextmanager
def started(
    config: Config, count: int, methods: list[Method], batches: dict[int, Tensor], on_block: Callable[[int], None]
) -> Iterator[list[OtherTimer]]:
    """``count`` processes with the network of a config, which end with the block; none costs nothing.

    ``batches`` are images by batch size, on any device; ``on_block`` is told the number of rounds of a finished block.
    """
    context = multiprocessing.get_context("spawn")
    named = [{"name": m.spec.name, **m.options, "label": m.title} for m in methods]
    on_cpu = {size: images.cpu() for size, images in batches.items()}
    processes, timers = [], []
    try:
        for number in range(1, count + 1):
            ours, theirs = context.Pipe()
            what = (theirs, dump_config(config), named, on_cpu, number)
            process = context.Process(target=_serve, args=what, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            timers.append(OtherTimer(ours, on_block))
            timers[-1].ready()
        yield timers
    finally:
        for process in processes:
            process.kill()
            process.join()


def _serve(connection: Connection, config: str, methods: list, batches: dict[int, Tensor], number: int) -> None:
    import yaml

    try:
        settings = parse_config(yaml.safe_load(config), "the run's config")
        device = set_up_torch(settings)
        backbone = set_up_backbone(settings, load_protocol(settings.protocol[0]), device)
        ready = {size: backbone.prepare(images) for size, images in batches.items()}
        timer = Timer(backbone, make_methods([NamedConfig.model_validate(m) for m in methods], backbone), ready, number)
        timer.warm_up(1)
        connection.send([])
        while True:
            connection.send(timer.block(*connection.recv()))
    except EOFError:  # nobody asks any more
        pass
    except Exception as error:
        connection.send(str(error) if isinstance(error, UserError) else in_words(error))
