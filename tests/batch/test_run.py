"""Batches on this machine: complete, the same bytes as one by one, and completed after a kill."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from nlrn_tf.batch.run import FAILURES, run_batch
from nlrn_tf.batch.settings import BatchSettings
from nlrn_tf.errors import NLRNError
from nlrn_tf.files import writing
from nlrn_tf.imaging.files import read_photo
from nlrn_tf.restoration import one_file
from nlrn_tf.restoration.files import restore_files
from nlrn_tf.restoration.settings import InputSettings, OutputSettings, RestorationSettings
from nlrn_tf.storage.locks import lock_folder
from tests.support.batches import files_below, listed, make_photos, small_denoiser
from tests.support.image_files import by_opencv

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return small_denoiser(tmp_path_factory.mktemp("weights") / "small.keras")


def one_by_one(photos, output, settings):
    """What `run_restore.py` makes of the sound images, which is by another way."""
    with pytest.raises(NLRNError, match="could not be restored"):
        restore_files(settings, [photos], output, say=lambda _: None)
    return files_below(output)


def command(photos, output, weights, *arguments):
    pattern = f"{photos}/**/*.*"
    words = [ROOT / "run_batch.py", f"--input={pattern}", f"--output={output}", *arguments]
    return [sys.executable, *map(str, words), f"--weights={weights}", "--direct_num_workers=2"]


def check_complete(photos, output, damaged, expected):
    """All good ones with the same bytes, all bad ones listed, and nothing else."""
    found = files_below(output)
    entries = listed(output / FAILURES)
    assert {entry["input"] for entry in entries} == {str(photos / name) for name in damaged}
    assert all(entry["error"].startswith(f"{entry['input']}: ") for entry in entries)
    del found[FAILURES]
    assert found.keys() == expected.keys()
    assert found == expected


def test_two_processes(tmp_path, weights):
    photos, output = tmp_path / "photos", tmp_path / "batch"
    damaged = make_photos(photos, 40)
    assert len(damaged) == 2
    expected = one_by_one(photos, tmp_path / "single", RestorationSettings(weights=str(weights)))
    done = subprocess.run(
        command(photos, output, weights), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.splitlines()
    assert line == (
        f"run_batch.py: 2 of 40 images could not be restored; {output / FAILURES} lists them with "
        "the reasons"
    )
    assert done.stdout.startswith("38 images restored (")
    check_complete(photos, output, damaged, expected)


def test_a_second_run_does_what_is_left(tmp_path, weights):
    photos, output = tmp_path / "photos", tmp_path / "batch"
    [damaged] = make_photos(photos, 20)
    settings = RestorationSettings(weights=str(weights), noise_sigma=17.0, strength=0.5)
    expected = one_by_one(photos, tmp_path / "single", settings)
    first = run_batch(str(photos), str(output), settings)
    assert (first.images, first.skipped, first.failures) == (19, 0, 1)
    pixels = (read_photo(path).pixels for path in output.rglob("*.png"))
    assert first.pixels == sum(image.shape[0] * image.shape[1] for image in pixels)
    assert 0 < first.restoring_seconds < first.seconds
    check_complete(photos, output, {damaged}, expected)

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    lost = output / "a" / "0001.png"
    lost.unlink()
    (photos / damaged).write_bytes((photos / "a" / "0001.jpg").read_bytes())
    second = run_batch(str(photos), str(output), settings)
    assert (second.images, second.skipped, second.failures) == (2, 18, 0)
    assert listed(output / FAILURES) == []
    assert lost.read_bytes() == expected["a/0001.png"]
    del before[lost]
    assert before == {path: path.stat().st_mtime_ns for path in before}

    third = run_batch(*(str(photos), str(output), settings), outputs=OutputSettings(overwrite=True))
    assert (third.images, third.skipped) == (20, 0)
    assert all(path.stat().st_mtime_ns > time for path, time in before.items())


def test_a_stack_stays_one_and_is_not_done_twice(tmp_path, weights, rng):
    photos, output = tmp_path / "photos", tmp_path / "batch"
    photos.mkdir()
    pages = rng.integers(0, 65536, (3, 20, 24), np.uint16)
    tifffile.imwrite(photos / "stack.tif", pages, imagej=True, metadata={"axes": "ZYX"})
    settings = RestorationSettings(weights=str(weights), noise_sigma=25.0)
    restore_files(settings, [photos], tmp_path / "single", say=lambda _: None)
    first = run_batch(str(photos), str(output), settings)
    assert (first.images, first.pixels, first.failures) == (1, pages.size, 0)
    expected = (tmp_path / "single" / "stack.tif").read_bytes()
    assert (output / "stack.tif").read_bytes() == expected
    second = run_batch(str(photos), str(output), settings)
    assert (second.images, second.skipped) == (0, 1)


def test_what_is_listed(tmp_path, weights):
    photos, output = tmp_path / "photos", tmp_path / "batch"
    make_photos(photos, 7)
    png = by_opencv(".png", 3)
    (photos / "cut.png").write_bytes(png[: len(png) // 2])
    (photos / "large.png").write_bytes(cv2.imencode(".png", np.zeros((60, 70), np.uint8))[1])
    twin = photos / "a" / "0001.bmp"  # beside 0001.jpg
    twin.write_bytes((photos / "0000.png").read_bytes())
    (photos / "notes.txt").write_text("no image")
    (photos / ".hidden.png").write_text("hidden")
    (photos / "deep.png").write_bytes(by_opencv(".png", 3, np.uint16))
    strange = os.fsdecode(b"not-utf8-\xff.png")
    (photos / strange).write_bytes(b"no image")
    outcome = run_batch(
        *(f"{photos}/**", str(output), RestorationSettings(weights=str(weights))),
        BatchSettings(failures=str(tmp_path / "bad.jsonl")),
        reading=InputSettings(max_pixels=60 * 60, accept_damaged=True),
        outputs=OutputSettings(suffix=".jpg"),
    )
    entries = {Path(entry["input"]).name: entry for entry in listed(tmp_path / "bad.jsonl")}
    written = [path.name for path in output.rglob("*.jpg")]
    assert outcome.images == len(written)
    assert outcome.failures == sum("error" in entry for entry in entries.values())
    for name, other in (("0001.jpg", twin), ("0001.bmp", photos / "a" / "0001.jpg")):
        assert f"{other} would become {output}/a/0001.jpg too" in entries[name]["error"]
    assert "0001.jpg" not in written
    assert ".jpg cannot hold 16 bits" in entries["deep.png"]["error"]
    assert "claims 70 x 60 pixels" in entries["large.png"]["error"]
    assert "begins as no PNG" in entries[strange]["error"]
    assert entries["cut.png"]["damage"] == "its end is missing"
    assert "cut.jpg" in written


def test_what_stops_a_batch_is_one_line(tmp_path, weights):
    make_photos(tmp_path / "photos", 1)
    photos = str(tmp_path / "photos")

    def complaint(pattern=photos, output=tmp_path / "out", settings=None, batch=None, options=()):
        with pytest.raises(NLRNError) as caught:
            run_batch(
                *(str(pattern), str(output), settings or RestorationSettings(weights=str(weights))),
                batch or BatchSettings(),
                beam_options=options,
            )
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert complaint(f"{photos}/*.gif").endswith("photos/*.gif: no file matches")
    assert "Unable to get filesystem" in complaint("nosuch://photos")
    assert "nonsense: no such option" in complaint(options=["--nonsense"])
    assert "invalid int value" in complaint(options=["--max_cache_memory_usage_mb=x"])
    assert "Unexpected pipeline runner: No" in complaint(batch=BatchSettings(runner="NoRunner"))
    missing = RestorationSettings(weights="missing.keras")
    assert complaint(settings=missing).startswith("missing.keras: no such weights file")
    with lock_folder(tmp_path / "out"), pytest.raises(NLRNError, match="in use by process"):
        run_batch(photos, str(tmp_path / "out"))


def test_a_full_disk_ends_a_batch(tmp_path, weights, monkeypatch):
    make_photos(tmp_path / "photos", 3)

    def write_photo(path, photo):
        with writing(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(one_file, "write_photo", write_photo)
    settings = RestorationSettings(weights=str(weights))
    with pytest.raises(NLRNError, match=r"\.png: cannot be written \(No space left") as caught:
        run_batch(str(tmp_path / "photos"), str(tmp_path / "out"), settings)
    assert str(caught.value).endswith("free some space or choose another place")


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again(tmp_path, weights):
    """Twice killed, with all its processes, each time when some results are there."""
    photos, output = tmp_path / "photos", tmp_path / "batch"
    damaged = make_photos(photos, 500)
    assert len(damaged) == 25
    single = subprocess.run(
        [
            *(sys.executable, ROOT / "run_restore.py", photos, "-o", tmp_path / "single"),
            f"--weights={weights}",
        ],
        capture_output=True,
        check=False,
    )
    assert single.returncode == 1
    expected = files_below(tmp_path / "single")
    assert len(expected) == 475
    finished = {}
    for moment in sorted(random.Random(5).sample(range(1, 450), 2)):
        with subprocess.Popen(
            command(photos, output, weights), start_new_session=True, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None and len(results(output)) < moment:
                time.sleep(0.01)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        for name, result in results(output).items():
            assert result.read_bytes() == expected[name]  # none half-written
        assert finished.items() <= times(output).items()  # none done twice
        finished = times(output)
        assert len(finished) >= moment
    done = subprocess.run(command(photos, output, weights), capture_output=True, check=False)
    assert done.returncode == 1
    assert finished.items() <= times(output).items()
    assert f"{475 - len(finished)} images restored".encode() in done.stdout
    check_complete(photos, output, damaged, expected)


def results(output):
    """What has the name of a result."""
    found = output.rglob("[!.]*.png") if output.exists() else ()
    return {str(path.relative_to(output)): path for path in found}


def times(output):
    return {name: path.stat().st_mtime_ns for name, path in results(output).items()}
