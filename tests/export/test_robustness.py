"""What a server meets: malformed requests, a slow first request, versions that appear meanwhile."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import nlrn_tf
from nlrn_tf.errors import NLRNError
from nlrn_tf.export import saved_model
from nlrn_tf.files import atomic_folder
from nlrn_tf.weights.loading import save_model
from tests.support.export import (
    Export,
    export_small_network,
    from_file,
    photograph,
    run_by_c_api,
    to_batch,
    to_file,
    warmup_requests_of,
)

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20

POLL = """
import json, pathlib, sys
folder, seen, stopped = pathlib.Path(sys.argv[1]), {}, False
print("ready", flush=True)
while not stopped:
    stopped = (folder / "stop").exists()  # then it looks once more
    for version in folder.glob("[0-9]*"):
        files = sorted((str(p.relative_to(version)), p.stat().st_size, p.stat().st_mtime_ns)
                       for p in version.rglob("*") if p.is_file())
        seen.setdefault(version.name, set()).add(json.dumps(files))
print(json.dumps({name: sorted(states) for name, states in seen.items()}))
"""


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory) -> Export:
    return export_small_network(tmp_path_factory.mktemp("dn"), task="denoise", noise_sigma=25)


def _malformed_requests(count: int) -> list[tuple[str, dict]]:
    rng = np.random.default_rng(0)
    image = photograph(40, 50, 3)
    png, jpeg = to_file(image), to_file(image, ".jpg")
    values = to_batch(image)
    bomb = bytearray(png)
    bomb[16:24] = np.array([16384, 16384], ">u4").tobytes()
    data = jpeg.index(b"\xff\xda") + 14
    bad_pixels = values.copy()
    bad_pixels[0, 3, 4, 1] = np.nan
    kinds = [
        lambda: ("restore_bytes", {"image_bytes": [png[: rng.integers(1, len(png))]]}),
        lambda: ("restore_bytes", {"image_bytes": [png, jpeg[: rng.integers(1, len(jpeg))]]}),
        lambda: ("restore_bytes", {"image_bytes": [jpeg[:data] + rng.bytes(4000)]}),
        lambda: ("restore_bytes", {"image_bytes": [b"\xff\xd8\xff" + rng.bytes(4000)]}),
        lambda: ("restore_bytes", {"image_bytes": [b""]}),
        lambda: ("restore_bytes", {"image_bytes": []}),
        lambda: ("restore_bytes", {"image_bytes": [b"an image, please"]}),
        lambda: ("restore_bytes", {"image_bytes": [bytes(bomb)]}),
        lambda: ("restore_bytes", {"image_bytes": values}),
        lambda: ("serving_default", {"inputs": values.astype(np.float64)}),
        lambda: ("serving_default", {"inputs": [png]}),
        lambda: ("serving_default", {"inputs": values[0]}),
        lambda: ("serving_default", {"inputs": np.float32(0.5)}),
        lambda: ("serving_default", {"inputs": values[:, :, :0]}),
        lambda: ("serving_default", {"inputs": values[..., :2]}),
        lambda: ("serving_default", {"inputs": np.zeros((1, 1001, 1000, 1), np.float32)}),
        lambda: ("serving_default", {"inputs": bad_pixels}),
        lambda: ("serving_default", {"inputs": values + np.inf}),
        lambda: ("serving_default", {"inputs": 255 * values}),
    ]
    return [kinds[number % len(kinds)]() for number in range(count)]


def test_malformed_requests_give_errors_and_nothing_else(denoiser):
    image = photograph(40, 50, 3)
    good = [
        ("restore_bytes", {"image_bytes": [to_file(image)]}),
        ("serving_default", {"inputs": to_batch(image)}),
    ]
    malformed = _malformed_requests(200)
    before = [*warmup_requests_of(denoiser.folder), *good, *malformed[:19]]
    answer = run_by_c_api(denoiser.folder, [*before, *malformed, *good])
    errors = answer["results"][len(before) : -len(good)]
    assert len(errors) == 200
    for request, error in zip(malformed, errors, strict=True):
        assert isinstance(error, str), request
        assert error.startswith("3: "), error  # INVALID_ARGUMENT
    files, floats = answer["results"][-len(good) :]
    expected = nlrn_tf.restore(denoiser.model, image)
    np.testing.assert_array_equal(from_file(files["restored_bytes"][0]), expected)
    expected = nlrn_tf.restore(denoiser.model, to_batch(image)[0])
    np.testing.assert_allclose(floats["output"][0], expected, atol=1e-5)
    growth = answer["rss"][-1] - answer["rss"][len(before) - 1]
    assert growth < 16 * MEBIBYTE


def test_a_reader_sees_whole_versions_only(denoiser):
    folder = denoiser.folder.parent
    weights = folder.parent / "small.keras"
    command = [sys.executable, "-c", POLL, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        reader.stdout.readline()
        try:
            exported = saved_model.export_saved_model(weights, folder)
        finally:
            (folder / "stop").touch()
        seen = json.loads(reader.stdout.read())
    (folder / "stop").unlink()
    assert exported == folder / "2"
    assert {name: len(states) for name, states in seen.items()} == {"1": 1, "2": 1}
    names = {name for name, *_ in json.loads(seen["2"][0])}
    assert names == {
        "assets.extra/tf_serving_warmup_requests",
        "assets/metadata.json",
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    }
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def test_a_failed_export_leaves_nothing(denoiser, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(saved_model, "write_warmup_requests", fail)
    weights = denoiser.folder.parents[1] / "small.keras"
    with pytest.raises(RuntimeError, match="no"):
        saved_model.export_saved_model(weights, tmp_path / "exported")
    assert not list((tmp_path / "exported").iterdir())


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_and_is_one_line(denoiser, tmp_path):
    """The system tells of a limit of the size of files as it tells of a full disk."""
    weights = denoiser.folder.parents[1] / "small.keras"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises(NLRNError, match=r"exported/1: cannot be written \(.*File too large\);"):
            saved_model.export_saved_model(weights, tmp_path / "exported")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "exported").iterdir())


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("n" * 256, r"cannot be written \(File name too long\)"),
        ("/dev/null/x", r"^/dev/null/x/1: cannot be written \(Not a directory\)"),
        ("x\udcff", "the name is not UTF-8"),
    ],
)
def test_places_that_cannot_be(denoiser, tmp_path, place, message):
    weights = denoiser.folder.parents[1] / "small.keras"
    with pytest.raises(NLRNError, match=message):
        saved_model.export_saved_model(weights, tmp_path / place)


def test_weights_that_are_not_finite_are_refused(denoiser, tmp_path):
    denoiser.model.conv_out.bias.assign([np.nan])
    save_model(denoiser.model, tmp_path / "nan.keras")
    denoiser.model.conv_out.bias.assign([0.0])
    with pytest.raises(NLRNError, match=r"nan\.keras: gives values that are not finite"):
        saved_model.export_saved_model(tmp_path / "nan.keras", tmp_path / "exported")
    assert not list((tmp_path / "exported").iterdir())


def test_another_backend_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(NLRNError, match="KERAS_BACKEND=jax"):
        saved_model.export_saved_model("denoise_s25", tmp_path)


@pytest.mark.parametrize("content", [(), ("file",)])
def test_a_folder_that_appears_meanwhile_is_not_replaced(tmp_path, content):
    def write():
        with atomic_folder(tmp_path / "1") as made:
            (made / "new").touch()
            (tmp_path / "1").mkdir()
            for name in content:
                (tmp_path / "1" / name).touch()

    with pytest.raises(NLRNError, match="exists already"):
        write()
    assert [path.name for path in (tmp_path / "1").iterdir()] == list(content)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def _run_export(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "run_export.py", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_an_existing_version_is_never_written_over(denoiser):
    folder = denoiser.folder.parent
    run = _run_export(f"--export_dir={folder}", "--version=1")
    assert run.returncode == 1
    assert run.stderr == (
        f"run_export.py: {folder}/1: exists already; choose another version, or leave it out "
        "for the next one\n"
    )


def test_wrong_flags(tmp_path):
    assert _run_export().returncode == 2
    for wrong in (
        ["--version=0"],
        ["--max_pixels=0"],
        ["--format=tflite"],
        ["--size=20x30"],
        ["--format=tflite", "--size=20"],
        ["--format=onnx", "--version=2"],
    ):
        run = _run_export(f"--export_dir={tmp_path}", *wrong)
        assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    missing = _run_export(f"--export_dir={tmp_path}", "--weights=no_such")
    assert missing.returncode == 1
    assert "no_such: no such weights file" in missing.stderr
    assert not list(tmp_path.iterdir())
