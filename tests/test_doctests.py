"""The examples in docstrings of the public API are run."""

import doctest
import importlib

import pytest

import reciprocam_bench as rb

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["explain", "evaluate", "load_backbone", "split_backbone", "ExplainedModel"])
def test_the_example_of_a_public_name_holds(name):
    function = getattr(rb, name)
    module = importlib.import_module(function.__module__)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, module)
    assert example.examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=lambda text: pytest.fail(text, pytrace=False))
    assert runner.summarize(verbose=False) == (0, len(example.examples))
