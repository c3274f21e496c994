"""Label files in every format in use, and the line each mistake is on."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from reciprocam_bench.datasets.labels import DEVKIT_TRUTH, find_label, read_label_file
from reciprocam_bench.errors import UserError


def read(folder: Path, content: str | bytes, name: str = "labels.txt") -> dict[str, int]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_label_file(str(path))


def mistake(folder: Path, content: str | bytes, name: str = "labels.txt") -> str:
    with pytest.raises(UserError) as caught:
        read(folder, content, name)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def write_meta(folder: Path, wnids: list[str]) -> None:
    synsets = np.zeros(len(wnids), dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")])
    for i, wnid in enumerate(wnids):
        synsets[i] = (i + 1, wnid, "a thing")
    savemat(folder / "meta.mat", {"synsets": synsets})


@pytest.mark.parametrize("heading", ["", "image{0}label\n"])
@pytest.mark.parametrize("separator", [" ", ",", "\t", ";", ", "])
@pytest.mark.parametrize("label", ["n02099601", "207"])
def test_two_columns(tmp_path: Path, heading: str, separator: str, label: str) -> None:
    content = heading.format(separator) + f"one.JPEG{separator}{label}\nsub/two{separator}0\n"
    assert {"one": 207, "sub/two": 0}.items() <= read(tmp_path, content).items()


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("ward 3/001.png", 1),
        ("x/ward 3/001.png", 1),  # the file may say less than the whole path
        ("ward 3/001.jpg", 1),
        ("ward 4/001.png", None),  # another image of the same name
        ("001.png", None),  # two labels are of such an image
        ("002.png", 3),  # the root may be a folder that the file writes
        ("ward 4/002.png", None),
        ("anywhere/003.png", 4),
    ],
)
def test_a_label_is_of_the_image_in_its_folder(tmp_path: Path, image: str, label: int | None) -> None:
    labels = read(tmp_path, "ward 3/001.png,1\nward 5/001.png,2\nward 3/002.png,3\n003.png,4\n")
    assert find_label(labels, image) == label


def test_a_network_of_ones_own_may_have_more_classes(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.png 1500\n")
    assert read_label_file(str(tmp_path / "l.txt"), 10_000)["a"] == 1500
    with pytest.raises(UserError, match="'1500' is neither a wnid nor a class index 0 to 1499"):
        read_label_file(str(tmp_path / "l.txt"), 1500)


def test_kaggle_solution_file(tmp_path: Path) -> None:
    content = "ImageId,PredictionString\nILSVRC2012_val_00000007,n02099601 1 2 3 4 n02099601 5 6 7 8 \n"
    assert read(tmp_path, content, "LOC_val_solution.csv")["ILSVRC2012_val_00000007"] == 207


def test_more_columns_take_the_first_that_reads_as_a_class(tmp_path: Path) -> None:
    assert read(tmp_path, "file,name,wnid\na.png,golden retriever,n02099601\n")["a"] == 207


def test_one_column_of_indices_is_in_the_order_of_the_validation_images(tmp_path: Path) -> None:
    assert read(tmp_path, "65\n970\n") == {"ILSVRC2012_val_00000001": 65, "ILSVRC2012_val_00000002": 970}


def test_byte_order_mark_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    assert {"a": 1, "b": 2}.items() <= read(tmp_path, b"\xef\xbb\xbfa.png 1\r\n\r\nb.png 2\r\n\r\n").items()


@pytest.mark.parametrize("separator", ["\t", ";", " ; ", "\t\t"])
def test_names_may_hold_spaces_where_tabs_or_semicolons_part_the_columns(tmp_path: Path, separator: str) -> None:
    assert read(tmp_path, f"ward 3/001.png{separator}1\n")["ward 3/001.png"] == 1


@pytest.mark.parametrize(
    "content", ["a.png 3\tgoldfish\nb.png\t4\n", "a.png 3;\nb.png 4;\n", "a.png 3\tgold fish\nb.png 4\tx\n"]
)
def test_what_follows_a_label_is_no_matter(tmp_path: Path, content: str) -> None:
    assert {"a.png": 3, "b.png": 4}.items() <= read(tmp_path, content).items()


def test_csv_with_quotes_and_spaces_in_names(tmp_path: Path) -> None:
    assert read(tmp_path, 'image,label\n"my, photo 1.png",3\n')["my, photo 1"] == 3


@pytest.mark.parametrize(
    "content, message",
    [
        ("a.png 1\nb.png cat\n", "labels.txt, line 2: 'cat' is neither a wnid nor a class index 0 to 999"),
        ("a.png 1\nb.png 1000\n", "labels.txt, line 2: '1000' is neither"),
        ("a.png 1\nb.png -1\n", "labels.txt, line 2: '-1' is neither"),
        ("a.png 1\nb.png n99999999\n", "labels.txt, line 2: 'n99999999' is neither"),
        ("a.png 1\nb.png ²\n", "labels.txt, line 2: '²' is neither"),
        ("a.png 1\nb.png\n", "labels.txt, line 2: write 'image label'; found 'b.png'"),
        ("a.png 1000\nb.png 1\n", "labels.txt, line 1: '1000' is neither"),
        ("a.png 1\n\n\nb.png cat\n", "labels.txt, line 4: 'cat' is neither"),
        ("65\n1000\n", "labels.txt, line 2: 1000 is no class index 0 to 999; the devkit's own numbers need"),
        ("65\n\n1000\n", "labels.txt, line 3: 1000 is no class index"),
        ("a.png 1\nb.png 2\na.png 3\n", "labels.txt, line 3: 'a.png' is of class 3 here, of 1 before"),
        ("", "label file labels.txt is empty"),
        ("\n \n", "label file labels.txt is empty"),
        (b"\xff\xfea\x00", "label file labels.txt cannot be read"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert mistake(tmp_path, content).startswith(message)


def test_a_label_file_that_is_missing_a_folder_or_a_pipe(tmp_path: Path, make_pipe) -> None:
    make_pipe(tmp_path / "pipe")
    for path, reason in ((tmp_path / "no", "does not exist"), (tmp_path, "is a fol"), (tmp_path / "pipe", "is no reg")):
        with pytest.raises(UserError, match=f"^label file {path} {reason}.*; correct the path$"):
            read_label_file(str(path))


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "l.txt").write_text("a.png 1\n")
    assert read_label_file("~/l.txt")["a"] == 1


def test_devkit_numbers_are_read_through_its_meta_file(tmp_path: Path) -> None:
    order = ["n07747607", "n01440764", "n00001740", "n03028079", "n02099601"]  # one that is none of the 1,000
    write_meta(tmp_path, order)
    labels = read(tmp_path, "5\n1\n2\n4\n", DEVKIT_TRUTH)
    assert list(labels.values()) == [207, 950, 0, 497]
    assert next(iter(labels)) == "ILSVRC2012_val_00000001"


def test_devkit_truth_without_meta_file(tmp_path: Path) -> None:
    assert mistake(tmp_path, "1\n", DEVKIT_TRUTH) == (
        f"{DEVKIT_TRUTH} needs the devkit's meta.mat beside it, which says what its numbers mean"
    )


@pytest.mark.parametrize("line", ["3", "9", "x", "n01440764"])
def test_devkit_truth_with_a_number_its_meta_file_has_not(tmp_path: Path, line: str) -> None:
    write_meta(tmp_path, ["n07747607", "n01440764", "n00001740"])
    message = mistake(tmp_path, f"1\n{line}\n", DEVKIT_TRUTH)
    assert message.startswith(DEVKIT_TRUTH)
    assert line in message


def test_a_damaged_meta_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "meta.mat").write_bytes(b"no matlab file" * 20)
    assert "meta.mat" in mistake(tmp_path, "1\n", DEVKIT_TRUTH)
    savemat(tmp_path / "meta.mat", {"other": np.zeros(3)})
    assert "meta.mat" in mistake(tmp_path, "1\n", DEVKIT_TRUTH)
