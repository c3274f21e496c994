"""What the processes of a launch share in a run folder, and the rows of each until they are joined."""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.claims import Claims
from reciprocam_bench.runfolder.disk import read_facts, write_whole

PARTS = "parts"
_RANKS, _BATCHES, _LAUNCH, _SECONDS = "ranks", "batches", "launch.json", "seconds.json"


class Parts:
    """The folder ``parts/`` of a run folder.

    It holds ``ranks`` and ``batches`` (`Claims`: who is there, and who has what), ``launch.json`` (how many processes
    there are to be) and a folder for each process that came, with tables as the run folder has them.
    """

    def __init__(self, run_folder: Path) -> None:
        self._run_folder, self._path = run_folder, run_folder / PARTS

    def folders(self) -> list[Path]:
        """The parts, in the order in which they were begun."""
        if not self._path.is_dir():
            return []
        return sorted((p for p in self._path.iterdir() if p.name.isdecimal() and p.is_dir()), key=lambda p: int(p.name))

    @property
    def begun(self) -> bool:
        """Whether processes of a launch came, and may be there."""
        return (self._path / _RANKS).is_file()

    def seconds(self) -> dict[str, float]:
        """The time that processes spent in each phase, added up; those that were killed do not tell."""
        total: dict[str, float] = defaultdict(float)
        for folder in self.folders():
            for phase, seconds in read_facts(folder / _SECONDS).items():
                total[phase] += seconds if isinstance(seconds, float | int) else 0.0
        return dict(total)

    def ranks(self) -> Claims:
        """The ranks that are there."""
        self._make(self._path)
        return Claims(self._path / _RANKS)

    def batches(self) -> Claims:
        """The batches of the launch, by their place in its plan."""
        return Claims(self._path / _BATCHES)

    def begin(self, processes: int) -> None:
        """Begin a launch; what parts hold must have been joined before."""
        self._make(self._path)
        self.clear()
        write_whole(self._path / _LAUNCH, json.dumps({"processes": processes}) + "\n")

    def add(self) -> Path:
        """A new part; the caller holds the run folder's lock."""
        numbers = [int(folder.name) for folder in self.folders()]
        folder = self._path / str(max(numbers, default=0) + 1)
        self._make(folder)
        return folder

    @property
    def processes(self) -> int | None:
        """How many processes the launch has that is going on, or was; None where none was begun."""
        found = read_facts(self._path / _LAUNCH).get("processes")
        return found if isinstance(found, int) else None

    def clear(self) -> None:
        """Remove the launch and its parts, whose rows stand in the run folder; who is there stays known."""
        # The parts last: as long as there are any, their rows are read.
        for name in (_LAUNCH, _BATCHES):
            (self._path / name).unlink(missing_ok=True)
        for folder in self.folders():
            shutil.rmtree(folder)

    def remove(self) -> None:
        """As `clear`, of a launch that has no processes any more."""
        if self._path.is_dir():
            self.clear()
            shutil.rmtree(self._path)

    def check_unused(self) -> None:
        """Refuse a folder that processes of a launch are working in; ``UserError``."""
        if self.begun:
            with self.ranks() as ranks:
                if ranks.others():
                    raise in_use(self._run_folder, self.processes)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be written: {error.strerror}; give --output another folder") from None


def write_seconds(part: Path, seconds: Mapping[str, float]) -> None:
    """Put the time that a process spent in each phase beside its rows."""
    write_whole(part / _SECONDS, json.dumps(seconds) + "\n")


def in_use(folder: Path, processes: int | None) -> UserError:
    """What a start is told that is none of the processes working in a folder."""
    return UserError(
        f"{folder} is in use by a launch of {processes or 'several'} processes; "
        "wait for it to end, or give --output another folder"
    )
