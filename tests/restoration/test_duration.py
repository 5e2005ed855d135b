"""The arithmetic of how long restoring takes, with a clock that stands still and known costs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlrn_tf.config import NLRNConfig
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import write_image
from nlrn_tf.model import NLRN
from nlrn_tf.progress import image_progress
from nlrn_tf.restoration import duration
from nlrn_tf.restoration.duration import Forecast, expected, in_words, seconds_for_a_pixel, told
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.restorer import Restorer
from nlrn_tf.restoration.settings import RestorationSettings

MICROSECOND = 1e-6


class Timed:
    """A model that does nothing and takes so many seconds a pixel of a clock of its own."""

    def __init__(self, seconds_for_a_pixel, config=None, warm_up=3.0):
        self.now, self.pixels = 0.0, 0
        self.config = config
        self._rate, self._warm_up = seconds_for_a_pixel, warm_up

    def __call__(self, images):
        self.now += images.size * self._rate + self._warm_up
        self.pixels += images.size
        self._warm_up = 0.0
        return images

    def clock(self):
        return self.now


def total(restorer, shapes):
    [found] = expected([(restorer, shapes)], restorer.model.clock)
    assert found.in_seconds
    return found.seconds


@settings(deadline=None)
@given(
    rate=st.floats(0.1 * MICROSECOND, 1000 * MICROSECOND),
    height=st.integers(300, 3000),
    width=st.integers(300, 3000),
    count=st.integers(1, 50),
)
def test_equal_images_take_as_many_times_as_long(rate, height, width, count):
    restorer = Restorer(Timed(rate), tile_size=4000)
    one = total(restorer, [(height, width, 1)])
    assert one == pytest.approx(rate * height * width)
    assert total(restorer, [(height, width, 1)] * count) == pytest.approx(count * one)


@pytest.mark.parametrize(
    ("options", "channels"),
    [
        ({}, 1),
        ({"self_ensemble": True}, 1),
        ({"tile_size": 200}, 1),
        ({"tile_size": 150, "overlap": 10, "self_ensemble": True}, 1),
        ({"protocol": "patches", "patch_size": 30, "stride": 15}, 1),
        ({"protocol": "patches"}, 1),
        ({"colour": "channels"}, 3),
    ],
    ids=str,
)
def test_what_is_expected_is_what_restoring_takes(options, channels):
    """By the pixels that the model is given."""
    shape = (280, 310, channels)
    restorer = Restorer(Timed(50 * MICROSECOND, warm_up=0.0), **options)
    expects = total(restorer, [shape])
    restorer.model.now = 0.0
    restorer.values(np.random.default_rng(0).random(shape))
    assert restorer.model.now == pytest.approx(expects, rel=1e-6)


def test_planes_of_colour_count_each_by_its_network(monkeypatch):
    luma, chroma = Timed(90 * MICROSECOND), Timed(10 * MICROSECOND)
    monkeypatch.setattr(duration.Restorer, "models", lambda *_: [luma, chroma, chroma])
    restorer = Restorer(luma, tile_size=1000)
    shapes = [(500, 600, 3)]
    [found] = expected([(restorer, shapes)], lambda: luma.now + chroma.now)
    assert found.seconds == pytest.approx((90 + 2 * 10) * MICROSECOND * 500 * 600)


def test_several_jobs_and_sizes_that_are_not_known():
    quick, slow = (Restorer(Timed(rate * MICROSECOND), tile_size=1000) for rate in (10, 40))
    known, unknown = (400, 500, 1), None
    jobs = [(quick, [known, unknown]), (slow, [known]), (None, [known])]
    found = expected(jobs, lambda: quick.model.now + slow.model.now)
    assert found[0].costs == pytest.approx([2.0, 2.0])
    assert found[1].costs == pytest.approx([8.0])
    assert found[2].costs == [0.0]


def test_little_work_is_not_measured():
    model = Timed(1.0)
    [found] = expected([(Restorer(model), [(100, 200, 1), (100, 300, 1)])], model.clock)
    assert not found.in_seconds
    assert model.pixels == 0
    assert found.seconds == 0
    assert found.costs == [20_000, 30_000]


@given(rate=st.floats(0.001 * MICROSECOND, 300 * MICROSECOND), work=st.floats(8e4, 1e10))
def test_the_measurement_is_small_and_knows_no_warm_up(rate, work):
    model = Timed(rate)

    def run(side):
        model(np.empty((1, side, side, 1)))
        return side**2

    measured = seconds_for_a_pixel(run, work, model.clock)
    assert measured == pytest.approx(rate)
    assert model.now - 3.0 < 2.5  # seconds, of a network as slow as 300 microseconds a pixel
    assert model.pixels < 0.17 * max(work, duration.LEAST_PIXELS)


def test_short_work_is_not_told_and_long_work_with_what_is_faster():
    shapes = [(1000, 2000, 1)] * 3
    assert told(shapes, duration.SHORT - 0.1, ["none"]) is None
    line = told(shapes, duration.LONG - 1, ["--weights=denoise_lite"])
    assert line == "3 images, 6.0 megapixels: about 5 minutes on this machine"
    line = told(shapes[:1], 7200, ["--weights=denoise_lite", "less"])
    expected_line = "1 image, 2.0 megapixels: about 2 hours on this machine. Faster: "
    assert line == expected_line + "--weights=denoise_lite; less"


@given(seconds=st.floats(duration.SHORT, 1e7))
def test_durations_in_words_are_near(seconds):
    units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
    words = in_words(seconds).split()
    numbers, names = map(int, words[::2]), (name.rstrip("s") for name in words[1::2])
    found = sum(number * units[name] for number, name in zip(numbers, names, strict=True))
    assert found == pytest.approx(seconds, rel=0.26)
    assert all(number != "0" for number in words)


def test_what_is_faster_is_named_where_it_is_not_chosen():
    def choices(channels=1, chosen=None, **options):
        settings = RestorationSettings(**options)
        return " ".join(duration.faster_choices(settings, channels, chosen))

    assert choices(weights="denoise") == "--weights=denoise_lite (6 times as fast)"
    assert choices(weights="denoise_s50") == choices(weights="denoise")
    assert choices(chosen="denoise_s15") == choices(weights="denoise")
    assert choices(chosen="denoise_lite_s25") == ""
    assert choices(3, weights="denoise") == "--weights=denoise_lite"
    for channels in (1, 3):
        faster = choices(channels, task="sr", weights="sr")
        assert faster == "--weights=sr_lite (tens of times as fast)"
    assert choices(weights="denoise_lite_s25") == choices(task="sr") == ""
    assert choices(weights="denoise_lite") == choices(weights="mine.keras") == ""
    assert choices(self_ensemble=True, task="sr").startswith("without --self_ensemble")
    patches = EvaluationSettings("Set12", protocol="patches", weights="mine.keras")
    assert "--protocol=full" in duration.faster_choices(patches, 1)[0]


class TestForecast:
    """Of files; the network is the slow model."""

    @pytest.fixture
    def folder(self, tmp_path):
        for name, size in {"a": 300, "b": 400, "c": 500}.items():
            write_image(tmp_path / "in" / f"{name}.png", np.zeros((size, 200), np.uint8))
        return tmp_path

    def told_for(self, folder, monkeypatch, model, **options):
        monkeypatch.setattr(duration.time, "perf_counter", model.clock)
        lines = []
        restorer = Restorer(model, **options)
        restore_files(restorer, [folder / "in"], folder / "out", say=lines.append)
        return lines

    def test_of_a_folder(self, folder, monkeypatch):
        model = Timed(1000 * MICROSECOND)
        lines = self.told_for(folder, monkeypatch, model, tile_size=1000)
        assert lines == ["3 images, 0.24 megapixels: about 4 minutes on this machine"]

    def test_enlarged_images_count_as_large_as_they_become(self, folder, monkeypatch):
        model = Timed(1000 * MICROSECOND, NLRNConfig(task="sr", scales=(2,)))
        lines = self.told_for(folder, monkeypatch, model, tile_size=1000)
        assert lines == ["3 images, 0.24 megapixels: about 16 minutes on this machine"]

    def test_nothing_of_work_that_ends_in_seconds(self, folder, monkeypatch):
        assert self.told_for(folder, monkeypatch, Timed(50 * MICROSECOND), tile_size=1000) == []

    def test_it_comes_before_other_lines_and_once(self, folder):
        said = []
        model = Timed(1000 * MICROSECOND)
        network = Restorer(model, tile_size=1000)
        sources = sorted((folder / "in").iterdir())
        forecast = Forecast(sources, RestorationSettings(), said.append)
        with image_progress(visible=False) as progress, pytest.MonkeyPatch.context() as patch:
            patch.setattr(duration.time, "perf_counter", model.clock)
            progress.add_task("", total=3)
            forecast.say("clean.png: left as it is")
            left = dataclasses.replace(network, strength=0.0)
            forecast.tell(left, np.zeros((300, 200)), progress)
            assert said == ["clean.png: left as it is"]
            forecast.say("a.png: noise level about 25")
            forecast.tell(network, np.zeros((300, 200)), progress)
            assert progress.left.seconds() == pytest.approx(240)
            forecast.say("b.png: noise level about 26")
            forecast.tell(network, np.zeros((400, 200)), progress)
        assert said[1].startswith("3 images, 0.24 megapixels: about 4 minutes")
        assert said[2:] == ["a.png: noise level about 25", "b.png: noise level about 26"]


def test_a_network_is_measured_as_it_restores(monkeypatch):
    """By the graph for all sizes, which is compiled once."""
    model = NLRN(NLRNConfig(4, 2, 2, 5, task="denoise", noise_sigma=25.0))
    [found] = expected([(Restorer(model), [(600, 700, 1)])])
    assert found.in_seconds
    assert 0 < found.seconds < 600
