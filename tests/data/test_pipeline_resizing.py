"""What the pipeline resizes, the pairs of super-resolution and shrunk images, by brute force."""

import collections
import itertools

import numpy as np
import pytest

from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
from nlrn_tf.imaging.resize import imresize
from tests.support.pipeline import (
    find,
    make_records,
    mirrored_patches,
    orientations,
    random_image,
    small_images,
    take,
)

ALL_FACTORS = (1.0, 0.9, 0.8, 0.7, 0.6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sr_pairs_equal_degrading_the_whole_image(scale, tmp_path):
    """Whatever the patch's position relative to the LR grid, its borders feel the real pixels."""
    patch, margin = 10, 6 * scale
    image = random_image(70, 66, 11)
    records = make_records(tmp_path, {"one": image}, "y")
    degraded, clean = take(records, PipelineConfig("sr", 4, patch, scales=(scale,)), 300)
    padded = np.pad(image, margin, "symmetric").astype(np.float32) / 255
    places = mirrored_patches(image, patch)
    # Degrading the padded image with its LR grid at each of the scale**2 phases.
    phases = {}
    for phase in itertools.product(range(scale), repeat=2):
        part = padded[phase[0] :, phase[1] :]
        part = part[: part.shape[0] // scale * scale, : part.shape[1] // scale * scale]
        phases[phase] = imresize(imresize(part, 1 / scale), scale)
    used = set()
    for low, high in zip(degraded, clean, strict=True):
        y, x, turn = find(np.round(high * 255).astype(np.uint8), places)
        low = orientations(low)[turn]
        errors = {}
        for (down, right), whole in phases.items():
            top, left = y + margin - down, x + margin - right
            expected = whole[top : top + patch, left : left + patch]
            if expected.shape == low.shape:
                errors[down, right] = np.abs(low - expected).max()
        best = min(errors, key=errors.get)
        assert errors[best] < 2e-6
        used.add(((y - best[0]) % scale, (x - best[1]) % scale))
    assert len(used) == scale**2


@pytest.mark.parametrize("factors", [(1.0,), (0.8,)])
def test_small_images_and_the_sub_pixels_of_their_scale(tmp_path, factors):
    """What is known of an example is a patch of which its small image is the bicubic one."""
    patch, scales = 12, (2, 3, 4)
    images = {"a": random_image(160, 140, 1), "b": random_image(61, 180, 2)}
    records = make_records(tmp_path, images, "y")
    config = PipelineConfig(
        "sr", 4, patch, scales=scales, upsample="after", scale_augmentation=factors
    )
    batches = make_dataset(records, config).unbatch().batch(240).take(1)
    degraded, clean = next(batches.as_numpy_iterator())
    assert degraded.shape == (240, patch, patch, 1)
    assert clean.shape == (240, patch, patch, 4 + 9 + 16)
    seen = collections.Counter()
    for small, subpixels in zip(degraded[..., 0], clean, strict=True):
        known = ~np.isnan(subpixels)
        first, scale = {0: (0, 2), 4: (4, 3), 13: (13, 4)}[int(np.argmax(known[0, 0]))]
        expected = np.zeros(29, bool)
        expected[first : first + scale**2] = True
        assert (known == expected).all()
        truth = np.zeros((scale * patch, scale * patch), "float32")
        for number in range(scale**2):
            truth[number // scale :: scale, number % scale :: scale] = subpixels[
                ..., first + number
            ]
        assert truth.min() >= 0
        assert truth.max() <= 1
        # The borders of the small image feel what lies around the patch.
        inner = imresize(truth, 1 / scale)[2:-2, 2:-2]
        np.testing.assert_allclose(small[2:-2, 2:-2], inner, atol=2e-6)
        seen[scale] += 1
    assert min(seen[scale] for scale in scales) > 50


def test_borders_of_small_images_feel_the_real_pixels(tmp_path):
    patch, scale = 8, 3
    image = random_image(60, 54, 4)
    records = make_records(tmp_path, {"one": image}, "y")
    config = PipelineConfig("sr", 4, patch, scales=(scale,), upsample="after")
    batches = make_dataset(records, config).unbatch().batch(60).take(1)
    degraded, clean = next(batches.as_numpy_iterator())
    margin = 2 * scale
    padded = np.pad(image, margin, "symmetric").astype(np.float32) / 255
    places = mirrored_patches(image, scale * patch)
    for small, subpixels in zip(degraded[..., 0], clean, strict=True):
        apart = subpixels.reshape(patch, patch, scale, scale).transpose(0, 2, 1, 3)
        truth = np.round(255 * apart.reshape(scale * patch, scale * patch)).astype(np.uint8)
        y, x, turn = find(truth, places)
        size = scale * patch + 2 * margin
        expected = imresize(padded[y : y + size, x : x + size], 1 / scale)[2:-2, 2:-2]
        np.testing.assert_allclose(orientations(small)[turn], expected, atol=2e-6)


def test_sr_mixes_its_scales(tmp_path):
    records = make_records(tmp_path, small_images(), "y")
    each = [take(records, PipelineConfig("sr", 4, 12, scales=(s,)), 200) for s in (2, 4)]
    errors = [np.mean((degraded - clean) ** 2) for degraded, clean in each]
    degraded, clean = take(records, PipelineConfig("sr", 4, 12, scales=(2, 4)), 400)
    assert errors[0] < np.mean((degraded - clean) ** 2) < errors[1]


@pytest.mark.parametrize("task", ["denoise", "sr"])
def test_scale_augmentation_shrinks(task, tmp_path):
    """A ramp stays a ramp and gets steeper by 1 / factor."""
    patch, factors = 20, np.array(ALL_FACTORS)
    ramp = np.repeat(np.arange(250, dtype=np.uint8)[None], 120, 0)
    channel = {"denoise": "grey", "sr": "y"}[task]
    records = make_records(tmp_path, {"ramp": ramp}, channel)
    _, clean = take(records, PipelineConfig(task, 4, patch, scale_augmentation=ALL_FACTORS), 500)
    assert clean.min() >= 0
    assert clean.max() <= 1
    slopes = np.abs(clean[:, -3, -3] - clean[:, 2, 2]) * 255 / (patch - 5)
    # A crop has a whole number of pixels, which changes the factor a little; near the ends of
    # the ramp, and of the grey levels, the image is mirrored or clipped.
    nearest = np.abs(slopes[:, None] - 1 / factors).argmin(1)
    close = np.abs(slopes * factors[nearest] - 1) < 0.02
    assert close.mean() > 0.9
    assert np.bincount(nearest[close], minlength=5).min() > 60


def test_unshrunk_examples_are_exact_under_scale_augmentation(tmp_path):
    images = small_images()
    records = make_records(tmp_path, images)
    config = PipelineConfig("denoise", 4, 12, scale_augmentation=(1.0, 0.6))
    _, clean = take(records, config, 100)
    quantised = np.round(clean * 255)
    exact = np.abs(clean * 255 - quantised).max((1, 2)) < 1e-4
    assert 30 < exact.sum() < 70
    places = [mirrored_patches(image, 12) for image in images.values()]
    for patch in quantised[exact].astype(np.uint8):
        assert any(find(patch, place) for place in places)
