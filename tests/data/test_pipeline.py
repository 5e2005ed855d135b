"""The pipeline against brute force: each example is looked up in the images it comes from."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
from nlrn_tf.data.records import ensure_records
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.files import read_image
from tests.support.pipeline import (
    find,
    make_records,
    mirrored_patches,
    random_image,
    small_images,
    take,
)


@pytest.fixture(scope="module")
def images():
    return small_images()


@pytest.fixture(scope="module")
def records(images, tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("grey"), images)


@pytest.fixture(scope="module")
def sr_records(images, tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("y"), images, "y")


def test_clean_patches_are_crops_and_the_noise_is_gaussian(records, images):
    degraded, clean = take(records, PipelineConfig("denoise", patch_size=16, noise_sigma=30), 200)
    assert degraded.dtype == clean.dtype == np.float32
    found = set()
    for patch in clean:
        exact = np.round(patch * 255).astype(np.uint8)
        np.testing.assert_array_equal(patch, exact.astype(np.float32) / np.float32(255))
        names = [n for n, image in images.items() if find(exact, mirrored_patches(image, 16))]
        assert len(names) == 1
        found.update(names)
    assert found == set(images)
    noise = (degraded - clean) * 255
    assert noise.std() == pytest.approx(30, rel=0.02)
    assert abs(noise.mean()) < 0.5
    assert degraded.min() < 0  # not clipped
    assert degraded.max() > 1
    neighbours = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert abs(neighbours) < 0.02


def test_every_level_is_drawn_and_is_the_scale_of_the_image(tmp_path):
    records = make_records(tmp_path, {"white": np.full((20, 20), 255, np.uint8)})
    config = PipelineConfig("denoise", patch_size=9, noise_sigma=15, noise_levels=(15, 30, 50))
    degraded, clean = take(records, config, 900)
    whites = clean[:, 0, 0]
    np.testing.assert_array_equal(clean, np.broadcast_to(whites[:, None, None], clean.shape))
    scales, counts = np.unique(whites, return_counts=True)
    np.testing.assert_allclose(scales, [0.3, 0.5, 1], rtol=1e-6)
    assert counts.min() > 240
    for scale in scales:  # restored by f(y) = f0(a y) / a, the noise is that of the level
        noise = (degraded - clean)[whites == scale] * 255
        assert noise.std() == pytest.approx(15, rel=0.02)


def test_a_level_that_is_named_twice_is_drawn_twice_as_often_and_one_may_be_weaker(tmp_path):
    records = make_records(tmp_path, {"white": np.full((20, 20), 255, np.uint8)})
    config = PipelineConfig("denoise", patch_size=9, noise_sigma=25, noise_levels=(10, 50, 50))
    scales, counts = np.unique(take(records, config, 900)[1][:, 0, 0], return_counts=True)
    np.testing.assert_allclose(scales, [0.5, 2.5], rtol=1e-6)
    assert 520 < counts[0] < 680  # of 900, a standard deviation of 14


@pytest.mark.parametrize(("sigma", "levels"), [(25, (0.0, 25)), (25, (float("nan"),)), (0, (25,))])
def test_levels_without_noise_are_refused(sigma, levels):
    with pytest.raises(NLRNError, match=r"noise_levels.* is not allowed"):
        PipelineConfig("denoise", noise_sigma=sigma, noise_levels=levels)


@pytest.mark.parametrize("size", [(12, 14), (6, 7)], ids=["larger", "smaller than the patch"])
def test_every_position_and_orientation_is_equally_likely(size, tmp_path):
    image = random_image(*size, 7)
    records = make_records(tmp_path, {"one": image})
    _, clean = take(records, PipelineConfig("denoise", patch_size=8), 6000)
    places = mirrored_patches(image, 8)
    seen = {}
    for patch in np.round(clean * 255).astype(np.uint8):
        place = find(patch, places)
        seen[place] = seen.get(place, 0) + 1
    states = 8 * (abs(size[0] - 8) + 1) * (abs(size[1] - 8) + 1)
    counts = np.array(list(seen.values()) + [0] * (states - len(seen)))
    assert None not in seen
    assert counts.size == states
    chi_squared = np.sum((counts - 6000 / states) ** 2) / (6000 / states)
    # Mean states - 1, variance 2 (states - 1): five standard deviations.
    assert chi_squared < states - 1 + 5 * np.sqrt(2 * (states - 1))


def test_an_epoch_visits_each_image_by_its_area(tmp_path):
    # The grey level tells which image a patch is from: 4, 1 and 2 patch areas.
    levels = {"a": ((40, 40), 10), "b": ((20, 20), 20), "c": ((20, 41), 30)}
    flat = {name: np.full(size, level, np.uint8) for name, (size, level) in levels.items()}
    records = make_records(tmp_path, flat)
    config = PipelineConfig("denoise", patch_size=20, noise_sigma=0, seed=3)
    _, clean = take(records, config, 7 * 40)
    epochs = np.round(clean[:, 0, 0] * 255).astype(int).reshape(40, 7)
    for epoch in epochs:
        assert sorted(epoch) == [10, 10, 10, 10, 20, 30, 30]
    assert len({tuple(epoch) for epoch in epochs}) > 20
    held_out = PipelineConfig("denoise", patch_size=20, exclude=("set/a",))
    _, clean = take(records, held_out, 30)
    assert set(np.round(clean[:, 0, 0] * 255)) == {20, 30}


@pytest.mark.parametrize("factors", [(1.0,), (1.0, 0.8)])
@pytest.mark.parametrize("task", ["denoise", "sr"])
def test_resuming_gives_what_an_uninterrupted_run_gives(
    task, factors, records, sr_records, tmp_path
):
    folder = {"denoise": records, "sr": sr_records}[task]
    config = PipelineConfig(task, 6, 12, seed=5, scale_augmentation=factors)
    whole = take(folder, config, 150)  # more than two epochs
    for first in (0, 1, 59, 61, 140):
        other = PipelineConfig(task, 5, 12, seed=5, scale_augmentation=factors)
        resumed = take(folder, other, 10, first_example=first)
        for expected, array in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(array, expected[first : first + 10])


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_batches_make_up_the_batches(records, parts):
    """Through the end of an epoch; a batch of 6 has the same examples however it is shared."""
    config = PipelineConfig("denoise", 6, 12, seed=5, scale_augmentation=(1.0, 0.7))
    whole = take(records, config, 90, first_example=61)
    shares = [
        take(records, config, 90 // parts, first_example=61, share=(part, parts))
        for part in range(parts)
    ]
    for expected, *arrays in zip(whole, *shares, strict=True):
        by_batch = [array.reshape(15, 6 // parts, 12, 12) for array in arrays]
        np.testing.assert_array_equal(
            np.concatenate(by_batch, axis=1).reshape(90, 12, 12), expected
        )


def test_resuming_late_is_quick_and_equal(records):
    config = PipelineConfig("denoise", 4, 12)
    start = time.monotonic()
    late = take(records, config, 10, first_example=5_000_000)
    assert time.monotonic() - start < 10
    before = take(records, config, 310, first_example=5_000_000 - 300)
    for expected, array in zip(before, late, strict=True):
        np.testing.assert_array_equal(array, expected[300:])


def test_a_new_process_gives_the_same_examples(records, tmp_path):
    program = (
        "import sys, numpy as np\n"
        "from nlrn_tf.data.pipeline import PipelineConfig, make_dataset\n"
        "config = PipelineConfig('denoise', 4, 12, seed=9, scale_augmentation=(1.0, 0.7))\n"
        "batch = next(iter(make_dataset(sys.argv[1], config, first_example=1234)))\n"
        "np.savez(sys.argv[2], *batch)\n"
    )
    output = tmp_path / "batch.npz"
    subprocess.run(
        [sys.executable, "-c", program, str(records), str(output)],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    config = PipelineConfig("denoise", 4, 12, seed=9, scale_augmentation=(1.0, 0.7))
    here = next(iter(make_dataset(records, config, first_example=1234)))
    with np.load(output) as there:
        for name, array in zip(there.files, here, strict=True):
            np.testing.assert_array_equal(there[name], array)


def test_shards_and_cache_do_not_change_the_examples(records, images, tmp_path):
    config = PipelineConfig("denoise", 4, 12)
    expected = take(records, config, 100)
    variants = [
        take(make_records(tmp_path, images, num_shards=3), config, 100),
        take(records, config, 100, cache_bytes=0),
    ]
    for variant in variants:
        np.testing.assert_array_equal(variant, expected)


def test_seeds_differ_and_batches_have_their_shape(records):
    one, two = (take(records, PipelineConfig("denoise", 4, 12, seed=s), 20) for s in (0, 1))
    assert not np.array_equal(one[1], two[1])
    dataset = make_dataset(records, PipelineConfig("denoise", 3, 12))
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(3, 12, 12, 1)] * 2


def test_records_of_another_task_or_image_name_are_refused(records, sr_records):
    with pytest.raises(NLRNError, match="channel 'grey'"):
        make_dataset(records, PipelineConfig("sr"))
    with pytest.raises(NLRNError, match="channel 'y'"):
        make_dataset(sr_records, PipelineConfig("denoise"))
    with pytest.raises(NLRNError, match="no image 'set/x'"):
        make_dataset(records, PipelineConfig("denoise", exclude=("set/x",)))
    everything = tuple(f"set/{name}" for name in "abcd")
    with pytest.raises(NLRNError, match="every image is excluded"):
        make_dataset(records, PipelineConfig("denoise", exclude=everything))
    with pytest.raises(NLRNError, match=r"manifest\.json"):
        make_dataset(records.parent, PipelineConfig("denoise"))


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_record_file_is_named(damage, images, tmp_path):
    folder = make_records(tmp_path, images)
    shard = folder / "images-00001-of-00002.tfrecord"
    content = bytearray(shard.read_bytes())
    if damage == "remove":
        shard.unlink()
    else:
        content[len(content) // 2] ^= 1
        shard.write_bytes(content[:-7] if damage == "truncate" else content)
    with pytest.raises(NLRNError, match=r"images-00001-of-00002\.tfrecord"):
        make_dataset(folder, PipelineConfig("denoise"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "deblur"},
        {"batch_size": 0},
        {"patch_size": 0},
        {"noise_sigma": -1.0},
        {"noise_sigma": float("nan")},
        {"task": "sr", "scales": ()},
        {"task": "sr", "scales": (1,)},
        {"seed": -1},
        {"scale_augmentation": ()},
        {"scale_augmentation": (1.5,)},
    ],
)
def test_wrong_configurations_are_refused(wrong):
    with pytest.raises(NLRNError):
        PipelineConfig(**{"task": "denoise", **wrong})


def test_real_images(data_dir, tmp_path):
    """Training examples of BSDS500 lie in their image and spread over many images."""
    records = tmp_path / "records"
    ensure_records(records, data_dir, sources=["BSDS500/test"], channel="grey", progress=False)
    _, clean = take(records, PipelineConfig("denoise", patch_size=25), 50)
    assert clean.shape == (50, 25, 25)
    assert len(np.unique(clean.mean((1, 2)))) == 50
    first = read_image(next(iter(sorted((data_dir / "BSDS500" / "test").glob("*.jpg")))))
    assert first.ndim == 3
