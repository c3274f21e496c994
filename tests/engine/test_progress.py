"""Progress counts work once, wherever it is drawn."""

import random
import warnings
from io import StringIO

import pytest

from reciprocam_bench.engine import progress as module
from reciprocam_bench.engine.progress import Progress, Task


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_one_plain_line_at_the_end_where_there_is_no_terminal(clock: Clock) -> None:
    stream = StringIO()
    with Progress(4, "images", "judging", stream=stream) as progress:
        for _ in range(4):
            clock.now += 2
            progress.advance(1)
    assert stream.getvalue() == "judging: 4/4 images, 00:08 elapsed\n"


def test_a_plain_line_every_fifteen_seconds_says_how_long_it_will_take(clock: Clock) -> None:
    stream = StringIO()
    with Progress(10, "images", "judging", stream=stream) as progress:
        for _ in range(10):
            clock.now += 6
            progress.advance(1)
    assert stream.getvalue().splitlines() == [
        "judging: 3/10 images, 00:18 elapsed, about 00:42 to go",
        "judging: 6/10 images, 00:36 elapsed, about 00:24 to go",
        "judging: 9/10 images, 00:54 elapsed, about 00:06 to go",
        "judging: 10/10 images, 01:00 elapsed",
    ]


def test_a_continued_run_takes_its_rate_from_this_start_alone(clock: Clock) -> None:
    stream = StringIO()
    with Progress(100, "images", "judging", done=90, stream=stream) as progress:
        clock.now += 16
        progress.advance(2)
        assert stream.getvalue() == "judging: 92/100 images, 00:16 elapsed, about 01:04 to go\n"


def test_quiet_prints_nothing_even_on_a_terminal(clock: Clock) -> None:
    for stream in (StringIO(), Terminal()):
        with Progress(4, "images", "judging", quiet=True, stream=stream) as progress:
            clock.now += 100
            progress.advance(4)
        assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    with Progress(4, "images", "judging", done=1, stream=stream) as progress:
        progress.advance(3)
    assert "judging  25%" in stream.getvalue()
    assert "judging 100%" in stream.getvalue()
    assert "4/4 images" in stream.getvalue()


def test_no_closing_line_when_the_work_was_stopped(clock: Clock) -> None:
    stream = StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(4, "images", "judging", stream=stream) as progress:
        progress.advance(1)
        raise KeyboardInterrupt
    assert stream.getvalue() == ""


def test_nothing_to_do_is_no_error() -> None:
    stream = StringIO()
    with Progress(0, "images", "judging", stream=stream):
        pass
    assert stream.getvalue().startswith("judging: 0/0 images")


@pytest.mark.parametrize(
    "passes, shares, counted",
    [
        ([1.0], [], []),
        ([4.0], [0.25, 0.5, 1.0], [1.0, 1.0, 2.0]),
        ([4.0, 2.0], [0.5, 1.0, 0.5, 1.0], [2.0, 2.0, 1.0, 1.0]),
        ([4.0, 2.0], [0.5, 0.25], [2.0, 2.5]),
        ([4.0, 2.0], [0.5, 0.5, 0.5], [2.0]),
        ([4.0], [0.5, 0.25, 1.0, 0.0, 1.0], [2.0]),
        ([2.0, 2.0], [1.0, 0.0], [2.0]),
    ],
)
def test_a_task_turns_shares_of_its_passes_into_units(passes: list, shares: list, counted: list) -> None:
    advanced: list[float] = []
    task = Task(advanced.append, passes)
    for share in shares:
        task(share)
    assert advanced == counted
    task.finish()
    assert sum(advanced) == sum(passes)


def test_a_task_never_counts_twice_and_always_comes_to_its_amount() -> None:
    generator = random.Random(0)
    for _ in range(300):
        passes = [generator.uniform(0, 5) for _ in range(generator.randint(1, 3))]
        advanced: list[float] = []
        task = Task(advanced.append, passes)
        for _ in range(generator.randint(0, 12)):
            task(generator.choice([0.0, 1.0, generator.random()]))
            assert sum(advanced) <= sum(passes) + 1e-9
        task.finish()
        task.finish()
        assert min(advanced, default=1) > 0
        assert sum(advanced) == pytest.approx(sum(passes))


def test_tasks_of_a_progress_add_up_to_its_total(clock: Clock) -> None:
    stream = StringIO()
    with Progress(6, "images", "judging", stream=stream) as progress:
        first, second = progress.task([1.0, 2.0]), progress.task([3.0])
        first(0.5)
        first.finish()
        second(1.0)
        second.finish()
    assert stream.getvalue().startswith("judging: 6/6 images")


def test_shares_that_add_up_to_a_little_more_than_the_total_draw_a_clean_bar() -> None:
    stream = Terminal()
    with warnings.catch_warnings(), Progress(3, "images", "judging", stream=stream) as progress:
        warnings.simplefilter("error")
        for _ in range(30):
            progress.advance(0.1 + 1e-9)
    assert stream.getvalue().count("3/3 images") and "<00:00]" in stream.getvalue()
    assert "-0" not in stream.getvalue()
