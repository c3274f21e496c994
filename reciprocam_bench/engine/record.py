"""What ``environment.json`` says of a run."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reciprocam_bench.engine.environment import CONDITIONS, describe, fingerprint
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.runfolder.record import RunRecord
from reciprocam_bench.runfolder.schema import ENVIRONMENT, Definitions


def environment_of(
    experiment: Experiment,
    before: RunRecord | None,
    seconds: Mapping[str, float],
    machine: Mapping[str, Any],
    against_float32: Mapping[str, Any],
    new_start: int | None,
    classes: Iterable[int] | None,
) -> dict[str, Any]:
    """The content of ``environment.json``: facts for people, and what readers and a later start rely on.

    ``new_start`` is the number of processes of a start that is not on record yet. ``classes``, of a run that is
    finished, are those that its rows speak of.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    facts = describe(experiment.config, experiment.backbone)
    definitions = _joined(before.definitions if before else None, experiment.definitions)
    start = {"date": now, "commit": facts["commit"], "rcam-bench": facts["rcam-bench"], "processes": new_start}
    starts = before.environment.starts if before else []
    content = {
        **facts,
        # The rows of a run that grew were made by several starts; the commit is that of the first.
        "commit": before.environment.commit if before else facts["commit"],
        "starts": [*starts, start] if new_start else starts,
        "date": now,
        "dataset": experiment.dataset.name,
        "num_classes": experiment.backbone.num_classes,
        "images": len(experiment.dataset.samples),
        "images_total": experiment.dataset.total,
        "difficult_by": experiment.dataset.hard_by,
        "class_source": {name: choice.source for name, choice in experiment.classes.items()},
        "seconds": {name: round(s, 3) for name, s in seconds.items()},
        **({"machine": dict(machine)} if machine else {}),
        **({"against_float32": dict(against_float32)} if against_float32 else {}),
        "fingerprint": fingerprint(experiment.backbone),
        "metrics": list(experiment.metrics),
        "definitions": definitions.model_dump(exclude_defaults=True),
    }
    return content | ({} if classes is None else {"finished": now, "class_names": class_names_of(experiment, classes)})


def conditions_of(folder: Path) -> dict[str, Any]:
    """What ``environment.json`` of a folder says of versions, machine and arithmetic: under what its rows were made."""
    then = json.loads((folder / ENVIRONMENT).read_text("utf-8"))
    return {key: then[key] for key in CONDITIONS if key in then}


def class_names_of(experiment: Experiment, classes: Iterable[int]) -> dict[str, str]:
    """What classes are called, by index, where they have names."""
    short = experiment.names.short
    return {str(i): short[i] for i in classes if 0 <= i < len(short) and short[i] != f"class {i}"}


def _joined(before: Definitions | None, now: Definitions) -> Definitions:
    """Today's in today's order, then the others of the run before: its rows are still on disk."""
    if before is None:
        return now
    return Definitions(
        # Those of before may be older and say less of the same choices.
        protocols=now.protocols | {n: p for n, p in before.protocols.items() if n not in now.protocols},
        methods=now.methods | before.methods,
        timed=now.timed,
        metrics=now.metrics | before.metrics,
    )
