"""The decorator that makes a function a data set loader."""

from collections.abc import Callable
from dataclasses import replace

from reciprocam_bench.config import DatasetConfig
from reciprocam_bench.datasets.dataset import Dataset, Sample
from reciprocam_bench.datasets.order import spread
from reciprocam_bench.datasets.subset import take_subset
from reciprocam_bench.errors import UserError
from reciprocam_bench.registry import Registry, check_options, keyword_options

Loader = Callable[..., Dataset]

DATASETS: Registry[Loader] = Registry("dataset", "reciprocam_bench.datasets", "reciprocam_bench.datasets")


def dataset(name: str) -> Callable[[Loader], Loader]:
    """Register a function as the data set ``name``; its keyword-only parameters are the keys of a config."""

    def register(function: Loader) -> Loader:
        DATASETS.add(name, function)
        return function

    return register


def load_dataset(config: DatasetConfig, limit: int | None = None, seed: int = 0) -> Dataset:
    """Load the data set a config names: of its subset the first ``limit`` samples of ``seed``'s order (`spread`).

    A larger limit only adds samples behind. An empty data set is a ``UserError``.
    """
    loader = DATASETS.get(config.name)
    options = check_options(f"dataset '{config.name}'", loader, _known_missing(config, loader))
    found = _not_empty(_each_once(loader(**options)), options)
    if config.subset:
        found = _not_empty(take_subset(found, config.subset, seed), options)
    first = spread(found.samples, seed)[:limit]
    return replace(found, samples=first, beyond_limit=len(found.samples) - len(first))


def _each_once(found: Dataset) -> Dataset:
    """Rows are told apart by the image's name: of several samples of one name only the first is kept."""
    first: dict[str, Sample] = {}
    again = []
    for sample in found.samples:
        if first.setdefault(sample.id, sample) is not sample:
            again.append((sample.id, "listed again; only its first entry counts"))
    return replace(found, samples=list(first.values()), skipped=[*found.skipped, *again]) if again else found


def _not_empty(found: Dataset, options: dict) -> Dataset:
    if not found.samples:
        reason = f" ({found.skipped[0][0]}: {found.skipped[0][1]})" if found.skipped else ""
        raise UserError(f"dataset '{found.name}' has no images at {options.get('root', 'its place')}{reason}")
    return found


def _known_missing(config: DatasetConfig, loader: Loader) -> dict:
    options = config.options
    for name, parameter in keyword_options(loader).items():
        if parameter.default is parameter.empty and name not in options:
            raise UserError(f"dataset '{config.name}': '{name}' is missing; add dataset.{name} to the config")
    return options
