"""Trials: which classes of which images are explained."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reciprocam_bench.datasets.dataset import Box, Dataset, Sample, Target
from reciprocam_bench.engine.trials import choose_classes, explain_trials, left_out
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass


def _target(index, category, **more):
    return Target(category, index, (Box(0, 0, 1, 1),), (8, 8), **more)


TWO = Sample("a", Path("a"), None, (_target(0, "cat"), _target(2, "dog"), _target(1, "cow", difficult=True)))
NONE = Sample("b", Path("b"))
ANIMALS = Dataset("voc-toy", [TWO, NONE], categories=("cat", "cow", "dog", "pig", "hen"))
LABELLED = Sample("c", Path("c"), 3, (_target(3, "pig"),))


def test_each_category_present_is_a_trial_unless_all_its_objects_are_difficult(tiny, images):
    choice = choose_classes("present", ANIMALS, 5, "tiny")
    trials = choice.trials(TWO) + choice.trials(NONE)
    assert [(t.sample.id, t.target.category, t.outputs) for t in trials] == [("a", "cat", (0,)), ("a", "dog", (2,))]
    fp, seen = explain_trials(forward_pass(tiny, images), trials, [1, 1])
    assert fp.classes.tolist() == [0, 2] and [t.target.category for t in seen] == ["cat", "dog"]
    torch.testing.assert_close(fp.features[0], fp.features[1])


def test_the_best_scoring_output_of_a_category_is_explained(tiny, images):
    from reciprocam_bench.engine.trials import Trial

    whole = forward_pass(tiny, images)
    fp, _ = explain_trials(whole, [Trial(TWO, TWO.targets[0], (1, 3, 4))], [2])
    assert fp.classes.item() == max((1, 3, 4), key=lambda c: whole.logits[2, c].item())


def test_a_class_that_the_network_rules_out_can_be_asked_for(tiny, images):
    whole = forward_pass(tiny, images[:1])
    whole = replace(whole, logits=whole.logits.index_fill(1, torch.tensor([0, 3]), -torch.inf))
    label = choose_classes("label", Dataset("toy", [LABELLED]), 5, "tiny").trials(LABELLED)[0]
    fp, (seen,) = explain_trials(whole, [label], [0])
    assert fp.classes.item() == 3 and seen.target is not None


def test_a_prediction_that_is_not_the_label_has_no_annotated_objects(tiny, images):
    trial = choose_classes("predicted", Dataset("toy", [LABELLED]), 5, "tiny").trials(LABELLED)[0]
    whole = forward_pass(tiny, images[:1])
    predicted = int(whole.logits.argmax())
    _, (seen,) = explain_trials(whole, [trial], [0])
    assert (seen.target is not None) == (predicted == 3)
    label = choose_classes("label", Dataset("toy", [LABELLED]), 5, "tiny").trials(LABELLED)[0]
    fp, (seen,) = explain_trials(whole, [label], [0])
    assert fp.classes.item() == 3 and seen.target is not None


def test_categories_without_an_output_are_listed_with_their_images():
    dataset = Dataset("voc-toy", [Sample("a", Path("a"), None, (_target(0, "person"), _target(1, "dog")))])
    dataset = Dataset("voc-toy", dataset.samples, categories=("person", "dog"))
    choice = choose_classes("present", dataset, 1000, "net")
    assert left_out(choice, dataset) == [("", "category 'person': no output of the network stands for it (1 images)")]


def test_nothing_to_explain_is_an_error():
    person = Dataset("voc-toy", [Sample("a", Path("a"), None, (_target(0, "person"),))], categories=("person", "dog"))
    with pytest.raises(UserError, match="no image shows a category"):
        choose_classes("present", person, 1000, "net")
    with pytest.raises(UserError, match="outside 0 to 4"):
        choose_classes(5, ANIMALS, 5, "tiny")
