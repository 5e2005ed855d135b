"""The packaged network, exported: its output, and the time of the first request."""

import statistics

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.export.saved_model import export_saved_model
from tests.support.export import (
    from_file,
    photograph,
    run_by_c_api,
    to_batch,
    to_file,
    warmup_requests_of,
)

pytestmark = pytest.mark.slow


GREY, COLOUR = photograph(60, 50, 1), photograph(24, 30, 3)
CHECKED = [
    ("serving_default", {"inputs": to_batch(GREY)}),
    ("serving_default", {"inputs": to_batch(COLOUR)}),
    ("restore_bytes", {"image_bytes": [to_file(GREY), to_file(COLOUR)]}),
]
# Of sizes that the warm-up does not have, nor the other one of the two.
TIMED = [
    ("restore_bytes", {"image_bytes": [to_file(photograph(20, 27, 3))]}),
    ("serving_default", {"inputs": to_batch(photograph(29, 22, 3))}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export_saved_model("denoise_s25", tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def answer(folder):
    return answer_of_a_new_process(folder)


def answer_of_a_new_process(folder):
    """Results of `CHECKED`, and the seconds of each of `TIMED`, five times after the warm-up."""
    warmup = list(warmup_requests_of(folder))
    found = run_by_c_api(folder, [*warmup, *TIMED * 5, *CHECKED])
    seconds = found["seconds"][len(warmup) : -len(CHECKED)]
    timed = [seconds[number :: len(TIMED)] for number in range(len(TIMED))]
    return found["results"][-len(CHECKED) :], timed


def test_it_equals_restore(answer):
    model = nlrn_tf.load_model("denoise_s25")
    *floats, restored = answer[0]
    for image, output, content in zip(
        (GREY, COLOUR), floats, restored["restored_bytes"], strict=True
    ):
        expected = nlrn_tf.restore(model, to_batch(image)[0])
        np.testing.assert_allclose(output["output"][0], expected, atol=1e-5)
        served, restored = from_file(content).astype(int), nlrn_tf.restore(model, image)
        near_a_half = np.abs(expected.reshape(image.shape) * 255 % 1 - 0.5) < 0.003
        assert np.abs(served - restored).max() <= 1
        assert not np.any((served != restored) & ~near_a_half)


def test_the_first_request_after_warmup_is_not_slow(folder, answer):
    ratios = []
    for number in range(3):  # other work on the machine may slow down one of them
        _, timed = answer_of_a_new_process(folder) if number else answer
        ratios.append([seconds[0] / statistics.median(seconds) for seconds in timed])
        if (np.min(ratios, axis=0) < 1.5).all():
            return
    raise AssertionError(ratios)
