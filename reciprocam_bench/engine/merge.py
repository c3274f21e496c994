"""Shards of a run, each in a folder of its own, become one run folder."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from reciprocam_bench.config import dump_config
from reciprocam_bench.engine import steps
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.engine.plan import plan
from reciprocam_bench.engine.record import class_names_of
from reciprocam_bench.engine.run import Screen, open_run
from reciprocam_bench.engine.steps import Summarise
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.folder import check_unpacked, clear, opened
from reciprocam_bench.runfolder.parts import Parts, write_seconds
from reciprocam_bench.runfolder.raw_maps import FOLDER
from reciprocam_bench.runfolder.record import RunRecord, read_record
from reciprocam_bench.runfolder.schema import CONFIG, ENVIRONMENT, IMAGES, PER_IMAGE, SKIPPED


def merge(folders: Sequence[Path], output: Path, screen: Screen, summarise: Summarise) -> None:
    """Join the shards in these folders; ``UserError`` where they are of different runs, or do not make a whole one.

    A folder that is no run stands for the run folders in it. The network and the data set are loaded to see that
    nothing is missing, and in which order the rows stand; on the CPU, as nothing is computed.
    """
    paths = [path for folder in folders for path in _shards_in(folder, output)]
    records = [read_record(path) for path in paths]
    for record in records:
        check_unpacked(record)
    for record in records[1:]:
        _check_alike(records[0], record)
    config = records[0].config
    on_cpu = {"device": "cpu", "precision": "float32", "compile": False}  # tf32 is only there on a GPU
    experiment = replace(set_up(config.model_copy(update=on_cpu)), config=config)
    _copy(records, output)
    with _nothing_half_copied(output), open_run(experiment, output, False, screen) as run:
        todo = plan(experiment, run.done)
        if todo:
            images = sum(len(work.batch.samples) for work in todo)
            protocol, first = todo[0].batch.protocol.name, todo[0].batch.samples[0].id
            raise UserError(
                f"{images} images are judged in none of the {len(paths)} folders ({first} under {protocol} first); run "
                "the shards that are missing, and merge again"
            )
        steps.put_together(run, summarise)
        whole = _environment(records)
        whole["seconds"] = {
            name: round(s, 3) for name, s in sum(map(Counter, map(_seconds, records)), Counter()).items()
        }
        whole["class_names"] = class_names_of(experiment, run.folder.classes())
        if config.timing is None:  # shards are not timed: with a timing part the run is not at its end
            whole["finished"] = whole["date"]
        run.folder.write_environment(whole)
        Parts(output).remove()
    left = "" if config.timing is None else "; run without --shard into it times the methods"
    screen.say(f"{len(paths)} shards written to {output}{left}")


def _shards_in(folder: Path, output: Path) -> list[Path]:
    if (folder / CONFIG).is_file():
        return [folder]
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in inside if (path / CONFIG).is_file() and path.resolve() != output.resolve()]
    if not found:
        raise UserError(f"{folder} holds no run; give the folders that the shards were written to")
    return found


def _check_alike(first: RunRecord, other: RunRecord) -> None:
    if dump_config(first.config) != dump_config(other.config):
        raise UserError(f"{first.path} and {other.path} are not of one config; merge the shards of one run")
    now, then = first.environment.fingerprint, other.environment.fingerprint
    changed = next((key for key in {**now, **then} if now.get(key) != then.get(key)), None)
    if changed:
        raise UserError(
            f"{first.path} and {other.path} were made under different conditions ({changed}: {now.get(changed)} and "
            f"{then.get(changed)}); run one of them again"
        )
    if first.definitions != other.definitions:
        raise UserError(f"{first.path} and {other.path} define their metrics differently; run one of them again")


def _copy(records: Sequence[RunRecord], output: Path) -> None:
    """Put the tables of each shard into a new run folder, as parts of it."""
    if (output / CONFIG).exists():
        raise UserError(f"{output} holds a run; give --output another folder")
    with opened(output, fresh=False) as folder, _nothing_half_copied(output):
        folder.write_environment(_environment(records))
        folder.write_config(dump_config(records[0].config))
        parts = Parts(output)
        for record in records:
            for place in (record.path, *Parts(record.path).folders()):
                part = parts.add()
                for name in (PER_IMAGE, SKIPPED, IMAGES):
                    if (place / name).is_file():
                        shutil.copyfile(place / name, part / name)
            write_seconds(part, _seconds(record))
            if (record.path / FOLDER).is_dir():
                shutil.copytree(record.path / FOLDER, output / FOLDER, dirs_exist_ok=True)


@contextmanager
def _nothing_half_copied(output: Path) -> Iterator[None]:
    """Remove what a merge that is stopped, or finds the disk full, has copied: the same command begins anew."""
    try:
        yield
    except BaseException:
        clear(output)
        with suppress(OSError):  # the user's own files stay
            output.rmdir()
        raise


def _seconds(record: RunRecord) -> dict[str, float]:
    total = Counter(record.environment.seconds)
    total.update(Parts(record.path).seconds())
    return dict(total)


def _environment(records: Sequence[RunRecord]) -> dict[str, Any]:
    """What the first shard says of the run, not finished, with the starts of all."""
    content = json.loads((records[0].path / ENVIRONMENT).read_text(encoding="utf-8"))
    content["starts"] = [start for record in records for start in record.environment.starts]
    content.pop("finished", None)
    content["seconds"] = {}
    return content
