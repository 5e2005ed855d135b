import hashlib

import numpy as np
import pytest
import tensorflow as tf

from nlrn_tf.data import record_files
from nlrn_tf.data.record_manifest import load_records
from nlrn_tf.data.record_reading import example_reader, read_examples, reading
from nlrn_tf.errors import NLRNError
from nlrn_tf.imaging.colour import rgb_to_grey, rgb_to_y
from nlrn_tf.imaging.files import read_image, write_image
from tests.support.records import build, write_images


@pytest.fixture
def data(tmp_path):
    """Five colour and two grey images of different sizes."""
    write_images(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(("channel", "convert"), [("grey", rgb_to_grey), ("y", rgb_to_y)])
def test_records_hold_every_image_without_loss_and_in_order(channel, convert, data):
    records = build(data, channel=channel)
    files = [
        *sorted((data / "colour").iterdir()),
        *sorted((data / "grey" / "part").iterdir()),
    ]
    names = [f"{path.parent.relative_to(data)}/{path.stem}" for path in files]
    assert [image.name for image in records.images] == names
    assert records.sources == {"colour": 5, "grey/part": 2}
    assert records.pixels == sum(image.height * image.width for image in records.images)
    examples = list(read_examples(records).as_numpy_iterator())
    assert len(examples) == 7
    for path, name, image, example in zip(files, names, records.images, examples, strict=True):
        stored = read_image(path)
        expected = stored if stored.ndim == 2 else convert(stored)
        np.testing.assert_array_equal(example["image"], expected[..., None])
        assert example["image"].dtype == np.uint8
        assert example["name"].decode() == name
        assert example["channel"].decode() == channel == records.channel
        assert example["schema_version"] == 1
        assert (example["height"], example["width"]) == expected.shape
        assert (image.height, image.width) == expected.shape
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert example["source_sha256"].decode() == digest


def test_the_manifest_describes_the_record_files(data):
    records = build(data)
    assert load_records(records.directory) == records
    names = [f"images-{i:05d}-of-00003.tfrecord" for i in range(3)]
    assert sorted(path.name for path in records.directory.iterdir()) == [
        *names,
        "manifest.json",
        "sources.json",
    ]
    for path, shard in zip(records.paths, records.shards, strict=True):
        content = path.read_bytes()
        assert (shard.bytes, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert shard.images == len(list(tf.data.TFRecordDataset(str(path))))
    records.verify()


def test_single_examples_are_read_from_their_place_in_the_file(data):
    records = build(data)
    read = example_reader(records)
    numbers = tf.data.Dataset.from_tensor_slices(tf.constant([6, 0, 3, 3, 5], tf.int64))
    expected = list(read_examples(records).as_numpy_iterator())
    for number, example in zip([6, 0, 3, 3, 5], numbers.map(read), strict=True):
        for key, value in expected[number].items():
            np.testing.assert_array_equal(example[key], value)


def test_complete_records_are_left_alone_even_without_the_data(data):
    records = build(data)
    before = {path: path.stat().st_mtime_ns for path in records.directory.iterdir()}
    assert build(data) == records
    (data / "colour").rename(data / "gone")
    assert build(data, num_shards=5) == records
    assert {path: path.stat().st_mtime_ns for path in records.directory.iterdir()} == before


def test_an_interrupted_build_keeps_finished_files_and_ends_equal(data, monkeypatch):
    whole = build(data, "whole")
    encode = record_files._encode

    def fail_at_the_last_shard(source, channel):
        if source.name == "colour/c2":  # the first image of the last shard
            raise KeyboardInterrupt
        return encode(source, channel)

    monkeypatch.setattr(record_files, "_encode", fail_at_the_last_shard)
    with pytest.raises(KeyboardInterrupt):
        build(data)
    folder = data.parent / "records"
    finished = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert [path.name for path in sorted(finished)] == [shard.file for shard in whole.shards[:2]]
    monkeypatch.setattr(record_files, "_encode", encode)
    resumed = build(data)
    assert (resumed.shards, resumed.images) == (whole.shards, whole.images)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


@pytest.mark.parametrize("change", ["damaged", "other image", "other channel", "other order"])
def test_unfinished_files_of_something_else_are_made_again(change, data):
    sources = ["colour", "grey/part"]
    if change == "other order":
        sources.reverse()
    old = build(data, sources=sources, channel="y" if change == "other channel" else "grey")
    (old.directory / "manifest.json").unlink()
    if change == "damaged":
        old.paths[0].write_bytes(old.paths[0].read_bytes()[:-3])
    if change == "other image":
        write_image(data / "colour" / "c0.png", np.zeros((5, 5), np.uint8))
    new, fresh = build(data), build(data, "fresh")
    assert (new.shards, new.images) == (fresh.shards, fresh.images)
    new.verify()


def test_a_removed_record_file_is_made_again(data):
    records = build(data)
    records.paths[1].unlink()
    assert build(data) == records
    records.verify()


def test_records_of_something_else_are_refused(data):
    build(data)
    with pytest.raises(NLRNError, match="channel 'grey', not 'y'"):
        build(data, channel="y")
    with pytest.raises(NLRNError, match="records of colour, grey/part, not of colour"):
        build(data, sources=["colour"])
    write_image(data / "colour" / "new.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(NLRNError, match=r"made from 5 images of colour, but .* now holds 6"):
        build(data)


def test_damaged_files_are_named_by_verify_and_while_reading(data):
    records = build(data)
    records.paths[2].write_bytes(records.paths[2].read_bytes()[:-20])
    with pytest.raises(NLRNError, match=r"images-00002-of-00003\.tfrecord: .* bytes instead of"):
        records.verify()
    with pytest.raises(NLRNError, match=r"images-00002-of-00003"), reading(records):
        list(read_examples(records))


def test_unusable_sources_are_named(data):
    with pytest.raises(NLRNError, match="nowhere: no such folder; sources are folders of images"):
        build(data, sources=["nowhere"])
    with pytest.raises(NLRNError, match="each only once"):
        build(data, sources=["colour", "colour"])
    with pytest.raises(NLRNError, match="channel 'rgb'"):
        build(data, channel="rgb")
    with pytest.raises(NLRNError, match="number of shards"):
        build(data, num_shards=0)
    (data / "colour" / "c9.png").write_bytes(b"not an image")
    with pytest.raises(NLRNError, match=r"c9\.png"):
        build(data)
    write_image(data / "colour" / "c9.png", np.zeros((5, 5), np.uint8))
    write_image(data / "colour" / "c9.bmp", np.zeros((5, 5), np.uint8))
    with pytest.raises(NLRNError, match=r"c9\.png: has the same name as .*c9\.bmp"):
        build(data)


def test_more_shards_than_images(data):
    records = build(data, sources=["grey/part"], num_shards=8)
    assert [shard.images for shard in records.shards] == [1, 1]
