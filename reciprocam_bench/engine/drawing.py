"""What a run draws, and what stands under its maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reciprocam_bench.config import Config
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.metrics.metric import Metric
from reciprocam_bench.titles import with_arrow

_MOST_ON_PAGE = 600  # images: a file each, and a page must open at once


def chosen_samples(config: Config, dataset: Dataset) -> dict[str, int]:
    """The ids of the images that get a sheet, and their place in the data set; ``UserError`` for one it lacks."""
    places = {sample.id: place for place, sample in enumerate(dataset.samples)}
    if isinstance(config.maps, int):
        return dict(list(places.items())[: config.maps])
    for image in config.maps:
        if image not in places:
            known = did_you_mean(image, places)
            raise UserError(f"maps: '{image}' is no image of this run{known} (as per_image.csv names them)")
    return {image: places[image] for image in config.maps}


def samples_on_page(config: Config, dataset: Dataset) -> frozenset[str]:
    """The ids of the images whose map and picture a page shows: none where a run draws nothing."""
    if not config.maps:
        return frozenset()
    return frozenset(sample.id for sample in dataset.samples[:_MOST_ON_PAGE])


def metrics_shown(config: Config, metrics: dict[str, Metric]) -> list[Metric]:
    """The metrics that stand under a map: those asked for, else ADCC, else the first of one value an image."""
    single = {column: metric for column, metric in metrics.items() if metric.columns == (column,)}
    for column in config.pictures.metrics or ():
        if column not in single:
            known = did_you_mean(column, single)
            raise UserError(f"pictures.metrics: '{column}' is no metric of this run with one value an image{known}")
    if config.pictures.metrics is not None:
        return [single[column] for column in config.pictures.metrics]
    return [single[column] for column in ("adcc", *single) if column in single][:1]


def scores_in_words(metrics: Sequence[Metric], values: Mapping[str, Any]) -> str:
    """Values of one map, in percent as the tables print them; nothing for a metric that has none there."""
    found = [(with_arrow(metric.title, metric.spec.higher_is_better), values[metric.column]) for metric in metrics]
    return ", ".join(f"{title} {100 * float(value):.1f} %" for title, value in found if not pd.isna(value))


def is_drawn(path: Path) -> bool:
    """Whether a run folder holds pictures."""
    return (path / "maps").is_dir()
