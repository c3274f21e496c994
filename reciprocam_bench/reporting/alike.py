"""Which runs can be compared: one network, the same images prepared alike, the same rules."""

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.record import RunRecord, read_images
from reciprocam_bench.runfolder.schema import IMAGES

_DIGEST = re.compile(r"[0-9a-f]{40,64}")
# What makes a value of a metric; its title does not.
_RULES = ("higher_is_better", "aggregation", "terms", "columns", "metric")


def check_alike(records: Sequence[RunRecord]) -> None:
    """``UserError`` that says what differs where runs are not of one network, data set, preparation and protocol."""
    # Each with each: what an older folder does not say, two others may say differently.
    for first, other in combinations(records, 2):
        if found := differing(facts_of(first), facts_of(other)):
            raise UserError(
                f"{other.path} cannot be compared with {first.path}: {found}; "
                "compare runs of the same network, images, preprocessing and protocol version"
            )
    for a, b in combinations(records, 2):
        check_images(read_images(a.path), read_images(b.path), str(a.path), str(b.path / IMAGES))


def noted(records: Sequence[RunRecord]) -> str:
    """What else differs between runs that can be compared: for the reader to judge."""
    found = [differing(circumstances_of(records[0]), circumstances_of(other)) for other in records[1:]]
    return "; ".join(dict.fromkeys(text for text in found if text))


def facts_of(record: RunRecord) -> dict[str, Any]:
    """What must be the same where values are compared."""
    config, fingerprint, rules = record.config, record.environment.fingerprint, record.definitions
    backbone = config.backbone
    facts: dict[str, Any] = {
        "model": backbone.model,
        "factory": backbone.factory,
        "options of the model": backbone.options,
        # Two names may stand for one file.
        "weights": fingerprint.get("weights") or backbone.weights,
        "head": fingerprint.get("head") or backbone.head or "",
        "multi_label": backbone.multi_label,
        **{name: getattr(backbone, name) for name in ("channels", "mean", "std", "size", "num_classes")},
        "data set": record.dataset,
        "preprocess": config.preprocess,
    }
    for name in config.named_protocols:
        protocol = rules.protocols[name]
        asked = protocol.classes if config.classes is None else config.classes
        facts |= {f"{fact} of {name}": value for fact, value in protocol.facts.items() if fact != "classes"}
        facts[f"class under {name}"] = record.environment.class_source.get(name) or str(asked)
    for name, metric in record.metrics.items():
        facts |= {f"{rule} of {name}": metric.facts[rule] for rule in _RULES if rule in metric.facts}
    for title in (method.title for method in config.methods if method.title in rules.methods):
        facts[f"method '{title}'"] = rules.methods[title].title
    return facts


def circumstances_of(record: RunRecord) -> dict[str, Any]:
    """What may differ, and is told."""
    found = {name: value for name, value in record.environment.fingerprint.items() if name not in ("weights", "head")}
    return found | {"layer": record.config.backbone.layer, "commit": record.environment.commit or "unknown"}


def differing(first: dict[str, Any], other: dict[str, Any]) -> str:
    """``weights (a, not b)``; what only one of them has is no difference."""
    keys = [key for key in first if key in other and first[key] != other[key]]
    return ", ".join(f"{key} ({_shown(other[key])}, not {_shown(first[key])})" for key in keys)


def _shown(value: Any) -> str:
    return _DIGEST.sub(lambda digest: digest[0][:12], str(value)) or "none"


def check_images(first: pd.DataFrame, other: pd.DataFrame, name: str, where: str) -> None:
    """Refuse an image of one name that is two pictures, or is labelled in two ways; tables as `read_images` gives them.

    ``name`` is the first run's, ``where`` the table of the other.
    """
    both = first.merge(other, on="image", suffixes=("", "_other"))
    for column, what in (("sha256", "another picture"), ("truth", "labelled otherwise")):
        given = (both[column] != "") & (both[f"{column}_other"] != "")
        changed = both["image"][given & (both[column] != both[f"{column}_other"])]
        if len(changed):
            raise UserError(f"{where}: '{changed.iloc[0]}' is {what} than in {name}; compare runs on the same images")
