"""``rcam-bench validate``."""

from reciprocam_bench.cli import options
from reciprocam_bench.config import Config


def command(
    config: options.ConfigName = None,
    config_option: options.ConfigOption = None,
    set: options.Set = None,
) -> None:
    """Check a config without running it: data, weights, layer, split, methods."""
    settings = options.read_experiments(options.one_config(config, config_option), None, None, set)
    for number, one in enumerate([settings] if isinstance(settings, Config) else settings):
        if number:
            print()
        _validate(one)


def _validate(config: Config) -> None:
    from reciprocam_bench.engine.experiment import set_up
    from reciprocam_bench.protocols.protocol import protocol_names

    experiment = set_up(config)
    b, p = experiment.backbone, experiment.preparation(experiment.protocols[0])
    installed = protocol_names()
    names = f" ({', '.join(b.class_names)})" if b.class_names else ""
    lines = {
        "model": f"{b.name}, weights: {b.weights.get('source', 'own')}",
        "layer": f"{b.layer}, split: {b.split}, map: {'x'.join(map(str, b.feature_shape))}",
        "head": "pooled linear" if b.linear is not None else "not pooled linear",
        "head(features(x))": f"differs from the model by {b.split_error:.2g}",
        "images": f"{p.geometry.crop or p.geometry.size} pixels, {'RGB' if len(p.mean) == 3 else 'grey'}, "
        f"mean {', '.join(map(str, p.mean))}, std {', '.join(map(str, p.std))}",
        "outputs": f"{b.num_classes}{names}",
        "batch norms folded": b.folded_batch_norms,
        "data set": f"{experiment.dataset.name}, {len(experiment.dataset.samples)} images, "
        f"{len(experiment.dataset.skipped)} left out",
        "protocol": "; ".join(
            f"{one.name} version {one.version} (explains: {experiment.classes[one.name].source})"
            + ("" if one.name in installed else f", {one.path or 'given in the config'}")
            for one in experiment.protocols
        ),
        "methods": ", ".join(m.title for m in experiment.methods),
        "metrics": ", ".join(experiment.metrics),
    }
    for key, value in lines.items():
        print(f"{key:<20} {value}")
