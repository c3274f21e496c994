"""A scope of the process that several threads are in."""

import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reciprocam_bench as rb
from reciprocam_bench.shared_scope import SharedScope


def test_the_first_enters_and_the_last_leaves() -> None:
    said = []

    @contextmanager
    def scope() -> Iterator[None]:
        said.append("in")
        try:
            yield
        finally:
            said.append("out")

    shared, inside, go = SharedScope(scope), threading.Event(), threading.Event()

    def other() -> None:
        with shared():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=other)
    with shared():
        thread.start()
        assert inside.wait(10)
    assert said == ["in"]
    go.set()
    thread.join()
    assert said == ["in", "out"]
    with pytest.raises(KeyError), shared():
        raise KeyError
    assert said == ["in", "out"] * 2


def test_pictures_read_in_threads_leave_the_terminal_and_the_warnings_as_they_were(tmp_path: Path) -> None:
    for i in range(32):
        noise = np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    before, filters = os.fstat(2), list(warnings.filters)
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            assert len(list(pool.map(rb.read_picture, sorted(tmp_path.glob("*.png"))))) == 32
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino) and list(warnings.filters) == filters
