"""Which outputs stand for a category."""

import pytest

from reciprocam_bench.datasets.categories import category_classes
from reciprocam_bench.datasets.class_names import class_names
from reciprocam_bench.datasets.dataset import Dataset
from reciprocam_bench.datasets.voc import VOC_CATEGORIES
from reciprocam_bench.errors import UserError

VOC = Dataset("voc2007-test", [], categories=VOC_CATEGORIES)


def test_a_head_with_one_output_a_category_answers_for_itself():
    choice = category_classes(VOC, 20)
    assert choice.outputs[7] == (7,) and len(choice.outputs) == 20 and choice.source == "multi-label head"


def test_imagenet_classes_answer_through_wordnet():
    choice = category_classes(VOC, 1000)
    cats = [class_names(1000).short[i] for i in choice.outputs[VOC_CATEGORIES.index("cat")]]
    assert "tabby" in cats and not any("lynx" in c or "lion" in c for c in cats)
    assert len(choice.outputs[VOC_CATEGORIES.index("dog")]) > 100
    assert choice.source == "imagenet classes by wordnet"


def test_person_has_no_imagenet_class():
    assert VOC_CATEGORIES.index("person") not in category_classes(VOC, 1000).outputs


def test_no_imagenet_class_answers_for_two_voc_categories():
    classes = [c for found in category_classes(VOC, 1000).outputs.values() for c in found]
    assert len(classes) == len(set(classes))


def test_another_number_of_outputs_is_an_error():
    with pytest.raises(UserError, match="10 outputs; for voc2007-test it needs 20"):
        category_classes(VOC, 10)
