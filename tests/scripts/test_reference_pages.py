"""Every method and metric is described from its code: docstrings taken apart, options in words, costs counted."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from load_script import load_script
from pydantic import Field, TypeAdapter

from reciprocam_bench.explainers.registry import EXPLAINERS
from reciprocam_bench.metrics.registry import METRICS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    return load_script("reference_pages")


def documented(fp, *, samples: int = 3):
    """``a * b`` of h*w (Somebody 2020).

    More of
    it. Cost: two passes, 0.5 of them
    backwards. Needs gradients.

    Args:
        fp: the forward pass.
        samples: how many, and
            more of that.

    Raises:
        ValueError: never.

    The end.
    """


def test_a_docstring_is_taken_apart(script):
    doc = script.read(documented)
    assert doc.arguments == {"fp": "the forward pass.", "samples": "how many, and more of that."}
    assert doc.paragraphs[0] == "``a * b`` of h*w (Somebody 2020)." and doc.paragraphs[2] == "The end."
    cost, rest = doc.take(script.COST)
    assert cost == "two passes, 0.5 of them backwards"
    assert rest.paragraphs[1] == "More of it. Needs gradients."
    assert doc.take("(nothing of that)") == ("", doc)


def test_text_outside_of_code_has_no_markup(script):
    assert script.plain("``a * b`` of h*w and `c*d` <b>") == "``a * b`` of h\\*w and `c*d` \\<b>"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Field(ge=1, le=10)], "whole number from 1 to 10"),
        (Annotated[float, Field(gt=0, lt=1)], "number above 0 below 1"),
        (Annotated[int, Field(ge=0, lt=2**63)], "whole number from 0"),
        (Literal["a", "b"], "`a`, `b`"),
        (list[str] | None, "a list: text"),
        (bool, "`true` or `false`"),
        (int | Literal["auto"], "whole number or `auto`"),
    ],
)
def test_what_an_option_may_be_is_said_in_words(script, annotation, words):
    assert script._values(TypeAdapter(annotation).json_schema()) == words


def test_options_stand_with_default_and_meaning(script):
    table = script.options(documented, {"samples": "how many."})
    assert [cell.strip() for cell in table.strip().splitlines()[-1].strip("|").split("|")] == [
        "`samples`",
        "`3`",
        "whole number",
        "how many.",
    ]


def test_every_method_says_what_it_costs_and_every_metric_what_misleads(script):
    for name, spec in script.of_ours(EXPLAINERS):
        cost, doc = script.read(spec.function).take(script.COST)
        assert cost and doc.paragraphs, name
        documented = set(doc.arguments) - {"fp"}
        assert documented == set(script.keyword_options(spec.function)), name
    for name, spec in script.of_ours(METRICS):
        pitfall, doc = script.read(spec.function).take(script.PITFALL)
        assert pitfall and doc.paragraphs, name


# The pages are those that the script makes (test_update_readme.py), so what it makes is read off them.
def parts(page: str) -> dict[str, str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return dict(part.split("`\n", 1) for part in text.split("\n## `")[1:])


def test_the_page_of_methods_has_each_with_its_facts(script):
    told = parts("each_method.md")
    assert set(told) == {name for name, _ in script.of_ours(EXPLAINERS)}
    assert "Selvaraju et al. 2017" in told["gradcam"] and "* **Gradients**: needed" in told["gradcam"]
    assert "(counted as 1 forward pass)" in told["gradcam"] and "(counted as 512 forward passes)" in told["scorecam"]
    assert "* **Gradients**: none" in told["scorecam"] and "`torch-cam`, `grad-cam`" in told["scorecam"]
    assert "there to be beaten" in told["ones"] and "there to be beaten" not in told["gradcam"]
    assert "counted as" not in told["vitreciprocam"]  # no transformer is the example


def test_the_page_of_metrics_has_each_with_its_facts(script):
    told = parts("each_metric.md")
    assert set(told) == {name for name, _ in script.of_ours(METRICS)}
    assert "* **Title**: Drop ↓" in told["average_drop"]
    assert "harmonic mean of `coherency`, `1 - complexity`, `1 - average_drop`" in told["adcc"]
    assert "* **Cost**: 28 forward passes" in told["deletion_auc"]
    assert "and what `road_morf`, `road_lerf` cost" in told["road_combined"]
    assert "* **Cost**: 1 image explained again" in told["random_logit"]
    assert "without annotated objects" in told["pointing_game"] and "without annotated" not in told["gini"]
    assert "noise is not last" in told["pointing_game"]
    assert "* **Where the truth is known**: not judged" in told["max_sensitivity"]


def test_a_picture_belongs_to_a_method_and_is_shown(script):
    kept = set((ROOT / "docs/images/methods").iterdir())
    assert kept and kept <= {script.picture_of(name) for name in EXPLAINERS.all()}
    page = (ROOT / "docs/each_method.md").read_text("utf-8")
    assert all(f"](images/methods/{picture.name})" in page for picture in kept)
