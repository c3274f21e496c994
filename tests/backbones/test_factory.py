"""Networks of one's own, made by a function that the config names."""

import hashlib
import sys

import pytest
import timm
import torch

import reciprocam_bench as rb
from reciprocam_bench.backbones.factory import load_factory
from reciprocam_bench.config import parse_config

pytestmark = pytest.mark.slow

CODE = """
import timm
from torch import nn

def make(width=8, classes=5):
    layers = [nn.Conv2d(3, width, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, classes))

def of_timm():
    return timm.create_model("test_resnet", num_classes=3)

def lazy():
    from {name}_too import make
    return make()

def fails():
    raise ValueError("no such\\nthing")

def nothing():
    return {{"net": 1}}

number = 3
"""


@pytest.fixture
def place(tmp_path, monkeypatch, request):
    """A working folder with a module of the test's own name, which is no longer importable behind it."""
    name = "nets_" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    (tmp_path / f"{name}.py").write_text(CODE.format(name=name))
    (tmp_path / f"{name}_too.py").write_text(CODE.format(name=name))
    monkeypatch.chdir(tmp_path)
    yield name
    for module in [m for m in sys.modules if m.startswith(name)]:
        del sys.modules[module]


def load(factory: str, **options):
    return load_factory(factory, image_size=32, **options)


def message_of(factory: str, **options) -> str:
    with pytest.raises(rb.UserError) as error:
        load(factory, **options)
    assert str(error.value).isprintable()
    return str(error.value)


def test_a_function_of_the_working_folder_makes_the_network(place):
    path = list(sys.path)
    backbone = load(f"{place}:make", options={"width": 6})
    assert (backbone.name, backbone.layer, backbone.feature_shape) == (f"{place}:make", "1", (6, 8, 8))
    assert backbone.weights["source"] == f"{place}:make"
    assert len(backbone.weights["sha256"]) == 64
    assert sys.path == path
    assert load(f"{place}:lazy", model="mine").name == "mine"


def test_other_weights_have_another_record(place):
    torch.manual_seed(0)
    first = load(f"{place}:make").weights["sha256"]
    second = load(f"{place}:make").weights["sha256"]
    torch.manual_seed(0)
    assert first != second
    assert load(f"{place}:make", weights="none").weights["sha256"] == first


def test_a_weights_file_is_loaded_strictly(place, tmp_path):
    net = timm.create_model("test_resnet", num_classes=3)
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    backbone = load(f"{place}:of_timm", weights="mine.pth")
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(backbone(images), net.eval()(images).detach(), rtol=0, atol=1e-4)
    assert (backbone.weights["source"], backbone.weights["factory"]) == ("mine.pth", f"{place}:of_timm")
    words = f"mine.pth: these are not the weights of {place}:make"
    assert words in message_of(f"{place}:make", weights="mine.pth")
    assert "weights file other.pth does not exist" in message_of(f"{place}:make", weights="other.pth")


def test_a_network_of_timms_brings_its_preprocessing(place):
    backbone = load_factory(f"{place}:of_timm")
    assert backbone.preprocessing == rb.load_backbone("timm/test_resnet", weights="none").preprocessing
    assert backbone.preprocessing.crop != 224


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("make", "'make' must be written package.module:function"),
        (":make", "':make' must be written package.module:function"),
        ("{}:", "must be written package.module:function"),
        ("{}:mak", "has no function 'mak'; did you mean 'make'?"),
        ("{}:number", "has no function 'number'"),
        ("no_such_{}:make", "there is no module 'no_such_{}' in the working folder or among the installed ones"),
        ("{}.deeper:make", "there is no module '{}.deeper'"),
        ("{}:fails", "backbone.factory: {}:fails failed with no options: ValueError: no such thing"),
        ("{}:nothing", "{}:nothing must return a torch.nn.Module; it returned a dict"),
    ],
)
def test_a_function_that_makes_no_network_is_named(place, factory, words):
    assert words.format(place) in message_of(factory.format(place))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_thing", "importing '{}_bad' failed: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("def make(:", "importing '{}_bad' failed: SyntaxError: "),
        ("1 / 0", "importing '{}_bad' failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_from_an_absent_one(place, tmp_path, code, words):
    (tmp_path / f"{place}_bad.py").write_text(code)
    path = list(sys.path)
    assert words.format(place) in message_of(f"{place}_bad:make")
    assert sys.path == path


def test_options_the_function_does_not_take_are_named(place):
    words = f"{place}:make failed with depth=3: TypeError: make() got an unexpected keyword argument 'depth'"
    assert words in message_of(f"{place}:make", options={"depth": 3})


def config(**backbone):
    data = {"backbone": backbone, "dataset": {"name": "samples"}, "methods": ["gradcam"]}
    return parse_config(data, "c.yaml").backbone


def test_the_factory_names_the_model_where_no_name_is_given():
    assert config(factory="a.b:c").model == "a.b:c"
    assert config(factory="a.b:c", model="mine").model == "mine"


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        ({}, "c.yaml: 'backbone.model' is missing"),
        ({"options": {"a": 1}}, "c.yaml: 'backbone.model' is missing"),
        ({"model": "timm/x", "options": {"a": 1}}, "c.yaml: backbone: options are the factory's; set backbone.fac"),
        ({"factory": "a:b", "num_classes": 3}, "c.yaml: backbone: num_classes is for models of a library; give it"),
        ({"model": "onnx:m.onnx", "num_classes": 3}, "num_classes is for models of a library; an ONNX file has its"),
        ({"factory": 3}, "c.yaml: 'backbone.model' is missing"),
    ],
)
def test_a_config_says_which_keys_go_together(backbone, words):
    with pytest.raises(rb.UserError) as error:
        config(**backbone)
    assert words in str(error.value)


def test_a_run_takes_the_factorys_network(place, capsys):
    from reciprocam_bench.engine.experiment import set_up

    data = {"backbone": {"factory": f"{place}:make", "options": {"classes": 7}, "model": "mine"}}
    experiment = set_up(parse_config(data | {"dataset": {"name": "samples"}, "methods": ["gradcam"]}, "c.yaml"))
    assert (experiment.backbone.name, experiment.backbone.num_classes) == ("mine", 7)
    assert experiment.backbone.feature_shape == (8, 56, 56)
