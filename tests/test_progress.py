import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlrn_tf import progress
from nlrn_tf.progress import TimeLeft, image_progress


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
    assert first == "8 of 10 images done, 0:02:05 left"  # in the middle of the ninth


def test_the_cost_of_the_images_tells_the_time_left_not_their_number(clock, capsys):
    with image_progress() as bar:
        task = bar.add_task("", total=3)
        bar.expect([1.0, 10.0, 2.0], in_seconds=False)
        clock["now"] = 70.0
        bar.update(task, completed=1)
    assert capsys.readouterr().err == "1 of 3 images done, 0:14:00 left\n"


def test_what_is_expected_is_left_before_anything_is_done(clock):
    assert TimeLeft([1, 2], in_seconds=False).seconds() is None
    left = TimeLeft([100, 200], in_seconds=True)
    assert left.seconds() == 300
    clock["now"] = 60.0  # nothing is reported yet
    assert left.seconds() == 240
    clock["now"] = 150.0  # longer than expected
    assert 200 < left.seconds() < 220


def test_what_is_measured_goes_before_what_was_expected(clock):
    """Three times as slow."""
    left = TimeLeft([100] * 10, in_seconds=True)
    for done in range(1, 9):
        clock["now"] = 300.0 * done
        left.update(done)
        assert left.seconds() == pytest.approx(300 * (10 - done), rel=0.07 / done)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    costs=st.lists(st.floats(0.1, 1000), min_size=1, max_size=8),
    rate=st.floats(0.2, 5),
    in_seconds=st.booleans(),
)
def test_the_time_left_falls_with_the_pixels_and_ends_at_none(clock, costs, rate, in_seconds):
    """Where each pixel takes as long as any other."""
    clock["now"] = 0.0
    rate = 1 if in_seconds else rate
    left = TimeLeft(costs, in_seconds=in_seconds)
    before = left.seconds()
    for image, cost in enumerate(costs):
        for part in (0.25, 0.5, 0.75, 1):
            clock["now"] += rate * cost / 4
            left.update(image + part)
            seconds = left.seconds()
            rest = sum(costs[image + 1 :]) + (1 - part) * cost
            assert seconds == pytest.approx(rate * rest, abs=1e-6 * rate * sum(costs))
            assert before is None or seconds < before
            before = seconds
    assert seconds == pytest.approx(0, abs=1e-6 * rate * sum(costs))


def test_names_of_files_cannot_command_the_terminal(clock):
    with image_progress(visible=False) as bar:
        task = bar.add_task("", total=1)
        bar.update(task, description="red\x1b[31m.png")
        assert bar.tasks[0].description == r"red\x1b[31m.png"
