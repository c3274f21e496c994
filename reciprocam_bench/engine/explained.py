"""Pictures explained, written and told: what ``rcam-bench explain`` does."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from reciprocam_bench.datasets.dataset import list_images
from reciprocam_bench.datasets.images import Picture, read_picture, stretched_note
from reciprocam_bench.engine.allocator import keep_freed_memory
from reciprocam_bench.engine.drawing import scores_in_words
from reciprocam_bench.engine.one_image import NO_ANSWER, Explained, NoAnswer, Shown, explain_picture
from reciprocam_bench.engine.panels import class_words, heat_of, panel, peak_of, time_in_words
from reciprocam_bench.engine.subject import Asked, Subject, set_up_subject
from reciprocam_bench.errors import UserError
from reciprocam_bench.figures import Panel, Strip, panel_pixels, save_figure
from reciprocam_bench.pictures import heat_layer, overlay, shrunk
from reciprocam_bench.titles import file_name, file_names, shortened

Record = dict[str, Any]  # of one image, as --json prints it
_MOST_IN_FIGURE = 100  # rows
_TURNED = "pictures were turned upright, as their EXIF says; a run takes pixels as they are stored (docs/datasets.md)"


@dataclass
class Outcome:
    """All that was done: what ``--json`` prints.

    Attributes:
        images: a record of each image.
        left_out: what could not be read: ``image`` and ``reason``.
        failed: why methods failed, by title; those that only ``all`` asked for are told in ``notes`` alone.
        figure: the files of the figure of all images.
        notes: what a reader should know.
    """

    images: list[Record] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    figure: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def check(self, output: Path) -> None:
        """Raise ``UserError`` where a method that was asked for failed."""
        if self.failed:
            listed = "; ".join(f"method '{name}' failed: {reason}" for name, reason in self.failed.items())
            others = any(record["maps"] for record in self.images)
            raise UserError(listed + (f"; the pictures of the others are in {output}" if others else ""))


def explain_pictures(
    paths: list[Path],
    asked: Asked,
    output: Path,
    *,
    maps: bool = False,
    tell: Callable[[Record], None] = lambda record: None,
    warn: Callable[[str], None] = lambda note: None,
) -> Outcome:
    """Explain image files and every image in folders, and write overlays, sheets, and a figure of all.

    Args:
        paths: image files and folders.
        asked: which network, methods and classes.
        output: the folder that is written to.
        maps: whether to write the maps alone too, on a transparent ground.
        tell: called with the record of each image when it is done.
        warn: called with each note.

    Raises:
        UserError: for wrong options, where no image can be read, and where nothing can be written or would be mixed.
    """
    keep_freed_memory()
    outcome = Outcome()
    files, outcome.left_out = find_images(paths, output)
    bad = _unreadable(files)
    if len(bad) == len(files):
        outcome.left_out += bad
        raise _none_readable(outcome)
    subject = set_up_subject(asked)
    names = output_names(files)
    _check_kept(subject, names, output, maps)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(output, error) from None

    def note(text: str) -> None:
        if text not in outcome.notes:
            outcome.notes.append(text)
            warn(text)

    for text in [*(f"left out: {bad['image']}: {bad['reason']}" for bad in outcome.left_out), *subject.notes]:
        note(text)
    strips: list[Strip] = []
    stretched: Counter[str] = Counter()
    for path, stem in names.items():
        drawn = _explain_one(subject, path, output / stem, maps, outcome, stretched, note)
        if drawn is not None:
            strips += drawn if len(strips) < _MOST_IN_FIGURE else []
            tell(outcome.images[-1])
    for mode, count in stretched.items():
        note(stretched_note(mode, count))
    if not outcome.images:
        raise _none_readable(outcome)
    if len(outcome.images) > 1 and strips:
        outcome.figure = _save(subject, strips, output / "figure")
    return outcome


def _explain_one(
    subject: Subject,
    path: Path,
    target: Path,
    maps: bool,
    outcome: Outcome,
    stretched: Counter[str],
    note: Callable[[str], None],
) -> list[Strip] | None:
    """Explain one image and add its record to the outcome; its strips, None where it cannot be read or classified."""

    def left_out(reason: str) -> None:
        outcome.left_out.append(_left_out(path, reason))
        note(f"left out: {path}: {reason}")

    try:
        picture = read_picture(str(path), upright=True)
        subject.prepare.check(picture)
    except ValueError as error:
        left_out(str(error))
        return None
    if picture.turned:
        note(_TURNED)
    try:
        explained = explain_picture(subject, picture)
    except NoAnswer:
        left_out(NO_ANSWER)
        return None
    if picture.stretched:
        stretched[picture.stretched] += 1
    for title, reason in explained.failed.items():
        if title in subject.optional:
            note(f"left out: method '{title}' failed: {reason}")
        else:
            outcome.failed.setdefault(title, reason)
    record, strips = _written(subject, path, picture, explained, target, maps)
    outcome.images.append(record)
    return strips


def find_images(paths: list[Path], output: Path) -> tuple[list[Path], list[dict[str, str]]]:
    """The image files among ``paths`` and in its folders, each once; and what is none, with the reason.

    What an earlier call wrote to ``output`` is none of them, so it must not be one of the folders itself.
    """
    files: dict[Path, None] = {}
    left_out = []
    written = output.resolve()
    for path in paths:
        if path.is_dir():
            if written == path.resolve():
                raise UserError(f"--output {output} is the folder of the images, which it would mix with; give another")
            listed, skipped = list_images(path)
            within = path.resolve() in written.parents
            images = [found for _, found in listed if not (within and written in found.resolve().parents)]
            files |= dict.fromkeys(images)
            left_out += [_left_out(path / name, reason) for name, reason in skipped]
            if not images and not skipped:
                left_out.append(_left_out(path, "holds no image"))
        elif path.exists():
            files[path] = None
        else:
            left_out.append(_left_out(path, "does not exist"))
    return list(files), left_out


def _check_kept(subject: Subject, names: dict[Path, str], output: Path, maps: bool) -> None:
    """Refuse an image that a picture of those that are written would replace."""
    several = subject.classes if len(subject.classes) > 1 else ()
    classes = [_of_class(subject, index) for index in several] or [""]
    methods = file_names((method.title for method in subject.methods), taken=["sheet"]).values()
    bases = [shortened(f"{stem}{c}_{m}") for stem in names.values() for c in classes for m in methods]
    pictures = {f"{base}{ending}" for base in bases for ending in (".png", *["_map.png"] * maps)}
    sheets = {f"{shortened(stem)}_sheet" for stem in names.values()} | ({"figure"} if len(names) > 1 else set())
    for path in names:
        for place in (path.parent.resolve() / path.name, path.resolve()):  # a link, and what it leads to
            ending = place.suffix.lower()
            sheet = re.sub(r"_\d+$", "", place.stem) in sheets and ending[1:] in subject.config.pictures.formats
            if place.parent == output.resolve() and (sheet or place.stem + ending in pictures):
                raise UserError(f"{path} would be replaced by a picture that is written there; give another --output")


def output_names(files: list[Path]) -> dict[Path, str]:
    """What the output files of each image are named after: its stem, or as much of its path as tells it apart."""
    names = {path: path.stem for path in files}
    for longer in (lambda p: p.name, lambda p: "_".join(part for part in p.parts[-3:] if part not in ("/", ".."))):
        counts = Counter(names.values())
        names = {path: longer(path) if counts[name] > 1 else name for path, name in names.items()}
    counts = Counter(names.values())
    return {path: f"{i:03d}_{name}" if counts[name] > 1 else name for i, (path, name) in enumerate(names.items())}


def lines_of(record: Record) -> list[str]:
    """The record of an image as lines to read: classes explained, the best classes, the files."""
    best = ", ".join(f"{c['name']} {c['probability']:.3f}" for c in record["top"])
    files = [file for cam in record["maps"] for file in cam["files"]]
    return [*record["explained"], f"top {len(record['top'])}: {best}", *files, *record["files"]]


def _left_out(path: Path, reason: str) -> dict[str, str]:
    return {"image": str(path), "reason": reason}


def _unreadable(files: list[Path]) -> list[dict[str, str]]:
    """The files before the first that can be read, which is worth loading a network for."""
    bad = []
    for path in files:
        try:
            read_picture(str(path))
        except ValueError as error:
            bad.append(_left_out(path, str(error)))
        else:
            break
    return bad


def _written(
    subject: Subject, path: Path, picture: Picture, explained: Explained, target: Path, maps: bool
) -> tuple[Record, list[Strip]]:
    """Write the pictures of one image; its record, and its strips for the figure of all."""
    short = subject.names.short
    predicted = explained.top[0][0]
    record: Record = {
        "image": str(path),
        "size": list(picture.image.size),
        "top": [{"class": index, "name": short[index], "probability": p} for index, p in explained.top],
        "explained": [],
        "maps": [],
        "files": [],
    }
    strips = []
    names = file_names((shown.method for shown in explained.shown), taken=["sheet"])
    for index in explained.classes:
        probability = float(explained.probabilities[index])
        record["explained"].append(class_words(short, index, probability, predicted, None))
        of_class = _of_class(subject, index) if len(explained.classes) > 1 else ""
        panels = []
        for shown in (s for s in explained.shown if s.class_index == index):
            base = target.with_name(shortened(f"{target.name}{of_class}_{names[shown.method]}"))
            drawn, peak, files = _drawn(subject, picture.image, shown, base, maps)
            panels.append(drawn)
            about = {"class": index, "name": short[index], "probability": probability, "method": shown.method}
            about |= {"seconds": shown.seconds, "status": shown.status, "scores": shown.scores}
            record["maps"].append(about | {"peak": peak, "files": files})
        if panels:
            strips.append(_strip(subject, path, picture.image, record["explained"][-1], panels))
    if strips:
        record["files"] = _save(subject, strips, target.with_name(f"{shortened(target.name)}_sheet"))
    return record, strips


def _of_class(subject: Subject, index: int) -> str:
    """The part of a file's name that tells the class."""
    return f"_{index}_{file_name(subject.names.short[index])}"


def _drawn(
    subject: Subject, image: Image.Image, shown: Shown, base: Path, maps: bool
) -> tuple[Panel, tuple[float, float] | None, list[str]]:
    """A map's overlay on the whole picture, and the map alone if asked for, written; its panel, its peak, the files."""
    style, geometry = subject.config.pictures, subject.prepare.geometry
    heat = heat_of(shown.raw, geometry, image.size)
    pictures = {".png": overlay(image, heat, style.alpha, style.colormap, geometry.view(*image.size))}
    if maps:
        pictures["_map.png"] = heat_layer(heat, style.colormap)
    files = []
    for ending, drawn in pictures.items():
        files.append(base.with_name(base.name + ending))
        try:
            drawn.save(files[-1])
        except OSError as error:
            raise _unwritable(files[-1].parent, error) from None
    words = [shown.status] if shown.status != "ok" else []
    words.append(scores_in_words(_asked_for(subject), shown.scores))
    caption = ", ".join(word for word in words if word) + f"\nmap in {time_in_words(shown.seconds)}"
    drawn_panel = panel(shown.method, heat, caption.strip(), panel_pixels(style), marked=False)
    return drawn_panel, peak_of(heat), [str(file) for file in files]


def _asked_for(subject: Subject) -> list[Any]:
    """The metrics that were named, without those that others are made of."""
    named = {config.title for config in subject.config.metrics}
    return [metric for metric in subject.metrics if metric.column in named]


def _strip(subject: Subject, path: Path, image: Image.Image, caption: str, panels: list[Panel]) -> Strip:
    most = panel_pixels(subject.config.pictures)
    view = subject.prepare.geometry.view(*image.size)
    return Strip(shrunk(image, most), image.size, caption, panels, view, name=path.name)


def _save(subject: Subject, strips: list[Strip], path: Path) -> list[str]:
    heading = "\n".join([subject.backbone.name, *(n for n in subject.notes if n.startswith("the weights are random"))])
    try:
        return [str(file) for file in save_figure(strips, path, subject.config.pictures, heading)]
    except OSError as error:
        raise _unwritable(path.parent, error) from None


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder} cannot be written: {error.strerror}; give --output another folder")


def _none_readable(outcome: Outcome) -> UserError:
    path, reason = outcome.left_out[0].values()
    silent = next((bad for bad in outcome.left_out if bad["reason"] == NO_ANSWER), None)
    if silent:
        count = len(outcome.left_out)
        which = silent["image"] if count == 1 else f"none of {count} images can be explained: {silent['image']}"
        return UserError(f"{which}: {NO_ANSWER}; check its weights, preprocessing and precision")
    if len(outcome.left_out) == 1:
        colon = ":" if reason.startswith(("unreadable", "extreme")) else ""
        return UserError(f"{path}{colon} {reason}; give an image file")
    return UserError(f"none of {len(outcome.left_out)} images can be read ({path}: {reason}, ...); give image files")
