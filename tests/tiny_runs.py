"""Tiny runs in this process: pictures, a config, the run, and what its folder holds."""

import contextlib
import functools
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reciprocam_bench.cli import main
from reciprocam_bench.config import Config, dump_config, parse_config
from reciprocam_bench.engine import complete as engine
from reciprocam_bench.engine.experiment import Experiment, set_up
from reciprocam_bench.engine.run import Screen
from reciprocam_bench.reporting.summary import warnings_of, write_tables
from reciprocam_bench.runfolder.rows import GrowingTable

CLASSES = {"n01440764": 0, "n02099601": 207, "n03028079": 497}
METRICS = ["average_drop", "increase", "coherency", "complexity", "adcc"]
FIXED = ["protocol", "protocol_version", "image", "category", "difficult"]
FIXED += ["label", "predicted", "class", "probability", "method", "status"]
# What a run that was stopped, or grew, has in common with one made whole, byte for byte.
TABLES = ("per_image.csv", "summary.csv", "skipped.csv", "images.csv")


def draw(names: Iterable[str], root: Path, seed: int = 0) -> Path:
    """Seeded pictures of 40x40 at the given paths under a folder."""
    generator = np.random.default_rng(seed)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(root / name)
    return root


def draw_classes(root: Path) -> Path:
    """Six pictures in the folders of three classes of ImageNet."""
    return draw([f"{wnid}/{wnid[-2:]}_{i}.png" for wnid in CLASSES for i in range(2)], root)


def draw_plain(root: Path, count: int) -> Path:
    """Pictures without labels: ``000.png`` and so on."""
    return draw([f"{i:03d}.png" for i in range(count)], root)


def settings(root: Path, **changes: object) -> dict[str, object]:
    """The content of a tiny config: two methods on the pictures under ``root``, in batches of two."""
    return {
        "backbone": {"model": "timm/test_resnet", "weights": "none"},
        "dataset": {"name": "imagenet" if (root / "n01440764").is_dir() else "folder", "root": str(root)},
        "methods": ["gradcam", "reciprocam"],
        "batch_size": 2,
        "device": "cpu",
        "threads": 1,
        "maps": 0,
        **changes,
    }


def config(root: Path, **changes: object) -> Config:
    """A tiny config."""
    return parse_config(settings(root, **changes), "test")


def run(config: Config, folder: Path, fresh: bool = False) -> str:
    """Run into a folder without a screen; what was said, with the notes on maps."""
    said: list[str] = []
    engine.complete(config, folder, fresh=fresh, screen=Screen(True, said.append), summarise=write_tables)
    return "\n".join([*said, *warnings_of(folder)])


def time_only(config: Config, folder: Path) -> None:
    """``rcam-bench time`` into a folder."""
    screen = Screen(True, lambda line: None)
    engine.only_time(config, folder, fresh=False, screen=screen, summarise=write_tables)


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """``rcam-bench`` with these words, in this process."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["rcam-bench", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = argv
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def set_up_once(patch: pytest.MonkeyPatch) -> None:
    """Load the network of equal configs once in a test that does not change the data between its runs."""
    made: dict[str, Experiment] = {}

    def cached(config: Config, threads: int | None = None) -> Experiment:
        text = dump_config(config)
        if text not in made:
            made[text] = set_up(config, threads)
        return made[text]

    patch.setattr(engine, "set_up", cached)


def table(folder: Path, name: str = "per_image") -> pd.DataFrame:
    """A table of a run folder; cells of metrics are numbers, all other text stays as it is."""
    return pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values={m: [""] for m in METRICS})


def lines(folder: Path, part: str = "", without: str = "\n") -> list[str]:
    """The rows of per_image.csv that hold ``part``, as they are written."""
    text = (folder / "per_image.csv").read_text().splitlines()[1:]
    return [line for line in text if part in line and without not in line]


def tables(folder: Path) -> dict[str, bytes]:
    """The tables that must be the same, however a run came about."""
    return {name: (folder / name).read_bytes() for name in TABLES}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file under a folder, and when it was changed."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def copy_of(folder: Path, target: Path) -> Path:
    """A copy to be damaged or continued."""
    return shutil.copytree(folder, target)


def environment(folder: Path) -> dict:
    """The content of ``environment.json``."""
    return json.loads((folder / "environment.json").read_text())


def write_environment(folder: Path, content: dict) -> None:
    """Replace ``environment.json``."""
    (folder / "environment.json").write_text(json.dumps(content))


def unfinish(folder: Path) -> None:
    """Leave what a kill while judging leaves: rows, but no summary and no word of an end."""
    content = environment(folder)
    del content["finished"]
    write_environment(folder, content)
    (folder / "summary.csv").unlink()


def stop_at(patch: pytest.MonkeyPatch, batch: int, written: str) -> None:
    """Press Ctrl-C at a batch's write of rows: ``before`` it, ``half`` way through, or ``after`` it."""
    append, calls = GrowingTable.append, []

    def stopping(self: GrowingTable, rows: list) -> None:
        if self.path.name != "per_image.csv":
            return append(self, rows)
        calls.append(rows)
        if len(calls) <= batch:
            return append(self, rows)
        if written != "before":
            size = self.path.stat().st_size
            append(self, rows)
            if written == "half":
                os.truncate(self.path, (size + self.path.stat().st_size) // 2)
        raise KeyboardInterrupt

    patch.setattr(GrowingTable, "append", stopping)


def counted(patch: pytest.MonkeyPatch, owner: object, name: str) -> list[tuple]:
    """Record the arguments of every call of a function of a module or class."""
    function: Callable = getattr(owner, name)
    calls: list[tuple] = []

    @functools.wraps(function)
    def counting(*args: object, **options: object) -> object:
        calls.append(args)
        return function(*args, **options)

    patch.setattr(owner, name, counting)
    return calls
