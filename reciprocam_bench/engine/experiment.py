"""A config made real: network, images, methods, metrics and protocols, all checked before work begins."""

from dataclasses import dataclass, replace

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.load import load_backbone
from reciprocam_bench.config import Config, MethodConfig
from reciprocam_bench.datasets.images import Preparation, preparation
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.datasets.sample import Dataset
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import Method, make_method
from reciprocam_bench.metrics.registry import MetricSpec, make_metrics
from reciprocam_bench.protocols.protocol import Protocol, load_protocol


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, in the order the tables show it."""

    config: Config
    backbone: Backbone
    dataset: Dataset
    protocols: list[Protocol]
    methods: list[Method]
    timed: list[Method]
    metrics: dict[str, MetricSpec]

    def classes(self, protocol: Protocol) -> str | int:
        """Whose class is explained under a protocol: ``predicted``, ``label`` or an index."""
        return protocol.classes if self.config.classes is None else self.config.classes

    def preparation(self, protocol: Protocol) -> Preparation:
        """How image files become inputs under a protocol."""
        return preparation(protocol.preprocess, self.backbone.preprocessing, self.config.preprocess == "model")


def set_up(config: Config) -> Experiment:
    """Load and check everything a config names; cheap mistakes are found before the network is loaded."""
    make_methods(config.methods, None)
    metrics = make_metrics(config.metrics)
    protocols = [load_protocol(name) for name in config.protocol]
    if len({p.name for p in protocols}) < len(protocols):
        raise UserError("protocol: one is listed twice; remove it")
    device = set_up_torch(config)
    dataset = load_dataset(config.dataset, config.limit)
    size = None if config.preprocess == "model" else protocols[0].preprocess.crop
    backbone = load_backbone(
        config.backbone.model, config.backbone.weights, config.backbone.layer, device, image_size=size
    )
    if config.memory_mb:
        backbone = replace(backbone, memory_budget=config.memory_mb << 20)
    methods = make_methods(config.methods, backbone)
    timing = config.timing
    timed = make_methods(timing.methods, backbone) if timing and timing.methods else methods
    if timing and timing.relative_to and timing.relative_to not in [m.title for m in timed]:
        known = ", ".join(m.title for m in timed)
        raise UserError(f"timing.relative_to: '{timing.relative_to}' is not among the timed methods ({known})")
    experiment = Experiment(config, backbone, dataset, protocols, methods, timed, metrics)
    _check_classes(experiment)
    return experiment


def make_methods(configs: list[MethodConfig], backbone: Backbone | None) -> list[Method]:
    """The methods of a config; two with the same title are a ``UserError``, their rows could not be told apart."""
    methods = [make_method(m.name, m.options, m.title, backbone) for m in configs]
    titles = [m.title for m in methods]
    for title in titles:
        if titles.count(title) > 1:
            raise UserError(f"methods: '{title}' is listed twice; remove one, or give one a label")
    return methods


def _check_classes(experiment: Experiment) -> None:
    for protocol in experiment.protocols:
        wanted = experiment.classes(protocol)
        if wanted == "label":
            experiment.dataset.require_labels()
            highest = max(s.label for s in experiment.dataset.samples if s.label is not None)
            if highest >= experiment.backbone.num_classes:
                raise UserError(
                    f"the data set has class {highest}, but {experiment.backbone.name} knows "
                    f"{experiment.backbone.num_classes} classes; explain the predicted ones (--set classes=predicted)"
                )
        elif isinstance(wanted, int) and not 0 <= wanted < experiment.backbone.num_classes:
            raise UserError(f"classes: {wanted} is outside 0 to {experiment.backbone.num_classes - 1}")
