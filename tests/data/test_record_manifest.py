"""Manifests that are damaged or contradict the record files: no training on other data."""

import json

import pytest

from nlrn_tf.data.pipeline import PipelineConfig, make_dataset
from nlrn_tf.data.record_manifest import load_records
from nlrn_tf.data.record_reading import reading
from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.locks import lock_folder
from tests.support.records import build, write_images


@pytest.fixture
def data(tmp_path):
    """Five colour and two grey images of different sizes."""
    write_images(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "data"
    write_images(folder)
    return build(folder)


def test_wrong_manifests_are_refused(data):
    records = build(data)
    path = records.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    wrong = {
        "schema version 2": json.dumps({**manifest, "schema_version": 2}),
        "must be an object": "[]",
        "is not JSON": "{",
        "'shards'": json.dumps({k: v for k, v in manifest.items() if k != "shards"}),
    }
    for message, text in wrong.items():
        path.write_text(text)
        with pytest.raises(NLRNError, match=rf"manifest\.json: .*{message}"):
            load_records(records.directory)
        with pytest.raises(NLRNError, match=rf"manifest\.json: .*{message}"):
            build(data)


def without(index, *keys):
    """Removes an entry of a list within the manifest."""

    def change(manifest):
        for key in keys:
            del manifest[key][index]

    return change


def put(value, *keys):
    """Sets an entry of the manifest."""

    def change(manifest):
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(0, "shards"), "record file 0 of 2 is images-00001-of-00003"),
        (without(-1, "shards"), "record file 0 of 2 is images-00000-of-00003"),
        (without(6, "images"), "not of the size of its images"),
        (put([], "shards"), "no record files"),
        (put([], "images"), "no record files or no images"),
        (put("../x.tfrecord", "shards", 0, "file"), "file must be like images"),
        (put(-1, "shards", 0, "bytes"), "at least 1"),
        (put(2**40, "shards", 0, "bytes"), "not of the size"),
        (put("0" * 63, "shards", 0, "sha256"), "sha256 must be like"),
        (put(3.0, "shards", 0, "images"), "images must be a whole number"),
        (put(2**31 - 1, "images", 0, "height"), "more pixels than fit into its bytes"),
        (put(2**40, "images", 0, "height"), "height must be at least 1"),
        (put("colour/c1", "images", 0, "name"), "not those of the sources"),
        (put("other/c0", "images", 0, "name"), "not those of the sources"),
        (put(None, "images", 0, "name"), "name must be a text"),
        (put(4, "sources", "colour"), "not those of the sources"),
        (put(["colour"], "sources"), "sources must be an object"),
        (put(7, "channel"), "channel must be a text"),
        (put(1, "more"), "unknown entry 'more'"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(sound, tmp_path, change, message):
    manifest = json.loads((sound.directory / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(NLRNError, match=rf"manifest\.json: damaged manifest .*{message}"):
        load_records(tmp_path)


def test_a_manifest_of_100_000_brackets(tmp_path):
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(NLRNError, match="recursion"):
        load_records(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", "colour/other"), ("height", 11), ("width", 19)],
)
def test_images_that_are_not_as_the_manifest_says_are_not_trained_on(data, name, value):
    records = build(data)
    path = records.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["images"][0][name] = value
    path.write_text(json.dumps(manifest))
    config = PipelineConfig(task="denoise", patch_size=5)
    changed = load_records(records.directory)
    for cache_bytes in (2**31, 0):

        def first_batch(cache_bytes=cache_bytes):
            with reading(changed):
                next(iter(make_dataset(changed.directory, config, cache_bytes=cache_bytes)))

        with pytest.raises(NLRNError, match=r"colour/\w+ is not as the manifest says"):
            first_batch()


def test_lengths_in_a_record_file_are_not_believed(data):
    """TensorFlow makes room for as many bytes as the head of a record says."""
    records = build(data)
    (records.directory / "manifest.json").unlink()
    for length in (2**62, 2**40, 10**6, 0):
        head = length.to_bytes(8, "little")
        path = records.paths[1]
        path.write_bytes(head + masked_crc(head) + path.read_bytes()[12:])
        assert build(data) == records
        (records.directory / "manifest.json").unlink()


def masked_crc(content):
    """The checksum of TFRecord files: CRC-32C, rotated and shifted."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


def test_one_process_at_a_time_makes_records(data):
    expected = pytest.raises(NLRNError, match=r"records: in use by process \d+ on")
    with lock_folder(data.parent / "records"), expected:
        build(data)
    records = build(data)
    with lock_folder(data.parent / "records"):
        assert build(data) == records  # to read them is free


def test_a_folder_that_is_not_utf_8(data):
    with pytest.raises(NLRNError, match=r"records.udcff: the name is not UTF-8"):
        build(data, "records\udcff")
