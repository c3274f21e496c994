"""Raw maps on disk (``save_maps``), so that metrics and protocols that join a run need not explain again."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reciprocam_bench.engine.plan import Unit, Work
from reciprocam_bench.engine.run import Run
from reciprocam_bench.engine.trials import Trial
from reciprocam_bench.errors import UserError
from reciprocam_bench.explainers.forward_pass import ForwardPass
from reciprocam_bench.titles import file_name


@dataclass(frozen=True)
class RawMaps:
    """The raw maps of one method for the batches of one view (how images are prepared), a file for each batch.

    Protocols that prepare images alike share them; a file's name is made of the trials and classes it holds. Without a
    ``folder`` they are neither read nor written.
    """

    folder: Path | None = None

    def read(self, trials: list[Trial], fp: ForwardPass) -> Tensor | None:
        """The maps ``(N, h, w)`` of these trials, on the device of the features; None where they are not kept."""
        path = self._path(trials, fp)
        if path is None:
            return None
        try:
            maps = load_file(str(path))["maps"]
        except (OSError, SafetensorError, KeyError):
            return None
        return maps.to(fp.features.device) if maps.ndim == 3 and len(maps) == len(trials) else None

    def write(self, maps: Tensor, trials: list[Trial], fp: ForwardPass) -> None:
        """Keep the maps, whole or not at all."""
        path = self._path(trials, fp)
        if path is None:
            return
        partial = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"maps": maps.detach().cpu().contiguous()}, str(partial))
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} cannot be written: {error}; what is done is kept, free the disk and run again"
            ) from None

    def _path(self, trials: list[Trial], fp: ForwardPass) -> Path | None:
        if self.folder is None:
            return None
        asked = [(t.sample.id, t.target.category if t.target else "") for t in trials]
        return self.folder / f"{_short(repr((asked, fp.classes.tolist())))}.safetensors"


def raw_maps_of(run: Run, work: Work, unit: Unit) -> RawMaps:
    """Where a run keeps the maps of a unit; nowhere without ``save_maps``."""
    experiment, title = run.experiment, unit.method.title
    if not experiment.config.save_maps:
        return RawMaps()
    view = _short(repr(experiment.preparation(work.batch.protocol)))
    return RawMaps(run.folder.path / "raw_maps" / view / f"{file_name(title)[:60]}_{_short(title)}")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
