"""The comparison with other libraries, on a tiny network: the same maps, ratios of the calls, pages that add up."""

import json
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from load_script import load_script
from torch import nn


@pytest.fixture
def script() -> ModuleType:
    return load_script("compare_peers")


def words(pictures: Path, output: Path, *more: str) -> list[str]:
    sizes = ["--count", "2", "--batch-size", "2", "--threads", "1", "--repeats", "2"]
    network = ["--model", "timm/test_resnet", "--weights", "none"]
    return [*network, "--images", str(pictures), "--output", str(output), *sizes, *more]


@pytest.mark.slow
def test_the_libraries_maps_are_ours_and_the_page_is_of_the_rows(script, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("peer_comparison.groups._SIZES", (1, 2))  # batches of 64 take as long as all the rest
    script.main(words(pictures, tmp_path, "--groups", "maps", "score_cams"))
    table = pd.read_csv(tmp_path / "comparison.csv").set_index("contender")
    calls = pd.read_csv(tmp_path / "calls.csv")
    assert (calls.groupby("contender").size() == 2).all() and set(calls["contender"]) == set(table.index)
    assert (table["ratio"] > 0).all() and (table["peak_memory_mb"] > 0).all()
    same = ["torch-cam GradCAM", "torch-cam LayerCAM", "grad-cam HiResCAM", "captum LayerGradCam"]
    same += [
        "authors' Recipro-CAM, hook",
        "authors' Recipro-CAM, two halves",
        "torch-cam ScoreCAM",
        "grad-cam ScoreCAM",
    ]
    assert table.loc[same, "largest_difference"].max() < 1e-3
    ours = calls[calls["contender"] == "gradcam"].set_index("round")["ms"]
    theirs = calls[calls["contender"] == "captum LayerGradCam"].set_index("round")["ms"]
    expected = ((ours / theirs).prod()) ** 0.5
    assert table.loc["captum LayerGradCam", "ours_to_theirs"] == pytest.approx(expected, rel=1e-4)
    page = (tmp_path / "README.md").read_text()
    assert page.count("\n## timm/test_resnet, 1 thread: ") == 2 and all(f"| {title} " in page for title in table.index)


@pytest.mark.slow
def test_whole_jobs_come_to_the_same_adcc_and_join_what_was_measured_before(script, pictures, tmp_path):
    for group in ("recipro_adcc", "four_methods", "recipro_adcc"):
        script.main(words(pictures, tmp_path, "--groups", group))
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert list(table["group"].unique()) == ["four_methods", "recipro_adcc"], "measured again, replaced"
    loops = table[table["contender"].str.startswith("authors' loop")]
    assert len(loops) == 2 and loops["largest_difference"].max() < 1e-4
    about = json.loads((tmp_path / "environment.json").read_text())
    assert [a["group"] for a in about] == ["four_methods", "recipro_adcc"]
    assert about[0]["images"] == 2 and about[0]["threads"] == 1 and about[0]["packages"]["captum"]


@pytest.mark.slow
def test_the_three_loops_of_recipro_cam_give_one_map(script, tiny_net, tiny, images):
    from peer_comparison import authors

    layer = tiny_net.stem
    image = images[:1]
    halves = authors.in_two_halves(tiny.features, tiny.head)(image, 3)
    whole = authors.position_by_position(tiny_net, layer)(image, 3)
    layer._forward_hooks.clear()
    hooked = authors.hooked(tiny_net, layer)(image, 3)
    assert halves.shape == (4, 4) and halves.min() == 0 and halves.max() == 1
    torch.testing.assert_close(whole, halves, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(hooked, halves, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_hook_on_a_relu_that_runs_again_keeps_the_original_map(script):
    from peer_comparison import authors

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU()

        def forward(self, x):
            return self.relu(self.two(self.relu(self.one(x))))

    torch.manual_seed(0)
    block, head = Block(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    block.two.bias.data.fill_(2.0)  # so that no map is blank: a constant one is NaN there
    image = torch.randn(1, 3, 3, 3)
    halves = authors.in_two_halves(block, head)(image, 1)
    hooked = authors.hooked(nn.Sequential(block, head), block)(image, 1)
    torch.testing.assert_close(hooked, halves, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [(["--threads", "0"], "--threads: give numbers from 1"), (["--count", "99"], "pictures there; 99 are needed")],
)
def test_mistakes_are_one_line(script, pictures, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as end:
        script.main(words(pictures, tmp_path, *more))
    assert end.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "README.md").exists()
