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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export_saved_model("denoise_s25", tmp_path_factory.mktemp("exported"))


def test_it_equals_restore(folder):
    model = nlrn_tf.load_model("denoise_s25")
    grey, colour = photograph(60, 50, 1), photograph(24, 30, 3)
    files = [to_file(grey), to_file(colour)]
    requests = [
        ("serving_default", {"inputs": to_batch(grey)}),
        ("serving_default", {"inputs": to_batch(colour)}),
        ("restore_bytes", {"image_bytes": files}),
    ]
    *floats, restored = run_by_c_api(folder, requests)["results"]
    for image, output, content in zip(
        (grey, colour), floats, restored["restored_bytes"], strict=True
    ):
        expected = nlrn_tf.restore(model, to_batch(image)[0])
        np.testing.assert_allclose(output["output"][0], expected, atol=1e-5)
        served, restored = from_file(content).astype(int), nlrn_tf.restore(model, image)
        near_a_half = np.abs(expected.reshape(image.shape) * 255 % 1 - 0.5) < 0.003
        assert np.abs(served - restored).max() <= 1
        assert not np.any((served != restored) & ~near_a_half)


def test_the_first_request_after_warmup_is_not_slow(folder):
    warmup = list(warmup_requests_of(folder))
    image = photograph(20, 27, 3)  # of a size that the warm-up does not have
    kinds = [
        ("restore_bytes", {"image_bytes": [to_file(image)]}),
        ("serving_default", {"inputs": to_batch(image)}),
    ]
    ratios = []
    for request in kinds:
        for _ in range(3):  # other work on the machine may slow down one of them
            seconds = run_by_c_api(folder, [*warmup, *[request] * 5])["seconds"][len(warmup) :]
            ratios.append(seconds[0] / statistics.median(seconds))
            if ratios[-1] < 1.5:
                break
        assert ratios[-1] < 1.5, ratios
