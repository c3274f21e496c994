"""Precision and compile in a config: what is refused, recorded, said and kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import FORKED
from tiny_runs import METRICS, config, counted, environment, run, set_up_once, table, time_only, write_environment
from torch import Tensor

import reciprocam_bench as rb
from reciprocam_bench.backbones.arithmetic import Arithmetic, allow_tf32
from reciprocam_bench.engine import against_float32 as module
from reciprocam_bench.engine import timing_processes
from reciprocam_bench.engine.environment import set_up_torch
from reciprocam_bench.engine.experiment import set_up
from reciprocam_bench.engine.subject import Asked, set_up_subject
from reciprocam_bench.engine.timing_processes import started
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.explainers.registry import make_method

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("key", "value", "known"), [("precision", "half", "'float32', 'tf32'"), ("compile", 3, "bool")]
)
def test_a_config_that_asks_for_something_else_is_refused(tmp_path: Path, key: str, value: object, known: str) -> None:
    with pytest.raises(UserError, match=f"test: {key}: .*{known}"):
        config(tmp_path, **{key: value})


def test_tf32_without_cuda_would_be_float32_and_is_refused(tmp_path: Path) -> None:
    try:
        with pytest.raises(UserError, match=r"^precision: tf32 is only there on CUDA, and would be float32 on cpu"):
            set_up_torch(config(tmp_path, precision="tf32"))
    finally:
        allow_tf32(False)


def test_the_difference_to_float32_is_recorded_said_once_and_kept(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = counted(monkeypatch, module, "_compared")
    settings = {"precision": "bfloat16", "methods": ["gradcam", "reciprocam"], "batch_size": 4}
    said = run(config(pictures, limit=4, **settings), tmp_path / "run")
    assert "bfloat16 against float32 on the first 4 images: maps by up to" in said
    facts = environment(tmp_path / "run")
    assert (facts["precision"], facts["tf32"], facts["compile"]) == ("bfloat16", False, False)
    assert facts["fingerprint"]["precision"] == "bfloat16"
    found = facts["against_float32"]
    assert (found["images"], found["trials"], found["protocol"]) == (4, 4, "poppi-2021")
    assert set(found["methods"]) == {"gradcam", "reciprocam"}

    run(config(pictures, limit=4, methods=settings["methods"], batch_size=4), tmp_path / "plain")
    other, plain = table(tmp_path / "run"), table(tmp_path / "plain")
    assert other["predicted"].equals(plain["predicted"]), "the differences below are of the same classes"
    for method, of in found["methods"].items():
        assert 0 < of["map"] < 0.2 and set(of["metrics"]) == set(METRICS)
        mine, theirs = (t[t["method"] == method][METRICS] for t in (other, plain))
        gaps = (mine - theirs).abs().max()
        assert np.allclose([of["metrics"][m] for m in METRICS], gaps, rtol=0.01, atol=1e-6), method
    assert "against_float32" not in environment(tmp_path / "plain")

    assert "against float32" not in run(config(pictures, **settings), tmp_path / "run")
    assert len(compared) == 1 and environment(tmp_path / "run")["against_float32"] == found


def test_timing_alone_records_it_as_well(pictures: Path, tmp_path: Path) -> None:
    timing = {"repeats": 1, "warmup": 0}
    time_only(config(pictures, precision="bfloat16", metrics=["complexity"], timing=timing), tmp_path / "run")
    found = environment(tmp_path / "run")["against_float32"]["methods"]
    assert set(found) == {"gradcam", "reciprocam"} and set(found["gradcam"]["metrics"]) == {"complexity"}


def test_explain_computes_so_too() -> None:
    values = {"backbone.weights": "none", "device": "cpu"}
    asked = Asked(None, "timm/test_resnet", None, ("gradcam",), (), values, ("precision=bfloat16",))
    assert set_up_subject(asked).backbone.arithmetic.precision == "bfloat16"


def test_other_libraries_run_the_plain_network_and_their_rows_say_so(tiny: rb.Backbone) -> None:
    implementation = make_method("torchcam:ScoreCAM", {}, "peer", tiny).spec.implementation
    version = implementation(tiny, {})
    for arithmetic, said in (("float32", version), ("tf32", version), ("float16", f"{version}, float32")):
        assert implementation(replace(tiny, arithmetic=Arithmetic(arithmetic)), {}) == said


def test_other_processes_time_in_the_same_arithmetic(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing_processes.multiprocessing, "get_context", lambda of: FORKED)
    settings = config(pictures, precision="float16", timing={"repeats": 1, "warmup": 0}, methods=["gradcam"])
    experiment = set_up(settings)
    asked: list[int] = []
    with started(settings, 1, experiment.timed, {1: torch.zeros(1, 3, 64, 64)}, asked.append, {}) as others:
        assert {call.method for call in others[0].block(0, range(1))} == {"forward", "gradcam"}
    assert asked == [1]


def test_a_method_that_fails_is_left_out_and_one_that_loses_its_map_is_told(
    pictures: Path, tmp_path: Path, method: Callable[..., str]
) -> None:
    def fails(fp: ForwardPass) -> Tensor:
        raise RuntimeError("no kernel")

    def lost(fp: ForwardPass) -> Tensor:
        return fp.features.mean(1) * (1 if fp.backbone.arithmetic.precision == "float32" else torch.nan)

    names = [method("test-fails-16", fails), method("test-lost-16", lost), "gradcam"]
    said = run(config(pictures, precision="bfloat16", methods=names, metrics=["complexity"]), tmp_path / "run")
    found = environment(tmp_path / "run")["against_float32"]["methods"]
    assert set(found) == {"test-lost-16", "gradcam"}
    assert found["test-lost-16"]["other_status"] == 2 and found["test-lost-16"]["map"] is None
    assert "constant or NaN maps in one alone (test-lost-16)" in said


def test_another_precision_is_another_run(pictures: Path, tmp_path: Path) -> None:
    run(config(pictures, limit=2), tmp_path / "run")
    with pytest.raises(UserError, match=r"another config \(precision was float32, is bfloat16\)"):
        run(config(pictures, limit=2, precision="bfloat16"), tmp_path / "run")


def test_folders_of_before_are_float32_and_go_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_once(monkeypatch)
    folder = tmp_path / "run"
    run(config(pictures, limit=2), folder)
    facts = environment(folder)
    for key in ("precision", "compile"):
        del facts["fingerprint"][key]
    write_environment(folder, facts)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("precision: float32\ncompile: false\n", ""))
    assert "precision" not in (folder / "config.yaml").read_text()
    run(config(pictures, limit=4), folder)
    run(config(pictures, limit=4), tmp_path / "whole")
    assert (folder / "per_image.csv").read_bytes() == (tmp_path / "whole" / "per_image.csv").read_bytes()


def test_a_compiled_run_gives_the_same_rows(pictures: Path, tmp_path: Path) -> None:
    said = run(config(pictures, limit=2, methods=["reciprocam"], compile=True), tmp_path / "run")
    assert "float32, compiled, against float32" in said
    run(config(pictures, limit=2, methods=["reciprocam"]), tmp_path / "plain")
    mine, theirs = (table(tmp_path / name)[METRICS] for name in ("run", "plain"))
    assert np.allclose(mine, theirs, atol=1e-3, equal_nan=True)
    facts = environment(tmp_path / "run")
    assert facts["compile"] is True and facts["fingerprint"]["compile"] is True
    assert all(of["map"] < 1e-3 for of in facts["against_float32"]["methods"].values())
