"""Which outputs of a classifier stand for a data set's categories."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.errors import UserError


@dataclass(frozen=True)
class CategoryClasses:
    """The outputs that stand for each category, by category index; a category without one is left out.

    ``source`` names the meaning, for tables: ``multi-label head``, ``imagenet classes by wordnet``, or ``labels`` where
    the data set's classes are the network's own.
    """

    outputs: dict[int, tuple[int, ...]]
    source: str


def category_classes(dataset: Dataset, num_classes: int) -> CategoryClasses:
    """How a classifier with ``num_classes`` outputs answers for the data set's categories.

    A head with one output a category answers for itself. Of an ImageNet classifier, all classes that are a kind of the
    category by WordNet stand for it; the class explained is the best-scoring one of them.
    """
    categories = dataset.categories
    if categories is None:
        indices = {t.index for s in dataset.samples for t in s.targets}
        if not indices:
            raise UserError(f"data set '{dataset.name}' has no annotated objects; set classes to predicted or label")
        return CategoryClasses({i: (i,) for i in sorted(indices) if i < num_classes}, "labels")
    if num_classes == len(categories):
        return CategoryClasses({i: (i,) for i in range(num_classes)}, "multi-label head")
    if num_classes != 1000:
        raise UserError(
            f"the network has {num_classes} outputs; for {dataset.name} it needs {len(categories)} "
            "(rcam-bench fit-head makes such a head) or ImageNet's 1,000"
        )
    table = _wordnet_table()["voc" if dataset.name.startswith("voc") else "coco"]
    outputs = {i: tuple(table.get(name, {}).get("classes", ())) for i, name in enumerate(categories)}
    return CategoryClasses({i: o for i, o in outputs.items() if o}, "imagenet classes by wordnet")


@cache
def _wordnet_table() -> dict[str, dict[str, dict[str, list]]]:
    text = (files("reciprocam_bench.datasets") / "imagenet_categories.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)
