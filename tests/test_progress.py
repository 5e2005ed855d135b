import time

import pytest

from nlrn_tf import progress
from nlrn_tf.progress import image_progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    state = {"now": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: state["now"])
    return state


def work(clock, seconds_per_image, visible=True, count=10, done=0):
    """Images of equal work."""
    with image_progress(visible) as bar:
        task = bar.add_task("", total=count, completed=done)
        for k in range(done, count):
            bar.update(task, completed=k, description=f"{k}.png")
            for _ in range(4):
                clock["now"] += seconds_per_image / 4
                bar.advance(task, 1 / 4)
        bar.update(task, completed=count, description="")


def test_without_a_terminal_a_line_a_minute_tells_the_time_left(clock, capsys):
    work(clock, seconds_per_image=30)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 300 // progress.LOG_SECONDS
    assert lines[0] == "2 of 10 images done, 0:04:00 left"
    assert lines[3] == "8 of 10 images done, 0:01:00 left"


def test_quick_work_prints_nothing(clock, capsys):
    work(clock, seconds_per_image=1)
    work(clock, seconds_per_image=100, visible=False)
    assert capsys.readouterr().err == ""


def test_images_of_an_earlier_run_do_not_count_as_speed(clock, capsys):
    work(clock, seconds_per_image=100, done=8)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "9 of 10 images done, 0:01:40 left"


def test_names_of_files_cannot_command_the_terminal(clock):
    with image_progress(visible=False) as bar:
        task = bar.add_task("", total=1)
        bar.update(task, description="red\x1b[31m.png")
        assert bar.tasks[0].description == r"red\x1b[31m.png"
