"""Flag files as editors write them mean what the same flags mean in a shell."""

import shlex

import pytest

from nlrn_tf.storage.flag_file import flags_of, safe

PLAIN = "--task=denoise\n--noise_sigma=25\n--overwrite\n"
EXPECTED = ["--task=denoise", "--noise_sigma=25", "--overwrite"]


@pytest.fixture
def read(tmp_path):
    def parse(content):
        path = tmp_path / "own.cfg"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return flags_of(path)

    return parse


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        "\ufeff".encode("utf-16-be") + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", " \t\u00a0\n"),
        PLAIN.rstrip("\n"),
        "# of mine\n\n// too\n" + PLAIN + "  # at the end\n",
        PLAIN.replace("\n", "  # why\n"),
        '--task=\'denoise\'\n--noise_sigma="25" # loud\n"--overwrite"\n',
        "--task=denoise --noise_sigma=25   --overwrite",
        "--task = denoise\n--noise_sigma= 25\n--overwrite",
    ],
    ids=range(13),
)
def test_what_editors_do_to_a_file_changes_nothing(read, content):
    assert read(content) == EXPECTED


def test_name_and_value_may_be_apart(read):
    assert read("--task denoise\n-o 'my folder'") == ["--task", "denoise", "-o", "my folder"]


@pytest.mark.parametrize(
    "line",
    [
        "--workdir='my runs # 5'",
        '--workdir="a --steps=5"',
        '"--workdir=my runs"',
        "--images=a,b",
        "--workdir=C#/x",
        "--workdir=it's",
        "--workdir=",
    ],
)
def test_a_line_means_what_it_means_in_a_shell(read, line):
    in_shell = shlex.split(line) if line.count("'") != 1 else [line]
    assert read(line) == in_shell


def test_spaces_need_no_quotes(read):
    assert read("--workdir=my runs  ") == ["--workdir=my runs"]


def test_what_is_no_text_is_refused(read):
    for content in (b"--seed=\xff", b"--seed=1\0"):
        with pytest.raises(ValueError, match=r"utf-8|not a text"):
            read(content)


@pytest.mark.parametrize("value", ["run # 5", "a --b", " x ", "'x'", "it's # 1", "plain", "", "C#"])
def test_flags_that_were_written_are_read_as_they_were(read, value):
    assert read(safe(f"--steps=5\n--workdir={value}\n")) == ["--steps=5", f"--workdir={value}"]
