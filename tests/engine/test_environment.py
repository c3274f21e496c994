"""What a run records of the machine, and the device it takes."""

import platform
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import reciprocam_bench as rb
from reciprocam_bench.config import Config, parse_config
from reciprocam_bench.engine import environment
from reciprocam_bench.errors import UserError


def config(**changes: object) -> Config:
    needed = {"backbone": {"model": "timm/x"}, "dataset": {"name": "samples"}, "methods": ["gradcam"]}
    return parse_config({**needed, **changes}, "test")


@pytest.mark.parametrize(
    "cuda, mps, chosen", [(False, False, "cpu"), (True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")]
)
def test_auto_takes_the_best_device_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert environment.choose_device("auto").type == chosen
    assert environment.choose_device("cpu").type == "cpu"


def test_auto_takes_the_cpu_for_an_onnx_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    onnx, other = {"model": "onnx:x.onnx"}, {"model": "onnx:x.onnx", "factory": "nets:make"}
    assert environment.set_up_torch(config(backbone=onnx, threads=1)).type == "cpu"
    assert environment.set_up_torch(config(backbone=onnx, threads=1, device="cuda")).type == "cuda"
    assert environment.set_up_torch(config(backbone=other, threads=1)).type == "cuda"


@pytest.mark.parametrize("name", ["cuda", "mps", "gpu", ""])
def test_a_device_that_is_not_there_is_a_mistake(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"^device '{name}' is not available here; use --device cpu$"):
        environment.choose_device(name)


def test_set_up_seeds_torch_sets_threads_and_refuses_reduced_precision() -> None:
    torch.backends.cudnn.allow_tf32 = True
    drawn = []
    for seed in (3, 3, 4):
        assert environment.set_up_torch(config(seed=seed, threads=1, device="cpu")).type == "cpu"
        drawn.append(float(torch.rand(1)))
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.get_num_threads() == 1
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("seed", [10**30, -(10**30)])
def test_a_seed_torch_cannot_hold_is_a_mistake(seed: int) -> None:
    with pytest.raises(UserError, match="seed"):
        environment.set_up_torch(config(seed=seed, device="cpu"))


def test_description_holds_what_a_reader_needs_to_repeat_the_run(tiny: rb.Backbone) -> None:
    content = environment.describe(config(seed=5), tiny)
    assert content["rcam-bench"] == rb.__version__
    assert content["packages"]["torch"] == version("torch")
    assert content["precision"] == "float32"
    assert (content["seed"], content["threads"]) == (5, torch.get_num_threads())
    assert content["device"].startswith("cpu")
    assert content["backbone"]["feature_shape"] == [8, 4, 4]
    assert content["backbone"]["layer"] == tiny.layer
    assert content["backbone"]["linear_head"] is True
    assert {"commit", "python", "platform", "cpu_cores", "tf32"} <= set(content)


def test_deterministic_is_torchs_own_switch_and_recorded(tiny: rb.Backbone) -> None:
    settings = config(deterministic=True, device="cpu", threads=1)
    assert not environment.describe(settings, tiny)["deterministic"]
    try:
        environment.set_up_torch(settings)
        assert torch.are_deterministic_algorithms_enabled()
        assert environment.describe(settings, tiny)["deterministic"]
    finally:
        torch.use_deterministic_algorithms(False)


def test_fingerprint_changes_with_weights_and_threads_only(tiny: rb.Backbone) -> None:
    first = environment.fingerprint(replace(tiny, weights={"source": "a.pth", "sha256": "1"}))
    assert first == environment.fingerprint(replace(tiny, weights={"source": "copy of a.pth", "sha256": "1"}))
    other = environment.fingerprint(replace(tiny, weights={"source": "a.pth", "sha256": "2"}))
    assert {key for key in first if first[key] != other[key]} == {"weights"}
    torch.set_num_threads(1 if torch.get_num_threads() > 1 else 2)
    assert environment.fingerprint(tiny)["threads"] != first["threads"]


def test_commit_is_that_of_the_clone_and_says_when_it_was_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "package" / "engine" / "environment.py"))
    assert environment.git_commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "a").write_text("1")
    for words in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert environment.git_commit() == head
    (tmp_path / "a").write_text("2")
    assert environment.git_commit() == f"{head}+changes"


def test_a_long_run_is_of_the_commit_that_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.commit_at_start.cache_clear()
    monkeypatch.setattr(environment, "git_commit", lambda: "first")
    assert environment.commit_at_start() == "first"
    monkeypatch.setattr(environment, "git_commit", lambda: "second")
    assert environment.commit_at_start() == "first"
    environment.commit_at_start.cache_clear()


def test_commit_is_none_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "package" / "engine" / "environment.py"))
    assert environment.git_commit() is None
    monkeypatch.setenv("PATH", "")
    assert environment.git_commit() is None


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (
            "model name\t: AMD EPYC\ncpu family\t: 26\nmodel\t\t: 2\n\nmodel name\t: other\n",
            "AMD EPYC (family 26, model 2)",
        ),
        ("model name\t: One\n", "One"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", platform.processor() or platform.machine()),
    ],
)
def test_a_processor_is_named_with_what_tells_it_from_others_of_its_name(
    told: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: told)
    assert environment.device_name(torch.device("cpu")) == f"cpu: {name}"
