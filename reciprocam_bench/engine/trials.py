"""Which classes of which images are explained: a trial is an image and one class."""

from collections import Counter
from dataclasses import dataclass, replace

import torch

from reciprocam_bench.datasets.categories import CategoryClasses, category_classes
from reciprocam_bench.datasets.dataset import Dataset, Sample, Target
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass


@dataclass(frozen=True)
class Trial:
    """One class of one image.

    ``outputs`` are the network's outputs it may be, the best-scoring one of which is explained; None means any.
    """

    sample: Sample
    target: Target | None
    outputs: tuple[int, ...] | None


@dataclass(frozen=True)
class ClassChoice:
    """Whose class is explained: ``predicted``, ``label``, ``present`` (each category in the image), or an index."""

    wanted: str | int
    categories: CategoryClasses | None = None

    @property
    def source(self) -> str:
        """What the class explained is, for tables."""
        return self.categories.source if self.categories else str(self.wanted)

    def trials(self, sample: Sample) -> list[Trial]:
        """The trials of one image; what the network says of it does not change their number."""
        if self.categories is not None:
            outputs = self.categories.outputs
            return [
                Trial(sample, t, outputs[t.index]) for t in sample.targets if t.index in outputs and not t.difficult
            ]
        target = sample.targets[0] if sample.label is not None and sample.targets else None
        if self.wanted == "predicted":
            return [Trial(sample, target, None)]
        index = sample.label if self.wanted == "label" else int(self.wanted)
        assert index is not None  # choose_classes has seen to it
        return [Trial(sample, target, (index,))]


def choose_classes(wanted: str | int, dataset: Dataset, num_classes: int, name: str) -> ClassChoice:
    """Check that the data set and the network can answer for the classes a run wants; otherwise a ``UserError``."""
    if wanted == "present":
        choice = ClassChoice(wanted, category_classes(dataset, num_classes))
        if not any(choice.trials(s) for s in dataset.samples):
            raise UserError(f"data set '{dataset.name}': no image shows a category that {name} can be asked about")
        return choice
    if wanted == "label":
        dataset.require_labels()
        highest = max(s.label for s in dataset.samples if s.label is not None)
        if highest >= num_classes:
            raise UserError(
                f"the data set has class {highest}, but {name} has classes 0 to {num_classes - 1}; explain the "
                "predicted ones (--set classes=predicted)"
            )
    elif isinstance(wanted, int) and not 0 <= wanted < num_classes:
        raise UserError(f"classes: {wanted} is outside 0 to {num_classes - 1}")
    return ClassChoice(wanted)


def left_out(choice: ClassChoice, dataset: Dataset) -> list[tuple[str, str]]:
    """Categories that no output of the network stands for, as (id, reason) with the number of their images."""
    if choice.categories is None:
        return []
    missing = Counter(
        t.category for s in dataset.samples for t in s.targets if t.index not in choice.categories.outputs
    )
    return [
        ("", f"category '{name}': no output of the network stands for it ({n} images)")
        for name, n in sorted(missing.items())
    ]


def explain_trials(fp: ForwardPass, trials: list[Trial], images: list[int]) -> tuple[ForwardPass, list[Trial]]:
    """The pass of the images as a pass of their trials, each with its class.

    Args:
        fp: the pass of the images.
        trials: the trials.
        images: the place of each trial's image in ``fp``.

    Returns:
        The pass, and the trials; a trial whose class explained is not its target's loses the target, because the
        annotations say nothing of that class.
    """
    where = torch.tensor(images, device=fp.logits.device)
    logits = fp.logits[where]
    allowed = torch.zeros_like(logits, dtype=torch.bool)
    for row, trial in zip(allowed, trials, strict=True):
        row[slice(None) if trial.outputs is None else list(trial.outputs)] = True
    finite = logits.clamp(min=torch.finfo(logits.dtype).min)  # a class that the network rules out may be asked for
    classes = finite.masked_fill(~allowed, -torch.inf).argmax(1)
    seen = [
        t if t.sample.label is None or t.target is None or int(c) == t.target.index else replace(t, target=None)
        for t, c in zip(trials, classes, strict=True)
    ]
    return fp.select(where, classes), seen
