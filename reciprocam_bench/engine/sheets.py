"""The pictures of a run: a sheet for each image that was chosen, and one figure of all, made of rows and raw maps."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from reciprocam_bench.datasets.dataset import Sample
from reciprocam_bench.datasets.images import Picture, read_picture
from reciprocam_bench.datasets.targets import scaled_boxes
from reciprocam_bench.engine.drawing import scores_in_words
from reciprocam_bench.engine.drawn_maps import DrawnMaps
from reciprocam_bench.engine.panels import class_words, heat_of, panel
from reciprocam_bench.engine.run import Run
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import forward_pass
from reciprocam_bench.explainers.registry import Method
from reciprocam_bench.figures import Panel, Strip, panel_pixels, save_figure
from reciprocam_bench.pictures import shrunk
from reciprocam_bench.protocols.protocol import Protocol
from reciprocam_bench.runfolder.doubt import doubt_of
from reciprocam_bench.runfolder.schema import ERROR
from reciprocam_bench.titles import file_name, shortened

Row = dict[Any, Any]  # of per_image.csv, by column


def draw_sheets(run: Run) -> None:
    """Draw the chosen images of every protocol into ``maps/``, anew: ``NNN_image_category``, and ``figure`` of all.

    Several protocols have subfolders. Maps that the folder does not hold are made again.
    """
    experiment, record = run.experiment, run.folder.record()
    if record is None or not experiment.drawn:
        return
    rows, style = record.rows(), experiment.config.pictures
    for protocol in experiment.protocols:
        several = len(experiment.protocols) > 1
        folder = run.folder.path / "maps" / (protocol.name if several else "")
        heading = f"{experiment.backbone.name} on {experiment.dataset.name}"
        if doubt := doubt_of(record, rows, protocol.name):
            heading += f"\n{doubt}"
        strips = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, strip in _strips(run, protocol, rows[rows["protocol"] == protocol.name]):
                save_figure([strip], folder / name, style, heading)
                strips.append(strip)
            if len(strips) > 1:
                save_figure(strips, folder / "figure", style, heading)
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}; free the disk and run again") from None


def _strips(run: Run, protocol: Protocol, rows: pd.DataFrame) -> Iterator[tuple[str, Strip]]:
    """A file name and what is drawn, for each image and class; images that could not be judged have none."""
    experiment = run.experiment
    by_image = dict(iter(rows[rows["image"].isin(list(experiment.drawn))].groupby("image", sort=False)))
    for image, place in experiment.drawn.items():
        if image not in by_image:
            continue
        sample = experiment.dataset.samples[place]
        try:
            picture = read_picture(str(sample.path))
        except ValueError:  # it was readable when it was judged
            continue
        for category, of_trial in by_image[image].groupby("category", sort=False):
            several = experiment.dataset.categories is not None and category
            name = f"{place:03d}_{sample.path.stem}" + (f"_{file_name(str(category))}" if several else "")
            name = shortened(name)
            found: dict[str, Row] = {str(row["method"]): dict(row) for row in of_trial.to_dict("records")}
            yield name, _strip(run, protocol, sample, picture, found)


def _strip(run: Run, protocol: Protocol, sample: Sample, picture: Picture, rows: dict[str, Row]) -> Strip:
    """One image and class: ``rows`` by method's title."""
    experiment = run.experiment
    first, size = next(iter(rows.values())), picture.image.size
    targets = [t for t in sample.targets if t.category == first["category"]]
    boxes = scaled_boxes(targets[0], *size) if targets else []
    geometry = experiment.preparation(protocol).geometry
    most = panel_pixels(experiment.config.pictures)
    maps = _maps(run, protocol, sample, picture, rows)
    panels = []
    for title, row in rows.items():
        status, scores = str(row["status"]), scores_in_words(experiment.shown_metrics, row)
        caption = scores if status == "ok" else ", ".join(part for part in (status, scores) if part)
        if title in maps:
            panels.append(panel(title, heat_of(maps[title], geometry, size), caption, most, marked=bool(boxes)))
        else:
            panels.append(Panel(title, None, caption))
    kept = DrawnMaps(run.folder.path, protocol.name)
    kept.add_picture(sample.id, int(first["class"]), picture.image, geometry.view(*size))
    words = class_words(
        experiment.names.short,
        int(first["class"]),
        float(first["probability"]),
        int(first["predicted"]),
        sample.label,
    )
    if experiment.dataset.categories is not None and first["category"]:
        words += f", for: {first['category']}"
    shown = shrunk(picture.image, most)
    return Strip(shown, size, words, panels, geometry.view(*size), boxes, sample.path.name)


def _maps(run: Run, protocol: Protocol, sample: Sample, picture: Picture, rows: dict[str, Row]) -> dict[str, Tensor]:
    """The raw maps of the methods that did not fail, by title: those on disk, and the others made again."""
    kept, class_index = DrawnMaps(run.folder.path, protocol.name), int(next(iter(rows.values()))["class"])
    maps = kept.read(sample.id, class_index)
    lacking = [
        method
        for method in run.experiment.methods
        if method.title in rows and method.title not in maps and not str(rows[method.title]["status"]).startswith(ERROR)
    ]
    if lacking:
        new = _explained(run, protocol, picture, class_index, lacking)
        kept.add(sample.id, class_index, new)
        maps |= new
    return {title: cam for title, cam in maps.items() if title in rows}


def _explained(
    run: Run, protocol: Protocol, picture: Picture, class_index: int, methods: list[Method]
) -> dict[str, Tensor]:
    prepare, maps = run.experiment.preparation(protocol), {}
    images = prepare.tensor(prepare.picture(picture))[None]
    fp = forward_pass(run.experiment.backbone, images, torch.tensor([class_index]))
    for method in methods:
        try:
            maps[method.title] = method(fp.copy())[0]
        except UserError:
            raise
        except Exception:  # a plug-in or a full GPU; the row says how it went, and the other maps are drawn
            continue
    return maps
