"""Folders of format 1, which hold no definitions: what their metrics were."""

from reciprocam_bench.config import Config
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.schema import Definitions, MethodDefinition, MetricDefinition, ProtocolDefinition

_UP = {
    "increase": "Increase",
    "coherency": "Coherency",
    "pointing_game_box": "Pointing (box)",
    "pointing_game_mask": "Pointing (mask)",
    "energy_pointing_game": "Energy",
    "relevance_rank_accuracy": "Rank accuracy",
}
_LOCALISED = {"pointing_game_box", "pointing_game_mask", "energy_pointing_game", "relevance_rank_accuracy"}
_DOWN = {"average_drop": "Drop", "complexity": "Complexity"}
_TERMS = ["coherency", "1 - complexity", "1 - average_drop"]
_THRESHOLDS = [f"max_box_acc@{v / 100:.2f}" for v in range(5, 100, 5)]
_CLASSES = {"poppi-2021": "predicted", "recipro-2024": "label", "torchray-2019": "present"}


def definitions(config: Config) -> Definitions:
    """The definitions that a run of format 1 had, from its config."""
    names = [m.name for m in config.metrics]
    if "adcc" in names:
        names = [n for n in ("average_drop", "coherency", "complexity") if n not in names] + names
    return Definitions(
        protocols=dict(map(_protocol, config.protocol)),
        methods={m.title: MethodDefinition(name=m.name, options=m.options) for m in config.methods},
        metrics={name: _metric(name) for name in names},
    )


def _protocol(given: str | Protocol) -> tuple[str, ProtocolDefinition]:
    if isinstance(given, str):
        return given, ProtocolDefinition(version=1, classes=_CLASSES.get(given, "predicted"))
    # A config says all of one's own: its folder has lost its definitions.
    return given.name, ProtocolDefinition(version=given.version, classes=given.classes, choices=given.choices)


def _metric(name: str) -> MetricDefinition:
    if name == "adcc":
        return MetricDefinition(
            title="ADCC", higher_is_better=True, aggregation="harmonic-mean", terms=_TERMS, columns=["adcc"]
        )
    if name == "pointing_game":
        return MetricDefinition(
            title="Pointing", higher_is_better=True, aggregation="mean-of-classes", columns=[name], localised=True
        )
    if name == "max_box_acc":
        return MetricDefinition(
            title="MaxBoxAcc",
            higher_is_better=True,
            aggregation="best-threshold",
            columns=_THRESHOLDS,
            localised=True,
        )
    known = name in _UP or name in _DOWN
    return MetricDefinition(
        title=(_UP | _DOWN).get(name, name),
        higher_is_better=name in _UP if known else None,
        columns=[name],
        localised=name in _LOCALISED,
    )
