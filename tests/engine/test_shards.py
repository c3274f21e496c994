"""Shards of a run, in one folder or in several that are merged, end in the tables of a run made whole."""

import json
from pathlib import Path

import pytest
import yaml
from tiny_runs import command, config, contents, copy_of, draw_plain, environment, run, tables, write_environment

from reciprocam_bench.config import Config, dump_config, parse_config
from reciprocam_bench.engine.complete import complete
from reciprocam_bench.engine.merge import merge
from reciprocam_bench.engine.ranks import Rank
from reciprocam_bench.engine.run import Screen
from reciprocam_bench.engine.shards import parse_shard
from reciprocam_bench.errors import UserError
from reciprocam_bench.reporting.report import report
from reciprocam_bench.reporting.summary import write_tables


@pytest.mark.parametrize(("text", "shard"), [("1/1", Rank(0, 1)), ("2/8", Rank(1, 8)), ("8/8", Rank(7, 8))])
def test_a_shard_is_a_number_and_how_many_there_are(text: str, shard: Rank) -> None:
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["", "0/8", "9/8", "1", "1/0", "-1/8", "1/8/2", "a/b", "1.5/2", "1/" + "9" * 50])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^--shard .{0,30}: give a number and how many there are, from 1/8 to 8/8$"):
        parse_shard(text)


def shard(settings: Config, folder: Path, text: str) -> str:
    said: list[str] = []
    screen = Screen(True, said.append)
    complete(settings, folder, fresh=False, screen=screen, summarise=write_tables, shard=parse_shard(text))
    return "\n".join(said)


def merged(folders: list[Path], output: Path) -> str:
    said: list[str] = []
    merge(folders, output, Screen(True, said.append), write_tables)
    return "\n".join(said)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = draw_plain(tmp_path_factory.mktemp("pictures"), 12)
    (root / "004.png").write_bytes(b"no picture")
    return config(root, protocol=["poppi-2021", "recipro-2024"], classes="predicted", maps=1)


@pytest.fixture(scope="module")
def alone(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(settings, folder)
    return folder


@pytest.fixture(scope="module")
def shards(settings: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards in folders of their own."""
    folder = tmp_path_factory.mktemp("shards")
    for number in (1, 2, 3):
        said = shard(settings, folder / f"s{number}", f"{number}/3")
        assert f"shard {number}/3 is judged; 16 images are left to others, or in other folders" in said
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_in_one_folder_end_in_the_tables_of_one_run(
    settings: Config, alone: Path, tmp_path: Path, order: tuple[int, ...]
) -> None:
    for number in order:
        assert not (tmp_path / "run/summary.csv").exists()
        said = shard(settings, tmp_path / "run", f"{number}/3")
    assert said.endswith(f"written to {tmp_path / 'run'}")
    assert tables(tmp_path / "run") == tables(alone)
    assert "so are the others; " in shard(settings, tmp_path / "run", "1/3")
    assert tables(tmp_path / "run") == tables(alone)


@pytest.mark.slow
def test_a_run_goes_on_where_shards_ended(settings: Config, alone: Path, tmp_path: Path) -> None:
    shard(settings, tmp_path / "run", "2/2")
    run(settings, tmp_path / "run")
    assert tables(tmp_path / "run") == tables(alone) and not (tmp_path / "run/parts").exists()


@pytest.mark.slow
def test_merged_shards_are_the_run_made_whole(alone: Path, shards: Path, tmp_path: Path) -> None:
    before = contents(shards)
    assert merged([shards], tmp_path / "whole") == f"3 shards written to {tmp_path / 'whole'}"
    assert tables(tmp_path / "whole") == tables(alone) and contents(shards) == before
    about, first = environment(tmp_path / "whole"), environment(shards / "s1")
    assert len(about["starts"]) == 3 and about["fingerprint"] == first["fingerprint"] and about["finished"]
    assert about["class_names"] == environment(alone)["class_names"] != {}
    assert about["seconds"]["explain"] > first["seconds"].get("explain", 0)
    assert sorted(p.name for p in (tmp_path / "whole/maps").iterdir()) == sorted(
        p.name for p in (alone / "maps").iterdir()
    )
    with pytest.raises(UserError, match="whole holds a run; give --output another folder"):
        merged([shards], tmp_path / "whole")


@pytest.mark.slow
def test_shards_of_a_gpu_are_merged_without_one(alone: Path, shards: Path, tmp_path: Path) -> None:
    there = copy_of(shards, tmp_path / "shards")
    for number in (1, 2, 3):
        path = there / f"s{number}/config.yaml"
        told = yaml.safe_load(path.read_text()) | {"device": "cuda", "precision": "tf32", "compile": True}
        path.write_text(dump_config(parse_config(told, "test")))
        about = environment(there / f"s{number}")
        about["fingerprint"] |= {"device": "some GPU", "precision": "tf32", "compile": True}
        write_environment(there / f"s{number}", about)
    merged([there], tmp_path / "whole")
    assert tables(tmp_path / "whole") == tables(alone)
    assert environment(tmp_path / "whole")["fingerprint"]["precision"] == "tf32"


@pytest.mark.slow
def test_merged_shards_are_timed_by_the_run_itself(settings: Config, shards: Path, tmp_path: Path) -> None:
    there = copy_of(shards, tmp_path / "shards")
    timed = parse_config(settings.model_dump(mode="json") | {"timing": {"repeats": 1, "warmup": 0}}, "test")
    for number in (1, 2, 3):
        (there / f"s{number}/config.yaml").write_text(dump_config(timed))
    done = command("merge", there, "--output", tmp_path / "whole")
    assert done.returncode == 0 and "| gradcam" in done.stdout
    assert "s written to " in done.stderr + done.stdout and "into it times the methods" in done.stderr + done.stdout
    assert not environment(tmp_path / "whole").get("finished") and environment(tmp_path / "whole")["seconds"]
    assert "the run is not finished" in report(tmp_path / "whole", "markdown")
    run(timed, tmp_path / "whole")
    assert (tmp_path / "whole/timing.csv").is_file() and environment(tmp_path / "whole")["finished"]


@pytest.mark.slow
def test_a_missing_shard_is_told_and_nothing_is_left(shards: Path, tmp_path: Path) -> None:
    told = r"8 images are judged in none of the 2 folders \(0\d\d\.png under poppi-2021 first\); run the shards"
    with pytest.raises(UserError, match=told):
        merged([shards / "s1", shards / "s3"], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    ["shutil.copyfile", "reciprocam_bench.engine.merge.open_run", "reciprocam_bench.engine.steps.put_together"],
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_merge_that_is_stopped_leaves_nothing_and_begins_anew(
    alone: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    def stopped(*given: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(broken, stopped)
        with pytest.raises(type(error)):
            merged([shards], tmp_path / "whole")
    left = tmp_path / "whole"
    assert not left.exists() or not list(left.iterdir())
    merged([shards], left)
    assert tables(left) == tables(alone)


@pytest.mark.slow
def test_shards_of_different_runs_are_not_merged(settings: Config, shards: Path, tmp_path: Path) -> None:
    other = settings.model_copy(update={"seed": 1})
    shard(other, tmp_path / "other", "1/3")
    with pytest.raises(UserError, match=r"s1 and .*other are not of one config; merge the shards of one run"):
        merged([shards / "s1", tmp_path / "other"], tmp_path / "whole")
    shard(settings, tmp_path / "same", "1/3")
    content = environment(tmp_path / "same")
    content["fingerprint"]["torch"] = "1.0"
    write_environment(tmp_path / "same", content)
    with pytest.raises(UserError, match=r"different conditions \(torch: .* and 1\.0\); run one of them again"):
        merged([shards / "s1", tmp_path / "same"], tmp_path / "whole")
    content = json.loads((shards / "s2/environment.json").read_text())
    content["definitions"]["metrics"]["adcc"]["title"] = "Other"
    write_environment(tmp_path / "same", content)
    with pytest.raises(UserError, match="define their metrics differently"):
        merged([shards / "s1", tmp_path / "same"], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_runs_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"{name} holds no run; give the folders that the shards were written to"):
        merged([tmp_path / name], tmp_path / "whole")
