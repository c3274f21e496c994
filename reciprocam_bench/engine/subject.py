"""What ``rcam-bench explain`` asks: a network, methods, and how pictures are prepared, from options or a config."""

import json
from dataclasses import dataclass
from typing import Any

from reciprocam_bench.backbones.backbone import Backbone
from reciprocam_bench.config import Config, NamedConfig, parse_config
from reciprocam_bench.config_file import Loaded, load_config
from reciprocam_bench.datasets.class_names import ClassNames
from reciprocam_bench.datasets.images import Preparation, preparation
from reciprocam_bench.datasets.registry import load_dataset
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.experiment import check_classifier, names_of, seeded_method, set_up_backbone
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.registry import EXPLAINERS, Method
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.metric import Metric
from reciprocam_bench.overrides import apply_overrides, set_keys
from reciprocam_bench.pictures import check_colormap
from reciprocam_bench.protocols.protocol import Protocol, load_protocol
from reciprocam_bench.runfolder.doubt import untrained

_ALL = "all"
_CALLING = "blackboxreciprocam"  # it only calls the network: at the image there are no features to look at
_METRICS = ["average_drop", "complexity"]  # one forward pass for both, however slow the method


@dataclass(frozen=True)
class Asked:
    """The options of ``explain``, and of ``export`` as far as it has them.

    Attributes:
        config: a config's name or path; or
        model: ``library/name``; or
        factory: ``package.module:function``.
        methods: their titles, or ``all``; a config's, or a few, if left out.
        classes: indices or names of the classes to explain; the predicted one if left out.
        values: further keys of a config, with dots; None says nothing.
        overrides: ``key=value``, as ``--set`` takes them.
        verb: the command whose options they are.
    """

    config: str | None
    model: str | None
    factory: str | None
    methods: tuple[str, ...]
    classes: tuple[str, ...]
    values: dict[str, Any]
    overrides: tuple[str, ...] = ()
    verb: str = "explain"

    def settings(self) -> Loaded:
        """The config that these options, or the config they name, come to."""
        if sum(source is not None for source in (self.config, self.model, self.factory)) != 1:
            raise UserError(f"{self.verb}: say which network, with one of --model, --factory and --config")
        given = {key: value for key, value in self.values.items() if value is not None}
        values = {"metrics": _METRICS, **({"methods": titles} if (titles := self._titles()) else {}), **given}
        overrides = (
            "timing=null",
            *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
        )
        overrides += self.overrides
        if self.config is not None:
            return load_config(self.config, overrides)
        network = {"model": self.model} if self.factory is None else {"factory": self.factory}
        data = {
            "backbone": network,
            "dataset": {"name": "folder", "root": "."},
            "preprocess": "model",
            "methods": [_CALLING] if self._at_image or self._is_onnx else ["gradcam", "reciprocam"],
        }
        notes = apply_overrides(data, overrides)
        return Loaded(parse_config(data, self.verb), notes)

    def is_optional(self, method: NamedConfig) -> bool:
        """Whether a method is there only because all were asked for."""
        return _ALL in self.methods and method.title not in self.methods

    def methods_of(self, config: Config, backbone: Backbone) -> list[NamedConfig]:
        """The config's methods; where nobody named one, the maps that an ONNX file gives itself, if it does."""
        named = self.config or self.methods or any(key.startswith("methods") for key in set_keys(self.overrides))
        if named or not self._is_onnx or self._at_image or backbone.own_maps is None:
            return config.methods
        return [NamedConfig(name="exported", label=None)]

    @property
    def _is_onnx(self) -> bool:
        return (self.model or "").startswith("onnx:")

    @property
    def _at_image(self) -> bool:
        return self.values.get("backbone.layer") == "image"

    def _titles(self) -> list[str]:
        named = [title for title in self.methods if title != _ALL]
        return list(dict.fromkeys([*named, *(EXPLAINERS.all() if _ALL in self.methods else ())]))


@dataclass(frozen=True)
class Subject:
    """A network with the methods and classes that pictures are explained with, all checked.

    ``classes`` is empty where the predicted one is explained; ``notes`` are for the reader.
    """

    config: Config
    backbone: Backbone
    protocol: Protocol
    prepare: Preparation
    methods: list[Method]
    optional: frozenset[str]
    metrics: list[Metric]
    names: ClassNames
    classes: tuple[int, ...]
    notes: list[str]


def set_up_subject(asked: Asked) -> Subject:
    """Load and check what the options name; cheap mistakes are found before the network is loaded."""
    config, notes = asked.settings()
    for method in config.methods:
        if not asked.is_optional(method):
            seeded_method(method, None, config.seed)
    check_classifier(config)
    metrics = make_metrics(config.metrics)
    for metric in metrics.values():
        if metric.localised:
            raise UserError(f"--metric {metric.column}: it needs annotated objects; rcam-bench run measures it")
        if metric.spec.thresholds:
            raise UserError(f"--metric {metric.column}: it has {len(metric.columns)} values an image, not one")
    check_colormap(config.pictures.colormap, "--colormap")
    protocol = load_protocol(config.protocol[0])
    backbone = set_up_backbone(config, protocol, set_up_torch(config))
    config = config.model_copy(update={"methods": asked.methods_of(config, backbone)})
    methods, unable = _able(asked, config, backbone)
    names, unnamed = _names(asked, config, backbone)
    notes = [*notes, *unable, *unnamed]
    if untrained(config.backbone):
        notes.append("the weights are random (weights: none): such heat looks convincing and means nothing")
    prepare = preparation(protocol.preprocess, backbone.preprocessing, config.preprocess == "model")
    optional = frozenset(m.title for m in config.methods if asked.is_optional(m))
    return Subject(
        config,
        backbone,
        protocol,
        prepare,
        methods,
        optional,
        list(metrics.values()),
        names,
        tuple(dict.fromkeys(_class(names, text) for text in asked.classes)),
        notes,
    )


def _able(asked: Asked, config: Config, backbone: Backbone) -> tuple[list[Method], list[str]]:
    """The methods that can explain the network, and why those cannot that only ``all`` asked for."""
    methods, notes = {}, []
    for method in config.methods:
        try:
            methods[method.title] = seeded_method(method, backbone, config.seed)
        except UserError as error:
            if not asked.is_optional(method):
                raise
            notes.append(f"left out: {error}")
    if notes or any(asked.is_optional(method) for method in config.methods):
        passes = sum(method.forwards(backbone) for method in methods.values())
        notes.append(f"{len(methods)} methods, about {passes:,.0f} forward passes an image and class")
    return list(methods.values()), notes


def _names(asked: Asked, config: Config, backbone: Backbone) -> tuple[ClassNames, list[str]]:
    """Names of the classes; a config's data set may know them, and one that is not there is no mistake here."""
    notes, dataset = [], None
    if backbone.class_names is None and asked.config is not None and backbone.num_classes != 1000:
        try:
            dataset = load_dataset(config.dataset, 1, config.seed)
        except UserError as error:
            notes.append(f"classes have no names: {error}")
    return names_of(backbone, dataset), notes


def _class(names: ClassNames, text: str) -> int:
    try:
        return names.find(text)
    except UserError as error:
        raise UserError(f"--{error}") from None
