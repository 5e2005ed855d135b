import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nlrn_tf.data import record_files, records
from nlrn_tf.data.record_files import finished_images, written_images
from nlrn_tf.data.record_sources import Source
from nlrn_tf.errors import NLRNError
from tests.support.records import build, write_images


@pytest.fixture
def sources(tmp_path):
    write_images(tmp_path / "data")
    paths = sorted((tmp_path / "data" / "colour").iterdir())
    return [Source(path, f"colour/{path.stem}") for path in paths]


def test_few_images_wait_for_the_writer():
    """However slow it is: they begin when earlier ones have been taken."""
    begun, taken = 0, 0
    lock = threading.Lock()

    def read(item):
        nonlocal begun
        with lock:
            begun += 1
        return 2 * item

    with ThreadPoolExecutor(8) as pool:
        results = record_files._in_order(pool, read, range(1000))
        for expected in range(0, 2000, 2):
            assert next(results) == expected
            taken += 1
            assert begun <= taken + record_files._AHEAD
        assert list(results) == []
    assert begun == 1000


def test_a_finished_file_is_that_of_its_images_as_they_are_now(sources, tmp_path):
    path, done = tmp_path / "records", []
    with ThreadPoolExecutor() as pool:
        assert finished_images(path, sources, "grey", pool) is None
        stored = written_images(path, sources, "grey", pool, lambda: done.append(1))
        assert [image.name for image in stored.images] == [source.name for source in sources]
        assert [*stored.stamps] == [source.name for source in sources]
        assert len(done) == len(stored.images)
        assert finished_images(path, sources, "grey", pool) == stored
        assert finished_images(path, sources, "y", pool) is None
        assert finished_images(path, sources[:-1], "grey", pool) is None
        assert finished_images(path, [*sources, sources[0]], "grey", pool) is None
        assert finished_images(path, sources[::-1], "grey", pool) is None
        content = sources[0].path.read_bytes()
        sources[0].path.write_bytes(sources[1].path.read_bytes())
        assert finished_images(path, sources, "grey", pool) is None
        sources[0].path.write_bytes(content)
        changed = bytearray(path.read_bytes())
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        assert finished_images(path, sources, "grey", pool) is None


def test_an_image_that_cannot_be_read_leaves_no_file(sources, tmp_path):
    sources[2].path.write_bytes(b"no image")
    with ThreadPoolExecutor() as pool, pytest.raises(NLRNError, match=r"c2\.png"):
        written_images(tmp_path / "records", sources, "grey", pool, lambda: None)
    assert not (tmp_path / "records").exists()


def test_shards_by_size(tmp_path, monkeypatch):
    write_images(tmp_path / "data")
    assert len(build(tmp_path / "data", "few", num_shards=None).shards) == records.FEWEST_SHARDS
    size = sum(path.stat().st_size for path in (tmp_path / "data").rglob("*.*"))
    monkeypatch.setattr(records, "SHARD_BYTES", size // 5)
    many = build(tmp_path / "data", "many", num_shards=None)
    assert len(many.shards) == 6
    assert {shard.images for shard in many.shards} == {1, 2}
