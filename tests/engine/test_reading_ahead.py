"""Images are read while others are judged, and reach a GPU without waiting."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import config, counted, draw_plain, run
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data._utils.pin_memory import pin_memory

import reciprocam_bench as rb
from reciprocam_bench.datasets import images as images_module
from reciprocam_bench.datasets.images import PreparedImage
from reciprocam_bench.engine import loop
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.engine.plan import Work, make_batches

GPU = torch.device("meta")  # tensors without values stand for those of a GPU


class Copies(TorchDispatchMode):
    """Notes of each copy to the pretended GPU whether it leaves the processor waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.left_alone: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") == GPU:
            self.left_alone.append(bool(kwargs.get("non_blocking")))
        return func(*args, **kwargs)


def test_images_are_copied_without_waiting_and_joined_on_the_device(tiny: rb.Backbone, images: Tensor) -> None:
    with Copies() as copies:
        batch = replace(tiny, device=GPU).batch(list(images))
    assert copies.left_alone == [True] * 3
    assert batch.device == GPU and batch.shape == images.shape
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(tiny.batch(list(images)), images)


def test_only_a_gpu_gets_pinned_memory(pictures: Path) -> None:
    experiment = set_up(config(pictures))
    todo = [Work(batch, []) for batch in make_batches(experiment)]
    for device, pinned in (("cpu", False), ("cuda", True)):
        other = replace(experiment, backbone=replace(experiment.backbone, device=torch.device(device)))
        assert loop._loader(other, experiment.protocols[0], todo, [[0]]).pin_memory is pinned


def test_pinning_leaves_images_and_reasons_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor, *device: tensor.clone())
    pinned = counted(monkeypatch, Tensor, "pin_memory")
    read = [PreparedImage(torch.ones(3, 2, 2), (5, 4), "I;16"), "unreadable image: it is empty"]
    image, reason = pin_memory(read)
    assert isinstance(image, PreparedImage) and torch.equal(image.tensor, read[0].tensor)
    assert (image.size, image.stretched, reason, len(pinned)) == ((5, 4), "I;16", read[1], 1)


@pytest.mark.parametrize(("workers", "ahead"), [(0, False), (1, True)])
def test_workers_read_while_images_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, ahead: bool
) -> None:
    root = draw_plain(tmp_path / "pictures", 2)
    (tmp_path / "read").mkdir()
    read, judge = images_module.read_picture, loop.judge_batch
    found = []

    def reading(path: str) -> images_module.Picture:
        (tmp_path / "read" / Path(path).name).touch()
        return read(path)

    def judging(run: Any, work: Any, *rest: Any) -> Any:
        if work.batch.first == 0:
            deadline = time.monotonic() + (20 if ahead else 0)
            while len(list((tmp_path / "read").iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            found.append(len(list((tmp_path / "read").iterdir())))
        return judge(run, work, *rest)

    monkeypatch.setattr(images_module, "read_picture", reading)
    monkeypatch.setattr(loop, "judge_batch", judging)
    run(config(root, batch_size=1, workers=workers, methods=["gradcam"]), tmp_path / "run")
    assert found == [2 if ahead else 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_real_gpu_is_given_pinned_images(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = counted(monkeypatch, rb.Backbone, "batch")
    run(config(pictures, device="cuda", workers=1), tmp_path / "run")
    assert batches and all(image.is_pinned() for _, images in batches for image in images)
