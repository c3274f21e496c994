"""A config made real: network, images, methods, metrics and protocols, all checked before work begins."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.backbones.compute import computing
from reciprocam_bench.backbones.factory import load_factory
from reciprocam_bench.backbones.fitted_head import load_linear_head
from reciprocam_bench.backbones.load import is_headless, load_backbone
from reciprocam_bench.backbones.names_file import read_class_names
from reciprocam_bench.backbones.onnx_file import load_onnx
from reciprocam_bench.config import Config, NamedConfig, dump_config
from reciprocam_bench.datasets.class_names import ClassNames, class_names
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.datasets.images import Preparation, preparation
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.engine.drawing import chosen_samples, metrics_shown, samples_on_page
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.trials import ClassChoice, choose_classes
from reciprocam_bench.errors import UserError, in_words
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import EXPLAINERS, Method, make_method
from reciprocam_bench.metrics.lookup import check_options_of, make_metrics
from reciprocam_bench.metrics.metric import Metric
from reciprocam_bench.pictures import check_colormap
from reciprocam_bench.protocols.protocol import Protocol, load_protocol
from reciprocam_bench.registry import keyword_options
from reciprocam_bench.runfolder.schema import (
    ENDINGS,
    FIXED,
    SUMMARY_NUMBERS,
    SUMMARY_TEXT,
    Definitions,
    MethodDefinition,
    MetricDefinition,
    ProtocolDefinition,
)
from reciprocam_bench.variables import expanded, fill_environment


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, in the order the tables show it."""

    config: Config
    backbone: Backbone
    dataset: Dataset
    protocols: list[Protocol]
    methods: list[Method]
    timed: list[Method]
    metrics: dict[str, Metric]  # by column
    classes: dict[str, ClassChoice]  # by protocol name
    names: ClassNames
    drawn: dict[str, int]  # the images that get a sheet, and their place in the data set
    on_page: frozenset[str]  # the images that a page shows with their maps
    shown_metrics: list[Metric]  # under each map of a sheet

    @property
    def config_text(self) -> str:
        """The resolved config as YAML."""
        return dump_config(self.config)

    @property
    def definitions(self) -> Definitions:
        """What readers must know of its protocols, methods and metrics."""
        timing = self.config.timing
        judged = _defined(self.methods, self.config.methods)
        timed = _defined(self.timed, (timing and timing.methods) or self.config.methods)
        return Definitions(
            protocols={
                p.name: ProtocolDefinition(version=p.version, classes=p.classes, choices=p.choices)
                for p in self.protocols
            },
            methods=judged,
            timed={title: method for title, method in timed.items() if title not in judged},
            metrics={column: definition_of(metric) for column, metric in self.metrics.items()},
        )

    @property
    def batch_size(self) -> int:
        """Images judged together; once ``auto`` is settled."""
        assert isinstance(self.config.batch_size, int)
        return self.config.batch_size

    @property
    def workers(self) -> int:
        """Processes that read images; once ``auto`` is settled."""
        assert isinstance(self.config.workers, int)
        return self.config.workers

    def shows(self, image: str) -> bool:
        """Whether an image gets a sheet, or a page shows it with its maps."""
        return image in self.drawn or image in self.on_page

    def preparation(self, protocol: Protocol) -> Preparation:
        """How image files become inputs under a protocol."""
        return preparation(protocol.preprocess, self.backbone.preprocessing, self.config.preprocess == "model")


def set_up(config: Config, threads: int | None = None) -> Experiment:
    """Load and check everything a config names; cheap mistakes are found before the network is loaded.

    ``threads`` as in `set_up_torch`: the network is opened with them.
    """
    make_methods(config.methods, None, config.seed)
    if config.timing and config.timing.methods:
        make_methods(config.timing.methods, None, config.seed)
    check_classifier(config)
    metrics = make_metrics(config.metrics)
    _check_columns(metrics)
    protocols = make_protocols(config)
    shown_metrics = metrics_shown(config, metrics)
    check_colormap(config.pictures.colormap, "pictures.colormap")
    device = set_up_torch(config, threads)
    dataset = load_dataset(config.dataset, config.limit, config.seed)
    drawn, on_page = chosen_samples(config, dataset), samples_on_page(config, dataset)
    backbone = set_up_backbone(config, protocols[0], device)
    _check_shapes(config, backbone, protocols)
    methods = make_methods(config.methods, backbone, config.seed)
    _check_annotated(methods, dataset)
    timing = config.timing
    timed = make_methods(timing.methods, backbone, config.seed) if timing and timing.methods else methods
    if timing and timing.relative_to and timing.relative_to not in [m.title for m in timed]:
        known = ", ".join(m.title for m in timed)
        raise UserError(f"timing.relative_to: '{timing.relative_to}' is not among the timed methods ({known})")
    _check_labels(methods, timed)
    classes = {
        p.name: choose_classes(
            p.classes if config.classes is None else config.classes, dataset, backbone.num_classes, backbone.name
        )
        for p in protocols
    }
    names = names_of(backbone, dataset)
    return Experiment(
        config, backbone, dataset, protocols, methods, timed, metrics, classes, names, drawn, on_page, shown_metrics
    )


def _check_labels(methods: Sequence[Method], timed: Sequence[Method]) -> None:
    """Refuse a label that is one method where it is judged and another where it is timed."""
    judged = {m.title: (m.spec.name, m.options) for m in methods}
    for method in timed:
        if judged.get(method.title, (method.spec.name, method.options)) != (method.spec.name, method.options):
            raise UserError(f"timing.methods: '{method.title}' is another method in methods; give one another label")


def _check_columns(metrics: dict[str, Metric]) -> None:
    """Refuse a metric that would stand in tables in the place of something else."""
    headings: dict[str, str] = {}
    for column, metric in metrics.items():
        before = next((column.removesuffix(end) for end in ENDINGS if column.endswith(end)), None)
        if column in (*FIXED, *SUMMARY_TEXT, *SUMMARY_NUMBERS) or "_difficult" in column or before in metrics:
            raise UserError(f"metrics: '{column}' is a column that tables have for something else; give another label")
        other = headings.setdefault(metric.title.casefold(), column)
        if other != column:
            raise UserError(
                f"metrics: '{other}' and '{column}' are both headed '{metric.title}'; give one another label"
            )


def make_protocols(config: Config) -> list[Protocol]:
    """The protocols of a config; two of one name are a ``UserError``, their rows could not be told apart."""
    protocols = [load_protocol(given) for given in config.protocol]
    for protocol in protocols:
        if config.named_protocols.count(protocol.name) > 1:
            raise UserError(f"protocol: '{protocol.name}' is listed twice; remove one, or give one another name")
        check_options_of(protocol)
    return protocols


def names_of(backbone: Backbone, dataset: Dataset | None) -> ClassNames:
    """The network's own names of its classes, else the data set's where its outputs are the categories."""
    given = backbone.class_names
    if given is None and dataset is not None and dataset.categories and len(dataset.categories) == backbone.num_classes:
        given = dataset.categories
    return class_names(backbone.num_classes, given)


def check_classifier(config: Config) -> None:
    """Refuse a network that was published without a classifier: what it returns would be taken for classes."""
    c = config.backbone
    if not c.head and c.num_classes is None and is_headless(c.model, c.weights):
        raise UserError(
            f"{c.model} has no classifier, so there are no classes to explain; give backbone.head (rcam-bench fit-head "
            "makes one), or backbone.num_classes and weights of your own"
        )


def set_up_backbone(config: Config, protocol: Protocol, device: torch.device) -> Backbone:
    """Load the network a config names, with its head and arithmetic, split for images of the protocol's size."""
    c, geometry = config.backbone, protocol.preprocess
    weights = fill_environment(c.weights)
    size = None if config.preprocess == "model" else geometry.crop or geometry.size
    names = read_class_names(fill_environment(c.class_names)) if isinstance(c.class_names, str) else c.class_names
    common: dict[str, Any] = {"image_size": size, "multi_label": c.multi_label, "class_names": names}
    if c.factory:
        options = {key: fill_environment(value) for key, value in c.options.items()}
        common |= {"model": c.model, "preprocessing": c.preprocessing}
        backbone = load_factory(c.factory, options, weights, c.layer, device, **common)
    elif c.is_onnx:
        model = fill_environment(c.model)
        backbone = load_onnx(model, c.layer, device, weights=weights, preprocessing=c.preprocessing, **common)
    else:
        backbone = load_backbone(c.model, weights, c.layer, device, num_classes=c.num_classes, **common)
    if c.head:
        backbone = load_linear_head(backbone, expanded(fill_environment(c.head)))
    if config.memory_mb:
        backbone = replace(backbone, memory_budget=config.memory_mb << 20)
    return computing(backbone, config.precision, config.compile, size)


def _check_shapes(config: Config, backbone: Backbone, protocols: Sequence[Protocol]) -> None:
    """Refuse a protocol whose images the network cannot take; it was split on those of the first, and square ones."""
    channels, tried = len(backbone.preprocessing.mean), set()
    for place, protocol in enumerate(protocols):
        geometry = preparation(protocol.preprocess, backbone.preprocessing, config.preprocess == "model").geometry
        side = geometry.crop or geometry.size
        tried |= {(side, side)} if place == 0 else set()
        shape = (side, side if geometry.crop else side * 3 // 2)
        if shape in tried:
            continue
        tried.add(shape)
        try:
            forward_pass(backbone.uncompiled, torch.zeros(1, channels, *shape))
        except Exception as error:  # a network can refuse its images in every way there is
            raise UserError(
                f"protocol {protocol.name}: {backbone.name} cannot take images of {shape[0]} x {shape[1]} pixels: "
                f"{in_words(error, 160)}; leave the protocol out, or set preprocess=model"
            ) from None


def make_methods(configs: Sequence[NamedConfig], backbone: Backbone | None, seed: int) -> list[Method]:
    """The methods of a config; two with the same title are a ``UserError``, their rows could not be told apart."""
    methods = [seeded_method(m, backbone, seed) for m in configs]
    titles = [m.title for m in methods]
    for title in titles:
        if titles.count(title) > 1:
            raise UserError(f"methods: '{title}' is listed twice; remove one, or give one a label")
    return methods


def seeded_method(method: NamedConfig, backbone: Backbone | None, seed: int) -> Method:
    """A method of a config; one that draws, and names no ``seed``, draws with the config's."""
    draws = "seed" in keyword_options(EXPLAINERS.get(method.name).function)
    options = ({"seed": seed} if draws else {}) | method.options
    return make_method(method.name, options, method.title, backbone)


def _check_annotated(methods: Sequence[Method], dataset: Dataset) -> None:
    for method in methods:
        if method.spec.objects and not any(sample.targets for sample in dataset.samples):
            raise UserError(f"method '{method.title}': nothing is annotated in data set '{dataset.name}'; leave it out")


def _defined(methods: Sequence[Method], configs: Sequence[NamedConfig]) -> dict[str, MethodDefinition]:
    """What their titles mean."""
    named = {c.title: c.options for c in configs}
    return {m.title: MethodDefinition(name=m.spec.name, options=_not_default(m, named[m.title])) for m in methods}


def _not_default(method: Method, named: Container[str]) -> dict[str, Any]:
    """The named options that differ from the method's defaults, as they can be written; the run's seed is none."""
    defaults = {name: p.default for name, p in keyword_options(method.spec.function).items()}
    return {name: value for name, value in method.options.items() if name in named and value != defaults[name]}


def definition_of(metric: Metric) -> MetricDefinition:
    """What readers must know of a metric."""
    spec = metric.spec
    return MetricDefinition(
        name=spec.name,
        options=metric.options,
        title=metric.title,
        higher_is_better=spec.higher_is_better,
        aggregation=spec.aggregation,
        terms=list(spec.terms),
        columns=list(metric.columns),
        localised=metric.localised,
    )
