"""Images enlarged by a network that works on the small one."""

import math

import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_ycbcr
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.restoration.duration import expected
from nlrn_tf.restoration.planes import predict, predict_patches, self_ensemble
from nlrn_tf.restoration.restorer import Restorer, restore
from tests.support.export import photograph, write_small_network


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    path = write_small_network(
        folder / "small.keras", task="sr", scales=(2, 3, 4), upsample="after", window_size=5
    )
    return nlrn_tf.load_model(path)


def grey(height, width):
    return (photograph(height, width, 1) / 255).astype("float32")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_plane_is_what_the_network_makes_of_it(network, scale):
    image = grey(19, 23)
    whole = np.asarray(network(image[None, ..., None], scale=scale))[0, ..., 0]
    np.testing.assert_allclose(Restorer(network, scale=scale).plane(image), whole, atol=1e-5)
    assert np.abs(whole - imresize(image, scale)).max() > 0.02


def bicubic(scale):
    """What enlarges a batch bicubically; it tells nothing else of itself."""
    return lambda images: np.stack([imresize(each[..., 0], scale)[..., None] for each in images])


def test_tiles_and_patches_lie_where_they_belong(network):
    image = grey(50, 61)
    # What tiles throw away is more than the two pixels that their borders reach.
    tiled = predict(bicubic(3), image, tile_size=40, overlap=20, scale=3)
    np.testing.assert_allclose(tiled, imresize(image, 3), atol=1e-6)
    repeated = image.repeat(4, axis=0).repeat(4, axis=1)
    patches = predict_patches(
        lambda images: images.repeat(4, axis=1).repeat(4, axis=2), image, 20, 7, scale=4
    )
    np.testing.assert_allclose(patches, repeated, atol=1e-6)
    whole = predict(network, image, scale=3)
    tiled = predict(network, image, tile_size=40, overlap=24, scale=3)
    assert np.abs(tiled - whole).mean() < 0.1 * np.abs(whole - imresize(image, 3)).mean()


def test_self_ensemble_averages_the_eight_views(network):
    image = grey(12, 17)
    found = Restorer(network, scale=2, self_ensemble=True).plane(image)
    expected = self_ensemble(
        lambda view: np.asarray(network(view[None, ..., None], scale=2))[0, ..., 0], image
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape == (24, 34)


@pytest.mark.parametrize("scale", [1.5, 2.2, math.pi, 3.99])
@pytest.mark.parametrize("shape", [(13, 20), (1, 1), (30, 7)])
def test_a_scale_between_is_the_next_larger_one_shrunk(network, scale, shape):
    image = grey(*shape)
    found = Restorer(network, scale=scale).plane(image)
    assert found.shape == tuple(math.ceil(scale * side) for side in shape)
    larger = np.asarray(network(image[None, ..., None], scale=math.ceil(scale)))[0, ..., 0]
    # Shrunk by MATLAB's rule from its own size; the corners of both lie on each other.
    expected = imresize(larger, scale / math.ceil(scale))[: found.shape[0], : found.shape[1]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_grids_of_the_two_steps_to_a_scale_between_lie_on_each_other():
    model = bicubic(3)
    model.config = NLRNConfig(task="sr", scales=(2, 3), upsample="after")
    ramp = np.linspace(0.2, 0.8, 30, dtype="float32")[None].repeat(20, axis=0)
    inside = (slice(5, -5), slice(12, -12))
    found = Restorer(model, scale=2.5).plane(ramp)
    np.testing.assert_allclose(found[inside], imresize(ramp, 2.5)[inside], atol=2e-4)


def test_of_colour_only_luma_goes_through_the_network(network):
    image = (photograph(20, 16, 3) / 255).astype("float32") * 0.8 + 0.1
    values = Restorer(network, scale=2).values(image)
    luma, *chroma = np.moveaxis(rgb_to_ycbcr(values), -1, 0)
    before = rgb_to_ycbcr(image)
    expected = Restorer(network, scale=2).plane(before[..., 0])
    np.testing.assert_allclose(luma, expected, atol=1e-5)
    np.testing.assert_allclose(np.dstack(chroma), imresize(before[..., 1:], 2), atol=1e-5)


def test_strength_lies_between_bicubic_and_the_network(network):
    image = photograph(20, 16, 1)
    none, half, full = (
        restore(network, image / 255, scale=2, strength=strength) for strength in (0, 0.5, 1)
    )
    np.testing.assert_allclose(none, np.clip(imresize(image / 255, 2), 0, 1), atol=1e-6)
    inside = (full > 0) & (full < 1) & (none > 0) & (none < 1)
    np.testing.assert_allclose(half[inside], (none + full)[inside] / 2, atol=1e-5)


def test_scales_beyond_those_of_the_network_are_refused(network):
    for scale in (1.2, 5):
        with pytest.raises(NLRNError, match=r"must be a number from 1\.5 to 4"):
            Restorer(network, scale=scale)


@pytest.mark.parametrize("scale", [2, 2.5, 4])
def test_its_work_is_counted_in_pixels_of_the_small_image(network, scale):
    height, width = 50, 90
    [found] = expected([(Restorer(network, scale=scale), [(50, 90, 1)])])
    assert not found.in_seconds  # too little to measure
    assert found.costs == [math.ceil(height / scale) * math.ceil(width / scale)]
