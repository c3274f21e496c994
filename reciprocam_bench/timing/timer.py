"""A network, its methods and images, timed block by block in one process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.timing.clock import Clock, MeasuredCall
from reciprocam_bench.timing.measure import Call, MethodFailed, Timed, fresh_copy, one_round


def _ignore(method: Method | None, batch_size: int) -> None:
    """Nobody watches the progress."""


@dataclass(frozen=True)
class Timer:
    """What one process times: ``batches`` holds the images of each batch size, ``(B, 3, H, W)``.

    A method that fails is timed no more; ``failed`` says why, by title.
    """

    backbone: Backbone
    methods: list[Method]
    batches: dict[int, Tensor]
    process: int = 0
    on_done: Callable[[Method | None, int], None] = _ignore
    clock: Clock = time.perf_counter
    failed: dict[str, str] = field(default_factory=dict)

    def warm_up(self, rounds: int) -> None:
        """Run rounds that are not counted."""
        for images in self.batches.values():
            for number in range(rounds):
                self._round(self.backbone, images, number)

    def block(self, block: int, rounds: range) -> list[Call]:
        """The calls of the rounds with these numbers, on a copy of network and images of this block's own."""
        calls = []
        for size, images in self.batches.items():
            backbone, images = fresh_copy(self.backbone, images)
            for number in rounds:
                calls += [
                    Call(*timed, size, self.process, block, number, each.wall, each.device)
                    for timed, each in self._round(backbone, images, number)
                ]
        return [call for call in calls if call.method not in self.failed]

    def _round(self, backbone: Backbone, images: Tensor, number: int) -> list[tuple[Timed, MeasuredCall]]:
        size = len(images)
        while True:
            able = [method for method in self.methods if method.title not in self.failed]
            try:
                return list(one_round(backbone, able, images, number, lambda m: self.on_done(m, size), self.clock))
            except MethodFailed as error:
                self.failed[error.title] = error.reason
