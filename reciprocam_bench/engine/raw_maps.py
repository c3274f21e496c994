"""Raw maps on disk (``save_maps``), so that metrics and protocols that join a run need not explain again."""

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
from reciprocam_bench.runfolder.raw_maps import FOLDER, method_folder, short, told


@dataclass(frozen=True)
class RawMaps:
    """The raw maps of one method for the batches of one view (how images are prepared), a file for each batch.

    Protocols that prepare images alike share them; a file's name is made of the trials and classes it holds. Without a
    ``folder`` they are neither read nor written.
    """

    folder: Path | None = None
    protocol: str = ""  # that the maps are made under first

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
            asked = [(*_asked(t), c) for t, c in zip(trials, fp.classes.tolist(), strict=True)]
            save_file({"maps": maps.detach().cpu().contiguous()}, str(partial), told(self.protocol, asked))
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} cannot be written: {error}; what is done is kept, free the disk and run again"
            ) from None

    def _path(self, trials: list[Trial], fp: ForwardPass) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{short(repr(([_asked(t) for t in trials], fp.classes.tolist())))}.safetensors"


def _asked(trial: Trial) -> tuple[str, str]:
    return trial.sample.id, trial.target.category if trial.target else ""


def raw_maps_of(run: Run, work: Work, unit: Unit) -> RawMaps:
    """Where a run keeps the maps of a unit; nowhere without ``save_maps``."""
    experiment, protocol = run.experiment, work.batch.protocol
    if not experiment.config.save_maps:
        return RawMaps()
    view = short(repr(experiment.preparation(protocol)))
    return RawMaps(run.folder.path / FOLDER / view / method_folder(unit.method.title), protocol.name)
