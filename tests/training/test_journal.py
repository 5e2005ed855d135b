"""What a run shows, by a clock that stands still."""

import pytest

from nlrn_tf.training import journal as journals
from nlrn_tf.training.journal import Journal
from nlrn_tf.training.schedule import Clock
from tests.support.training import SMALL

METRICS = {"loss": 1.0, "mse": 0.01, "gradient_norm": 1.0, "finite": 1.0}


@pytest.fixture
def clock(monkeypatch):
    state = {"now": 0.0}
    monkeypatch.setattr(journals.time, "monotonic", lambda: state["now"])
    return state


@pytest.fixture
def journal(tmp_path, clock):
    return Journal(tmp_path, SMALL, Clock(SMALL), [])


def described(journal):
    return journal._bar.tasks[0].description


def test_a_validation_shows_what_is_left_of_it(journal, clock):
    show = journal.validating([100, 100, 200])
    show(0)
    assert described(journal) == "step 0  validating: 0 of 3 images, ? left"
    clock["now"] = 30.0
    show(1)
    assert described(journal) == "step 0  validating: 1 of 3 images, 0:01:30 left"
    clock["now"] = 60.0
    show(2)
    assert described(journal) == "step 0  validating: 2 of 3 images, 0:01:00 left"


def test_a_validation_does_not_slow_the_steps(tmp_path, clock, capsys):
    counts = Clock(SMALL)
    journal = Journal(tmp_path, SMALL, counts, [])
    for _ in range(4):
        clock["now"] += SMALL.log_seconds / 5
        counts.step += 1
        journal.step(METRICS, 1e-3, 0)
    show = journal.validating([100])
    clock["now"] += 1000.0
    show(1)
    clock["now"] += SMALL.log_seconds / 5
    counts.step += 1
    journal.step(METRICS, 1e-3, 0)
    assert f"{5 / SMALL.log_seconds:.2f} steps/s" in capsys.readouterr().err
