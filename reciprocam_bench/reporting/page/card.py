"""The evaluation card: what was measured, on what, by what, and what was left out."""

from collections.abc import Mapping
from typing import Any

from reciprocam_bench.reporting.page.collect import Run
from reciprocam_bench.reporting.tables import top1_words
from reciprocam_bench.runfolder.schema import ERROR

Facts = list[tuple[str, str]]


def card(run: Run) -> dict[str, Facts]:
    """Facts by heading, as they stand in the folder; what a folder does not say is left out."""
    about = run.record.environment.model_dump()
    parts = {
        "Network": _network(run, about),
        "Question": _question(run),
        "Images": _images(run),
        "Left out": _left_out(run),
        "Made by": _made_by(about),
    }
    return {heading: [(term, text) for term, text in facts if text] for heading, facts in parts.items()}


def _network(run: Run, about: Mapping[str, Any]) -> Facts:
    found, config = about.get("backbone") or {}, run.record.config.backbone
    weights = found.get("weights") or {}
    shape = found.get("feature_shape")
    return [
        ("model", config.model),
        ("weights", str(config.weights)),
        ("weights file", str(weights.get("source", "")) if isinstance(weights, dict) else str(weights)),
        ("SHA-256", str(weights.get("sha256") or "") if isinstance(weights, dict) else ""),
        ("layer", f"{config.layer} ({found['layer']})" if found.get("layer") else str(config.layer)),
        ("feature maps", " × ".join(map(str, shape)) if shape else ""),
        ("classes", str(run.record.environment.num_classes or "")),
        ("how it is split", _words(found.get("split"))),
    ]


def _question(run: Run) -> Facts:
    record = run.record
    facts: Facts = []
    for name in record.config.named_protocols:
        made = record.definitions.protocols.get(name)
        if made is None:
            continue
        explained = record.config.classes if record.config.classes is not None else made.classes
        source = record.environment.class_source.get(name, "")
        facts.append(("protocol", f"{name}, version {made.version}"))
        found = f" (here: {source})" if source and source != explained else ""
        facts.append((f"{name}: class explained", f"{explained}{found}"))
        choices = {key: _words(value) for key, value in made.choices.items() if key != "classes"}
        if record.config.preprocess == "model":
            choices["preprocess"] = "the model's own, not the protocol's"
        facts += [(f"{name}: {key}", words) for key, words in choices.items()]
    methods = ", ".join(method.title for method in record.config.methods)
    return [*facts, ("preprocess", record.config.preprocess), ("methods", methods), ("seed", str(record.config.seed))]


def _images(run: Run) -> Facts:
    facts, config = run.record.environment, run.record.config
    images = "" if facts.images is None else str(facts.images)
    if facts.images is not None and facts.images_total and facts.images_total > facts.images:
        images += f" of {facts.images_total}"
    subset = config.dataset.subset
    chosen = ", ".join(f"{key}: {value}" for key, value in subset if value is not None) if subset else ""
    return [
        ("data set", run.record.dataset),
        ("images", images),
        ("images judged", str(run.rows["image"].nunique()) if len(run.rows) else ""),
        ("subset", chosen),
        ("limit", str(config.limit or "")),
        ("top-1 of labelled images", top1_words(run.summary) if len(run.summary) else ""),
        ("difficult subset by", facts.difficult_by),
    ]


def _left_out(run: Run) -> Facts:
    judged = set(run.rows["image"]) if len(run.rows) else set()
    named = list(run.skipped["image"]) if len(run.skipped) else []
    facts = [
        ("images not judged", str(len(set(named) - judged))),
        ("remarks on images that were judged", str(sum(image in judged for image in named))),
    ]
    if len(run.rows):
        status = run.rows["status"]
        facts += [
            ("constant maps (judged as maps that mark nothing)", str(int(status.str.startswith("constant").sum()))),
            ("maps with NaN or infinity (judged so, too)", str(int(status.str.startswith("nan").sum()))),
            ("maps that failed (in no mean)", str(int(status.str.startswith(ERROR).sum()))),
        ]
    return facts


def _made_by(about: Mapping[str, Any]) -> Facts:
    packages, seconds = about.get("packages") or {}, about.get("seconds") or {}
    machine = about.get("machine") or {}
    others = machine.get("others")
    return [
        ("rcam-bench", str(about.get("rcam-bench") or "")),
        ("commit", str(about.get("commit") or "")),
        ("finished", str(about.get("finished") or "not finished")),
        ("starts", str(len(about.get("starts") or []) or "")),
        ("device", _words(about.get("device"))),
        ("threads", _words(about.get("threads"))),
        ("precision", _words(about.get("precision"))),
        ("other work while timing", f"{100 * others:.0f} % of the processors" if others is not None else ""),
        ("Python", _words(about.get("python"))),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages.items())),
        ("seconds", _spent(seconds, "")),
        ("seconds of each method's maps", _spent(seconds, "explain: ")),
        ("seconds of each metric", _spent(seconds, "metrics: ")),
    ]


def _spent(seconds: Mapping[str, float], phase: str) -> str:
    """The parts of a phase, or all phases, and what they took."""
    parts = {name.removeprefix(phase): s for name, s in seconds.items() if name.startswith(phase)}
    return ", ".join(f"{name} {s:.1f}" for name, s in parts.items() if phase or ": " not in name)


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_words(v)}" for key, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_words(v) for v in value)
    return str(value)
