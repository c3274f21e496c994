"""Which classes can be run, which are refused and why, and a library that is not there."""

import subprocess
import sys
from pathlib import Path

import pytest

import reciprocam_bench as rb
from reciprocam_bench.cli import main
from reciprocam_bench.explainers.registry import EXPLAINERS, make_method
from reciprocam_bench.peers.libraries import LIBRARIES
from reciprocam_bench.peers.methods import _first_sentence

pytestmark = pytest.mark.slow

REFUSED = [f"{library.prefix}:{name}" for library in LIBRARIES.values() for name in library.refused]


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_cannot_be_run_is_refused_in_one_line(name):
    pytest.importorskip(LIBRARIES[name.partition(":")[0]].module)
    with pytest.raises(rb.UserError) as error:
        make_method(name, {}, name)
    assert str(error.value).startswith(f"method '{name}' cannot be run: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("prefix", list(LIBRARIES))
def test_what_is_said_of_a_class_is_not_out_of_date(prefix):
    library = LIBRARIES[prefix]
    pytest.importorskip(library.module)
    assert set(library.refused) <= set(library._public())
    assert library.class_blind | library.random | library.fuses_layers <= set(library.classes())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("torchcams:ScoreCAM", {}, "unknown library 'torchcams'; did you mean 'torchcam'?"),
        ("zzz:ScoreCAM", {}, "unknown library 'zzz'; known: captum, gradcam, torchcam"),
        (
            "torchcam:ScorCAM",
            {},
            "has no method 'ScorCAM'; did you mean 'ScoreCAM'? (rcam-bench ls methods 'torchcam:*",
        ),
        ("torchcam:_CAM", {}, "has no method '_CAM'"),
        ("torchcam:", {}, "has no method ''"),
        ("captum:Summarizer", {}, "has no method 'Summarizer'"),
        ("torchcam:ScoreCAM", {"batchsize": 2}, "unknown option 'batchsize'; did you mean 'batch_size'?"),
        (
            "torchcam:ScoreCAM",
            {"batch_size": "many"},
            "method 'torchcam:ScoreCAM': option 'batch_size': Input should be",
        ),
        ("torchcam:ScoreCAM", {"model": 2}, "unknown option 'model'"),
        ("gradcam:GradCAM", {"eigen_smooth": "perhaps"}, "option 'eigen_smooth'"),
        ("captum:Occlusion", {}, "method 'captum:Occlusion': option 'sliding_window_shapes' is missing"),
        ("captum:FeatureAblation", {}, "option 'feature_mask' is missing"),
        ("captum:FeatureAblation", {"feature_mask": 0}, "option 'feature_mask': Input should be greater than or equal"),
        ("captum:GradientShap", {}, "option 'baselines' is missing"),
        ("captum:NoiseTunnel", {}, "option 'attribution_method' is missing"),
    ],
)
def test_names_and_options_that_do_not_fit_are_answered_before_a_network_is_loaded(name, options, words):
    for library in LIBRARIES.values():
        pytest.importorskip(library.module)
    with pytest.raises(rb.UserError) as error:
        make_method(name, options, name)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_library_that_is_not_installed_breaks_nothing(monkeypatch):
    for module in ("torchcam", "torchcam.methods"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(rb.UserError) as error:
        make_method("torchcam:GradCAM", {}, "t")
    assert str(error.value) == ("methods 'torchcam:...' need torchcam, which is not installed; pip install torchcam")
    assert not [name for name in EXPLAINERS.available() if name.startswith("torchcam:")]
    with pytest.raises(rb.UserError, match="need torchcam, which is not installed"):
        EXPLAINERS.available("torchcam:*")
    assert make_method("gradcam", {}, "gradcam").title == "gradcam"


def ls(monkeypatch, pattern: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rcam-bench", "ls", "methods", pattern])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_ls_says_what_to_install_where_a_library_is_asked_for_that_is_not_there(monkeypatch, capsys):
    for module in ("torchcam", "torchcam.methods"):
        monkeypatch.setitem(sys.modules, module, None)
    assert ls(monkeypatch, "torchcam:*") == 2
    said = capsys.readouterr().err
    assert "torchcam, which is not installed; pip install torchcam\n" in said and said.count("\n") == 1
    assert ls(monkeypatch, "gradcam") == 0, "who does not ask for it is not told"


@pytest.mark.parametrize("prefix", list(LIBRARIES))
def test_ls_gives_each_class_a_whole_sentence_and_its_options(prefix, monkeypatch, capsys):
    pytest.importorskip(LIBRARIES[prefix].module)
    assert ls(monkeypatch, f"{prefix}:*") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(LIBRARIES[prefix].classes())
    for line in lines:
        assert line.startswith(f"{prefix}:") and line.endswith(".")
        assert not [cut for cut in ("[...]", "…", "http", "](") if cut in line], line
    assert sum(" Options: " in line for line in lines) > len(lines) / 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Does one thing. Then another.\n\nMore.", "Does one thing."),
        ("Does one\n    thing", "Does one thing."),
        ('As in ["A paper: with\n  a title"](https://a.b/c.pdf).\n\nMore', 'As in "A paper: with a title".'),
        ("After Someone, et. al. and others. Then more.", "After Someone, et. al. and others."),
        ("After a paper: https://a.b/c.pdf\n\nMore.", "After a paper."),
        ("", "Explains."),
        (None, "Explains."),
    ],
)
def test_the_first_sentence_is_whole(text, sentence):
    assert _first_sentence(type("Explains", (), {"__doc__": text})) == sentence


def test_explainers_do_not_know_peers_and_peers_do_not_import_their_libraries():
    package = Path(rb.__file__).parent
    assert not [f.name for f in (package / "explainers").rglob("*.py") if "peers" in f.read_text(encoding="utf-8")]
    code = """
import sys
from reciprocam_bench.explainers.registry import EXPLAINERS
assert not [m for m in sys.modules if m.startswith("reciprocam_bench.peers")], "explainers import peers"
EXPLAINERS.all()
assert "reciprocam_bench.peers.methods" in sys.modules
assert not {"torchcam", "pytorch_grad_cam", "captum"} & set(sys.modules), "a library was imported unasked"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
