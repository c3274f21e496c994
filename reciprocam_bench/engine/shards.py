"""A fixed share of a run, for job arrays: every n-th batch, in a folder of its own or together with other shards."""

import re
from contextlib import ExitStack
from pathlib import Path

from reciprocam_bench.engine import steps
from reciprocam_bench.engine.experiment import Experiment
from reciprocam_bench.engine.plan import make_batches, plan
from reciprocam_bench.engine.ranks import Rank
from reciprocam_bench.engine.run import Screen, open_run
from reciprocam_bench.engine.steps import Summarise
from reciprocam_bench.engine.timing import is_timed
from reciprocam_bench.engine.together import enter, judge_share, share_of
from reciprocam_bench.errors import UserError
from reciprocam_bench.runfolder.folder import opened
from reciprocam_bench.runfolder.parts import Parts


def parse_shard(text: str) -> Rank:
    """``2/8`` is the second of eight."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"--shard {text[:30]}: give a number and how many there are, from 1/8 to 8/8")
    return Rank(number - 1, count)


def complete_shard(experiment: Experiment, path: Path, shard: Rank, screen: Screen, summarise: Summarise) -> None:
    """Judge a shard's batches; the one that finds all judged, where shards share a folder, makes the tables."""
    places = {(b.protocol.name, b.first): place for place, b in enumerate(make_batches(experiment))}
    with ExitStack() as stack:
        with opened(path, fresh=False, processes=shard.count) as folder:
            ranks, todo, run = enter(experiment, folder, shard, screen, stack, talks=True)
            mine = [w for w in todo if places[w.batch.protocol.name, w.batch.first] % shard.count == shard.number]
            share = share_of(run, Parts(path), stack) if mine else None
        if share is not None:
            judge_share(run, todo, *share, mine)
        with open_run(experiment, path, False, screen, shard.count, known=bool(todo)) as whole:
            images = sum(len(work.batch.samples) for work in plan(experiment, whole.done))
            about = f"shard {shard.number + 1}/{shard.count} is judged"
            if images:
                screen.say(
                    f"{about}; {images} images are left to others, or in other folders to be merged with this one"
                )
            elif whole.before and whole.before.environment.finished:
                screen.say(f"{about}, and so are the others; {path} holds this run, finished")
            else:
                steps.make_tables(whole, [], summarise)
                steps.finish(whole, experiment.config.timing is None or is_timed(whole))
            ranks.give_back(shard.number)
