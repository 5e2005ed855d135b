"""Foreign files: whatever goes wrong is one line that names the file."""

import zipfile

import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.archive import open_archive
from nlrn_tf.storage.reading import MAX_JSON_BYTES, read_json, reading


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "RecursionError|recursion"),
        (b'{"a":' * 100_000, "recursion"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1, "a": 2}', "two entries of one name"),
        (b"\xff\xfe", "utf-8"),
        (b"1" * 5000, "not JSON"),
        (b"7", r"must be an object, not 7"),
        (b" " * (MAX_JSON_BYTES + 1), "more than 67108864 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_json_that_is_none(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(
        NLRNError, match=rf"file\.json: damaged file \(.*{message}.*\); get another$"
    ):
        read_json(path, dict[str, object], "damaged file", "get another")


def test_files_without_an_end_are_not_read_to_it():
    with pytest.raises(NLRNError, match=r"/dev/zero: damaged file .it has more than"):
        read_json("/dev/zero", object, "damaged file")


@pytest.mark.parametrize(
    "error",
    [
        RecursionError("deep"),
        NotImplementedError(),
        MemoryError(),
        IndexError("\x1b[2J"),
        OSError(),
    ],
    ids=repr,
)
def test_any_exception_is_told(error):
    with pytest.raises(NLRNError) as caught, reading("a.npz", "damaged"):
        raise error
    line = str(caught.value)
    assert line.startswith("a.npz: ")
    assert line.isprintable()


def test_errors_that_name_the_file_pass_and_others_get_its_name():
    own = NLRNError("a.npz: is of step 3")
    with pytest.raises(NLRNError) as caught, reading("a.npz", "damaged"):
        raise own
    assert caught.value is own
    expected = r"a\.npz: damaged \(filters=0 is not allowed\)"
    with pytest.raises(NLRNError, match=expected), reading("a.npz", "damaged"):
        raise NLRNError("filters=0 is not allowed")


def test_ctrl_c_passes():
    with pytest.raises(KeyboardInterrupt), reading("a.npz", "damaged"):
        raise KeyboardInterrupt


def test_archives_are_opened_only_as_we_write_them(tmp_path):
    path = tmp_path / "a.zip"

    def refused(message):
        with pytest.raises(ValueError, match=message), open_archive(path):
            pass

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(10**7))
    refused("compressed")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", "two")
    refused("same name")
    path.write_bytes(b"text")
    refused("not a zip archive")
