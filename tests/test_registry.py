"""Names to functions: registering, look-up, plug-ins, and the check of options."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import reciprocam_bench.registry as registry_module
from reciprocam_bench.config import NamedConfig
from reciprocam_bench.errors import UserError, did_you_mean
from reciprocam_bench.explainers.registry import EXPLAINERS, explainer, make_method
from reciprocam_bench.metrics.lookup import make_metrics
from reciprocam_bench.metrics.registry import METRICS
from reciprocam_bench.registry import Registry, Source, check_options, keyword_options


def wobble(
    fp: object,
    *,
    mask: Literal["hard", "soft"] = "hard",
    count: Annotated[int, Field(ge=1)] | None = None,
    share: float = 0.5,
) -> None:
    """An explainer with options."""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry whose package has one module, which registers `built_in` when it is imported."""
    package = tmp_path / "rcam_fake_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("TABLE = None\n")
    (package / "one.py").write_text("import rcam_fake_plugins as p\np.TABLE.add('built_in', 'spec', ('alias',))\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.startswith("rcam_fake_plugins")]:
        monkeypatch.delitem(sys.modules, name)
    import rcam_fake_plugins

    rcam_fake_plugins.TABLE = Registry("thing", "rcam_fake_plugins", "rcam.fake.things")
    return rcam_fake_plugins.TABLE


class EntryPoint:
    name, value = "plug", "plug.module:thing"

    def __init__(self, load) -> None:
        self.load = load


def plug_in(monkeypatch: pytest.MonkeyPatch, *loads) -> None:
    points = [EntryPoint(load) for load in loads]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: points if group == "rcam.fake.things" else [])


def test_modules_are_imported_on_first_look_up_only(table: Registry) -> None:
    assert "rcam_fake_plugins.one" not in sys.modules
    assert table.get("built_in") == "spec"
    assert "rcam_fake_plugins.one" in sys.modules


def test_an_alias_leads_to_the_same_spec_and_is_not_listed(table: Registry) -> None:
    assert table.get("alias") == "spec"
    assert list(table.all()) == ["built_in"]


def test_an_unknown_name_suggests_a_near_one_and_says_where_all_are_listed(table: Registry) -> None:
    with pytest.raises(UserError) as caught:
        table.get("built_on")
    assert str(caught.value) == "unknown thing 'built_on'; did you mean 'built_in'? (rcam-bench ls things)"


@pytest.mark.parametrize(
    "name, aliases", [("built_in", ()), ("alias", ()), ("new", ("built_in",)), ("new", ("alias",))]
)
def test_a_name_can_be_taken_only_once(table: Registry, name: str, aliases: tuple[str, ...]) -> None:
    table.all()
    with pytest.raises(UserError, match="is registered twice"):
        table.add(name, "other", aliases)
    assert table.all() == {"built_in": "spec"}


def test_names_are_listed_in_order(table: Registry) -> None:
    table.add("zebra", 1)
    table.add("ant", 2)
    assert list(table.all()) == ["ant", "built_in", "zebra"]


def test_plug_ins_are_loaded_from_entry_points(table: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, lambda: table.add("from_plug_in", 5))
    assert table.get("from_plug_in") == 5


def test_a_broken_plug_in_is_named(table: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, lambda: 1 / 0)
    with pytest.raises(UserError, match=r"plug-in 'plug' \(plug.module:thing\) failed to load: ZeroDivisionError"):
        table.all()


def test_a_plug_in_that_ends_the_program_is_named_too(table: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, lambda: sys.exit(0))
    with pytest.raises(UserError, match=r"plug-in 'plug' \(plug.module:thing\) failed to load: SystemExit: 0"):
        table.all()


def test_a_plug_in_cannot_replace_a_built_in(table: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, lambda: table.add("built_in", "mine"))
    with pytest.raises(UserError, match="'built_in' is registered twice"):
        table.all()


def missing() -> list[str]:
    raise UserError("it is not installed")


def test_a_name_with_a_sources_prefix_is_made_by_the_source(table: Registry) -> None:
    table.add_source(Source("lib", lambda: ["One", "Two"], lambda name: f"made {name}"))
    assert table.get("lib:Two") == "made Two"
    assert list(table.all()) == ["built_in"]
    assert table.available() == {"built_in": "spec", "lib:One": "made One", "lib:Two": "made Two"}


def test_a_registered_name_with_a_colon_comes_before_a_source(table: Registry) -> None:
    table.add_source(Source("lib", lambda: [], lambda name: f"made {name}"))
    table.add("lib:Mine", "mine")
    assert (table.get("lib:Mine"), table.get("lib:Other")) == ("mine", "made Other")


def test_an_unknown_prefix_suggests_a_near_one_and_is_a_plain_unknown_name_without_sources(table: Registry) -> None:
    with pytest.raises(UserError, match="unknown thing 'libb:One'"):
        table.get("libb:One")
    table.add_source(Source("lib", lambda: [], str))
    with pytest.raises(UserError, match=r"thing 'libb:One': unknown library 'libb'; did you mean 'lib'\?"):
        table.get("libb:One")


def test_a_source_that_cannot_be_had_is_told_only_to_who_asks_for_it(table: Registry) -> None:
    table.add_source(Source("gone", missing, str))
    table.add_source(Source("lib", lambda: ["One"], str))
    for pattern in ("*", "gone", "lib:*"):
        assert list(table.available(pattern)) == ["built_in", "lib:One"]
    with pytest.raises(UserError, match="it is not installed"):
        table.available("gone:*")


def test_a_prefix_can_be_taken_only_once(table: Registry) -> None:
    table.add_source(Source("lib", lambda: [], str))
    with pytest.raises(UserError, match="the prefix 'lib:' of things is registered twice"):
        table.add_source(Source("lib", lambda: [], str))


def test_modules_from_outside_the_package_are_imported_on_first_look_up(
    table: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rcam_fake_plugins_outside.py").write_text(
        "import rcam_fake_plugins as p\np.TABLE.add('outside', 'spec')"
    )
    monkeypatch.setattr(registry_module, "FROM_OUTSIDE", {"rcam.fake.things": ("rcam_fake_plugins_outside",)})
    assert "rcam_fake_plugins_outside" not in sys.modules
    assert table.get("outside") == "spec"


def test_only_keyword_only_parameters_are_options() -> None:
    assert list(keyword_options(wobble)) == ["mask", "count", "share"]


@pytest.mark.parametrize(
    "given, checked",
    [
        ({}, {}),
        ({"mask": "soft"}, {"mask": "soft"}),
        ({"count": "8", "share": 1}, {"count": 8, "share": 1.0}),
        ({"count": None}, {"count": None}),
    ],
)
def test_options_are_coerced_and_not_filled_up_with_defaults(given: dict, checked: dict) -> None:
    assert check_options("x", wobble, given) == checked


@pytest.mark.parametrize(
    "given, message",
    [
        ({"msk": "soft"}, "here: unknown option 'msk'; did you mean 'mask'?"),
        ({"fp": 1}, "here: unknown option 'fp'; known: count, mask, share"),
        ({"mask": "medium"}, "here: option 'mask': Input should be 'hard' or 'soft', not 'medium'"),
        ({"count": 0}, "here: option 'count': Input should be greater than or equal to 1, not 0"),
        ({"share": [1]}, "here: option 'share': Input should be a valid number, not [1]"),
    ],
)
def test_a_wrong_option_is_named(given: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_options("here", wobble, given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "head, options",
    [("from __future__ import annotations\n", "n: int = 3, m: Mask = 'a'"), ("", "n=3, m: Mask = 'a'")],
    ids=["postponed annotations", "no annotation"],
)
def test_a_plug_in_may_postpone_or_leave_out_annotations(head: str, options: str) -> None:
    names: dict = {}
    exec(f"{head}from typing import Literal\nMask = Literal['a', 'b']\ndef f(fp, *, {options}): ...", names)
    assert check_options("x", names["f"], {"n": 4, "m": "b"}) == {"n": 4, "m": "b"}
    with pytest.raises(UserError, match="option 'm'"):
        check_options("x", names["f"], {"m": "c"})


def postponed(source: str) -> Callable[..., Any]:
    """The function `f` of a module with postponed annotations."""
    names: dict[str, Any] = {"__name__": "their_plug_in"}
    exec(f"from __future__ import annotations\nfrom typing import Any\n{source}", names)
    return names["f"]


def test_what_only_a_type_checker_imports_is_not_asked_of_other_parameters() -> None:
    function = postponed("def f(fp: OnlyChecked, *, steps: int = 3) -> Tensor: ...")
    assert keyword_options(function)["steps"].annotation is int
    assert check_options("method 'f'", function, {"steps": "7"}) == {"steps": 7}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f(fp, *, kind: OnlyChecked = None): ...", "the type of option 'kind' cannot be read: NameError: "),
        ("class K: ...\ndef f(fp, *, kind: K = None): ...", "the type of option 'kind' cannot be read: Pydantic"),
    ],
)
def test_an_option_of_a_type_that_cannot_be_read_is_told(source: str, told: str) -> None:
    with pytest.raises(UserError, match=f"^their_plug_in.f: {told}.*; fix the plug-in$"):
        check_options("method 'f'", postponed(source), {})


def test_options_of_callable_objects_and_partial_functions_are_read() -> None:
    source = (
        "from typing import Literal\nclass K:\n  def __call__(self, fp, *, mode: Literal['a', 'b'] = 'a'): ...\nf = K()"
    )
    assert keyword_options(postponed(source))["mode"].annotation == Literal["a", "b"]
    assert keyword_options(functools.partial(postponed("def f(fp, *, n: int = 3): ...")))["n"].annotation is int


def test_an_option_may_be_called_as_pydantic_calls_its_own(recwarn: pytest.WarningsRecorder) -> None:
    function = postponed("def f(fp, *, copy: bool = False): ...")
    assert check_options("method 'f'", function, {"copy": True}) == {"copy": True}
    assert not recwarn.list


def test_decorators_return_the_function_as_it_was() -> None:
    def nothing(fp: object) -> None: ...

    try:
        assert explainer("test-nothing", aliases=("test-none",))(nothing) is nothing
        assert make_method("test-none", {}, "title").title == "title"
    finally:
        del EXPLAINERS._specs["test-nothing"], EXPLAINERS._aliases["test-none"]


def test_make_method_checks_options() -> None:
    assert make_method("reciprocam", {"mask": "gaussian"}, "t").options == {"mask": "gaussian"}
    with pytest.raises(UserError, match="method 'reciprocam': option 'mask'"):
        make_method("reciprocam", {"mask": "gausian"}, "t")
    with pytest.raises(UserError, match="unknown method 'grdcam'; did you mean 'gradcam'"):
        make_method("grdcam", {}, "t")


def named(*names: str) -> list[NamedConfig]:
    return [NamedConfig.model_validate({"name": name}) for name in names]


def test_a_metric_made_of_others_brings_them_along() -> None:
    assert list(make_metrics(named("adcc"))) == ["average_drop", "coherency", "complexity", "adcc"]
    assert list(make_metrics(named("complexity", "adcc"))) == ["complexity", "average_drop", "coherency", "adcc"]
    assert list(make_metrics(named("increase"))) == ["increase"]


@pytest.mark.parametrize("names", [["adcc", "adcc"], ["increase", "adcc", "increase"]])
def test_a_metric_cannot_be_listed_twice(names: list[str]) -> None:
    with pytest.raises(UserError, match="listed twice"):
        make_metrics(named(*names))


@pytest.mark.parametrize("table", [EXPLAINERS, METRICS], ids=["methods", "metrics"])
def test_every_built_in_describes_itself_in_one_line(table: Registry) -> None:
    assert table.all()
    for name, spec in table.all().items():
        assert spec.name == name
        assert (spec.function.__doc__ or "").strip().splitlines()[0]


def test_did_you_mean() -> None:
    assert did_you_mean("methds", ["methods", "metrics"]) == "; did you mean 'methods'?"
    assert did_you_mean("x", ["b", "a"]) == "; known: a, b"
    assert did_you_mean("x", []) == ""
    assert did_you_mean("x", [str(i) * 9 for i in range(31)]) == "; 31 are known"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"share": float("inf")}, "here: option 'share': Input should be a finite number, not inf"),
        ({"count": True}, "here: option 'count': give a number, not true"),
        ({"mask": ["hard"] * 99}, "here: option 'mask': Input should be 'hard' or 'soft', not ['hard', 'hard',"),
    ],
)
def test_infinity_and_truth_are_no_numbers(given: dict, told: str) -> None:
    with pytest.raises(UserError) as caught:
        check_options("here", wobble, given)
    assert str(caught.value).startswith(told)
    assert len(str(caught.value)) < 200
