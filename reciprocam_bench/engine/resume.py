"""What a later start may keep of the run in a folder: what it computed, unless values would change."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from reciprocam_bench.config import OF_VALUES, Config
from reciprocam_bench.engine.data_state import what_changed
from reciprocam_bench.engine.environment import fingerprint
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.parts import Parts
from reciprocam_bench.runfolder.record import RunRecord, read_images
from reciprocam_bench.runfolder.schema import Definitions

# Where images and annotations lie is no value: they are compared by what they hold.
_PLACES: tuple[str, ...] = ("backbone.class_names",)  # nor is what people call a class
_PLACES += tuple(f"dataset.{key}" for key in ("root", "labels", "boxes", "annotations", "difficult", "subset.file"))
# What was computed with other weights is wrong; with other versions it is only not to be mixed with new rows.
_OF_WEIGHTS = ("weights", "head")
_CURE = "give --output another folder, or --fresh to replace it"


def check_before(experiment: Experiment, before: RunRecord) -> None:
    """``UserError`` where the run in a folder cannot be this experiment's."""
    state = "a finished run" if before.environment.finished else "an unfinished run"
    changed = next(_changed_values(before.config, experiment.config), None) or _changed_definitions(
        before.definitions, experiment.definitions
    )
    if changed:
        raise UserError(f"{before.path} holds {state} of another config ({changed}); {_CURE}")
    conditions = changed_conditions(experiment, before, _OF_WEIGHTS)
    data = _changed_data(experiment, before)
    if conditions or data:
        raise UserError(f"{before.path} holds {state} of other data or weights ({conditions or data}); {_CURE}")


def _changed_data(experiment: Experiment, before: RunRecord) -> str | None:
    """How the data differs from that of a run; where processes shared it, later images may be judged before others."""
    environment, dataset = before.environment, experiment.dataset
    images = pd.concat([read_images(path) for path in (before.path, *Parts(before.path).folders())])
    gaps = environment.finished is None and any(start.get("processes", 1) > 1 for start in environment.starts)
    if gaps and environment.images_total not in (None, dataset.total):
        return f"the data set had {environment.images_total} images, has {dataset.total}"
    return what_changed(images.drop_duplicates("image"), dataset, gaps=gaps)


def check_conditions(experiment: Experiment, before: RunRecord | None) -> None:
    """Refuse to add rows to those that were made under other conditions."""
    changed = changed_conditions(experiment, before)
    if before is not None and changed:
        raise UserError(f"{before.path} holds a run begun under other conditions ({changed}); {_CURE}")


def changed_conditions(
    experiment: Experiment, before: RunRecord | None, keys: tuple[str, ...] | None = None
) -> str | None:
    """How the conditions of a run differ from today's, in one clause."""
    then, now = before.environment.fingerprint if before else {}, fingerprint(experiment.backbone)
    changed = [f"{key} was {then[key]}, is {now[key]}" for key in keys or now if key in then and then[key] != now[key]]
    return ", ".join(changed[:2]) or None


def _changed_values(before: Config, now: Config) -> Iterator[str]:
    old, new = before.model_dump(mode="json"), now.model_dump(mode="json")
    for key in OF_VALUES:
        yield from (text for place, text in _differences(key, old[key], new[key]) if place not in _PLACES)


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    """The keys whose values differ, and how."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(n for n in new if n not in old)]:
            yield from _differences(f"{key}.{name}", old.get(name), new.get(name))
    elif old != new:
        yield key, f"{key} was {old}, is {new}"


def _changed_definitions(before: Definitions, now: Definitions) -> str | None:
    """A title or column that meant something else, or a protocol of another version or with other choices."""
    for what in ("protocol", "metric"):
        old, new = getattr(before, f"{what}s"), getattr(now, f"{what}s")
        for name in (name for name in new if name in old):
            facts = old[name].facts  # what an older folder does not say is not known
            for fact, value in new[name].facts.items():
                if fact in facts and facts[fact] != value:
                    return f"{what} '{name}': {fact} was {facts[fact]}, is {value}"
    for name, method in now.methods.items():
        if (was := before.methods.get(name, method)) != method:
            return f"method '{name}' was {was.title}, is {method.title}"
    return None
