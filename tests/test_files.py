import os

import pytest

from nlrn_tf import files
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import (
    atomic_path,
    require_text,
    write_bytes,
    write_text,
    writing_by_tensorflow,
)


def test_makes_the_folder_and_writes(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "grün")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "grün"


@pytest.mark.parametrize("name", ["n" * 250 + ".png", "名" * 80 + ".png"])
def test_names_may_be_as_long_as_the_file_system_takes(tmp_path, name):
    write_bytes(tmp_path / name, b"content")
    assert os.listdir(tmp_path) == [name]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half of the new")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(NLRNError, match=r"file\.bin.*No space left"):
        write_bytes(tmp_path / "file.bin", b"new")
    assert os.listdir(tmp_path) == []


def test_files_have_the_permissions_of_the_umask(tmp_path):
    write_bytes(tmp_path / "file", b"")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_in_the_way_is_an_error(tmp_path):
    with pytest.raises(NLRNError, match="cannot be written"):
        write_bytes(tmp_path, b"")


def test_a_full_disk_met_by_tensorflow_is_one_line(tmp_path):
    """Which tells of it by exceptions of its own; /dev/full is a disk without space."""
    import tensorflow as tf

    with pytest.raises(NLRNError) as caught, writing_by_tensorflow(tmp_path / "model"):
        tf.io.write_file("/dev/full", "content")
    assert str(caught.value) == (
        f"{tmp_path / 'model'}: cannot be written (/dev/full; No space left on device); "
        "free some space or choose another place"
    )
    with pytest.raises(KeyError), writing_by_tensorflow(tmp_path / "model"):
        raise KeyError("of the program")


def test_names_that_are_not_utf_8_are_written_into_texts_as_they_are(tmp_path):
    write_text(tmp_path / "flags.cfg", "--data_dir=\udcff")
    assert (tmp_path / "flags.cfg").read_bytes() == b"--data_dir=\xff"


@pytest.mark.parametrize("name", ["a\udcff", "a\0b"])
def test_names_that_other_libraries_do_not_take(name):
    assert require_text("größe").name == "größe"
    with pytest.raises(NLRNError, match="the name is not UTF-8") as caught:
        require_text(name)
    assert str(caught.value).isprintable()
