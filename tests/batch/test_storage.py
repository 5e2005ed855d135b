"""A file system that is not this machine's."""

import os
from pathlib import Path

import pytest

from nlrn_tf.batch import storage
from nlrn_tf.batch.run import run_batch
from nlrn_tf.errors import NLRNError
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import OutputSettings, RestorationSettings
from tests.support.batches import files_below, make_photos, small_denoiser
from tests.support.memory_files import MemoryFileSystem


@pytest.fixture(autouse=True)
def files():
    MemoryFileSystem.clear()
    yield MemoryFileSystem.files
    MemoryFileSystem.clear()


def test_files_appear_when_they_are_whole(files):
    storage.write("memory://d/out/x/a.png", b"first", "memory://d/out")
    storage.write("memory://d/out/x/a.png", b"second", "memory://d/out")
    assert files == {"memory://d/out/x/a.png": b"second"}
    for unfinished, target in MemoryFileSystem.renamed:
        assert unfinished.startswith(f"memory://d/out/{storage.UNFINISHED}/")
        assert target == "memory://d/out/x/a.png"
    assert len(set(MemoryFileSystem.renamed)) == 2
    assert storage.exists("memory://d/out/x/a.png")
    assert not storage.exists("memory://d/out/x/b.png")


def test_what_a_kill_has_left_is_removed(files):
    left = f"memory://d/out/{storage.UNFINISHED}/123"
    files.update({left: b"half", "memory://d/out/a.png": b"whole"})
    storage.remove_unfinished("memory://d/out")
    assert files == {"memory://d/out/a.png": b"whole"}


def test_errors_name_the_file(files):
    with pytest.raises(NLRNError, match=r"^memory://d/no.png: cannot be read \(BeamIOError: no "):
        storage.read("memory://d/no.png")
    files["memory://d/large.png"] = bytes(100)

    def refuse(size):
        raise NLRNError(f"{size} bytes are too many")

    with pytest.raises(NLRNError, match="100 bytes are too many"):
        storage.read("memory://d/large.png", refuse)


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "file.png").write_bytes(b"")
    assert [*storage.matching(f"{tmp_path}/*.png")] == [str(tmp_path / "file.png")]


def test_a_batch(files, tmp_path):
    """Inputs, results, the list and the weights are there."""
    [damaged] = make_photos(tmp_path / "photos", 9)
    weights = small_denoiser(tmp_path / "small.keras")
    settings = RestorationSettings(weights=str(weights))
    with pytest.raises(NLRNError, match="1 of 9"):
        restore_files(settings, [tmp_path / "photos"], tmp_path / "single", say=lambda _: None)
    expected = {
        f"memory://d/out/{name}": content
        for name, content in files_below(tmp_path / "single").items()
    }
    inputs = {
        f"memory://d/in/{name}": content
        for name, content in files_below(tmp_path / "photos").items()
    }
    files.update(inputs)
    files["memory://d/small.keras"] = Path(weights).read_bytes()
    settings = RestorationSettings(weights="memory://d/small.keras")
    outcome = run_batch("memory://d/in/**", "memory://d/out", settings)
    assert (outcome.images, outcome.failures) == (8, 1)
    lines = files.pop(outcome.listed).splitlines()
    assert len(lines) == 1
    assert f"memory://d/in/{damaged}".encode() in lines[0]
    found = {name: content for name, content in files.items() if name.startswith("memory://d/out")}
    assert found == expected
    overwritten = run_batch(
        *("memory://d/in/**", "memory://d/out", settings), outputs=OutputSettings(overwrite=True)
    )
    assert overwritten.images == 8
    del files[outcome.listed]
    again = {name: content for name, content in files.items() if name.startswith("memory://d/out")}
    assert again == expected
