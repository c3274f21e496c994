"""The one order of a data set's samples, of which a limit takes the first; and the orders of subsets."""

import hashlib
from collections import defaultdict
from itertools import zip_longest

from reciprocam_bench.datasets.dataset import Sample


def spread(samples: list[Sample], seed: int) -> list[Sample]:
    """The samples in rounds over the classes, so that the first N hold as many classes as N samples can.

    The class is the label, else the category of the first target, else none. Within a class, samples are in the order
    of a hash of seed and id; round r takes the r-th of each class, in the order of a hash of seed and class. The order
    depends on ids, labels and seed alone. A sample that is added moves no two others of its class past each other,
    without classes no two at all; rounds cannot promise that across classes, where all behind it come a round later.
    """
    return [sample for a_round in zip_longest(*_classes(samples, seed)) for sample in a_round if sample is not None]


def first_of_classes(samples: list[Sample], seed: int, count: int) -> list[Sample]:
    """The first ``count`` of each class in the order of `spread`, or all of a smaller one; none without a class."""
    return [sample for members in _classes([s for s in samples if _class(s)], seed) for sample in members[:count]]


def shuffled(samples: list[Sample], seed: int) -> list[Sample]:
    """The samples in an order that heeds no class: that of a hash of seed and id."""
    return sorted(samples, key=lambda s: _hash(seed, s.id))


def _classes(samples: list[Sample], seed: int) -> list[list[Sample]]:
    """The samples of each class, and the classes, in the order of their hashes."""
    of_class: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_class[_class(sample)].append(sample)
    return [shuffled(of_class[name], seed) for name in sorted(of_class, key=lambda name: _hash(seed, name))]


def _class(sample: Sample) -> str:
    if sample.label is not None:
        return str(sample.label)
    return sample.targets[0].category if sample.targets else ""


def _hash(seed: int, text: str) -> str:
    # Python's own hash differs from process to process.
    return hashlib.sha256(f"{seed}\0{text}".encode(errors="surrogateescape")).hexdigest()
