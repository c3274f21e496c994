"""What classes are called, and how they are found."""

import pytest

from reciprocam_bench.datasets.class_names import class_names
from reciprocam_bench.errors import UserError


def test_imagenets_names_stand_for_a_thousand_classes() -> None:
    names = class_names(1000)
    assert [names.short[i] for i in (0, 207)] == ["tench", "golden retriever"]
    assert [names.find(text) for text in ("207", "Golden Retriever", "tabby cat", "n02123045")] == [207, 207, 281, 281]


def test_other_networks_have_numbers_or_the_names_that_are_given() -> None:
    grades = class_names(5, [str(grade) for grade in range(1, 6)])
    assert [grades.find(text) for text in "135"] == [0, 2, 4]
    with pytest.raises(UserError, match="class '0': no class is called so"):
        grades.find("0")
    assert [class_names(3, ["0", "1", "1"]).find(text) for text in "012"] == [0, 1, 2]
    assert class_names(10).short[3] == "class 3" and class_names(10).find("class 3") == 3
    names = class_names(3, ["cat", "dog, big", "cat"])
    assert names.short == ("cat", "dog, big", "cat") and names.find(" DOG, big ") == 1
    with pytest.raises(UserError, match=r"class 'cat': 2 classes are called so; give an index: \[0, 2\]"):
        names.find("cat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1000", "class 1000: the network has classes 0 to 999"),
        ("-1", "class -1: the network has classes 0 to 999"),
        ("9" * 5000, f"class {'9' * 20}: the network has classes 0 to 999"),
        ("tabbi", "class 'tabbi': no class is called so; did you mean 'tabby'?"),
        ("crane", "class 'crane': 2 classes are called so; give an index: [134, 517]"),
    ],
)
def test_a_class_that_there_is_not(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        class_names(1000).find(text)
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["--5", "5-", "-", "²", ""])
def test_what_is_no_number_is_no_index(text: str) -> None:
    with pytest.raises(UserError, match="no class is called so"):
        class_names(1000).find(text)
