import threading
import time

import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.web.desk import Desk
from nlrn_tf.web.restoring import StoppedError, Wishes
from nlrn_tf.web.settings import WebSettings


@pytest.fixture
def desk(tmp_path, work):
    return Desk(WebSettings(), tmp_path)


class Visit(threading.Thread):
    def __init__(self, desk, path):
        super().__init__()
        self.looks, self.found, self._desk, self._path = [], None, desk, path
        self.start()

    def run(self):
        look = lambda *seen: self.looks.append(seen)  # noqa: E731
        try:
            with self._desk.restored(self._path, Wishes(), self._path, look) as outcome:
                self.found = outcome.result.read_text()
        except NLRNError as error:
            self.found = error


def test_one_after_the_other(desk, work, tmp_path):
    visits = [Visit(desk, name) for name in ("one", "two", "broken", "three")]
    work.at_work.acquire()
    work.released.set()
    for visit in visits:
        visit.join()
    assert work.most == 1
    found = [visit.found for visit in visits]
    assert (found[0], found[1], str(found[2]), found[3]) == (
        *("one", "two", "broken: is damaged.", "three"),
    )
    assert all(("Working" in look) for visit in visits for look in visit.looks)
    assert len(set(work.folders)) == 4
    assert not list(tmp_path.iterdir())
    assert not desk.close()


def test_only_the_one_who_stops_is_stopped(desk, work):
    first = Visit(desk, "one")
    work.at_work.acquire()
    second = Visit(desk, "two")
    desk.stop("nobody")
    desk.stop("one")
    first.join()
    assert isinstance(first.found, StoppedError)
    work.released.set()
    second.join()
    assert second.found == "two"


def test_who_waits_can_be_stopped_too(desk, work):
    first, second = Visit(desk, "one"), None
    work.at_work.acquire()
    second = Visit(desk, "two")
    while "two" not in desk._under_way:
        time.sleep(0.01)
    desk.stop("two")
    work.released.set()
    first.join()
    second.join()
    assert first.found == "one"
    assert isinstance(second.found, StoppedError)
    assert len(work.folders) == 1


def test_closing_stops_all(desk, work):
    visits = [Visit(desk, "one"), Visit(desk, "two")]
    work.at_work.acquire()
    while len(desk._under_way) < 2:
        time.sleep(0.01)
    assert desk.close()
    for visit in visits:
        visit.join()
        assert isinstance(visit.found, StoppedError)
