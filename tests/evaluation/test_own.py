"""People's own folders are scored: clean images by the protocol, pairs as they are."""

import io

import numpy as np
import pytest
from rich.console import Console
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from nlrn_tf.datasets.own import own_set
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.colour import rgb_to_y
from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.resize import imresize
from nlrn_tf.tasks.denoising import add_gaussian_noise

PHOTOS = {"one": data.astronaut()[:41, :52], "two": data.astronaut()[100:140, 60:110]}


def noisy(image, sigma, seed):
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.fixture
def denoising_pairs(tmp_path):
    """Two pairs in colour, in different formats, one with an alpha channel that says nothing."""
    for seed, (name, clean) in enumerate(PHOTOS.items()):
        write_image(tmp_path / "clean" / f"{name}.png", clean)
        degraded = noisy(clean, 12, seed)
        if seed:
            degraded = np.dstack([degraded, np.full(degraded.shape[:2], 255, np.uint8)])
        write_image(tmp_path / "noisy" / f"{name}{('.bmp', '.png')[seed]}", degraded)
    return tmp_path


def evaluated(folder, **settings):
    output = io.StringIO()
    settings = EvaluationSettings(dataset=str(folder), **settings)
    result = evaluate(settings, console=Console(file=output, width=200))
    return result, output.getvalue()


def test_pairs_are_scored_as_they_are(denoising_pairs):
    result, shown = evaluated(denoising_pairs, method="identity")
    assert [image["name"] for image in result["images"]] == ["one.png", "two.png"]
    for seed, (image, clean) in enumerate(zip(result["images"], PHOTOS.values(), strict=True)):
        expected = peak_signal_noise_ratio(clean, noisy(clean, 12, seed))
        assert image["psnr"] == pytest.approx(expected, abs=1e-6)
    assert "Degraded images as they are in their files; scored as 8 bits." in shown


def test_the_level_of_pairs_is_measured(denoising_pairs):
    differences = [
        (noisy(clean, 12, seed) - clean.astype(float)).ravel()
        for seed, clean in enumerate(PHOTOS.values())
    ]
    expected = np.sqrt(np.mean(np.square(np.concatenate(differences))))
    settings = EvaluationSettings(dataset=str(denoising_pairs))
    assert (settings.task, settings.in_colour) == ("denoise", True)
    assert settings.noise_sigma == round(expected, 1)
    assert settings.weights.startswith("denoise_s")  # the best at this level
    assert EvaluationSettings(dataset=str(denoising_pairs), noise_sigma=30).noise_sigma == 30


def test_a_network_is_scored_on_pairs(denoising_pairs):
    """One that returns grey whatever it is given."""
    result = evaluate(
        EvaluationSettings(dataset=str(denoising_pairs), colour="channels", noise_sigma=12),
        model=lambda images: images * 0 + 0.5,
    )
    for image, clean in zip(result["images"], PHOTOS.values(), strict=True):
        expected = peak_signal_noise_ratio(clean, np.full_like(clean, 128))
        assert image["psnr"] == pytest.approx(expected, abs=1e-6)


def test_pairs_of_sixteen_bits(tmp_path):
    clean = data.camera()[:40, :50].astype(np.uint16) * 16
    degraded = np.clip(clean + np.random.default_rng(0).normal(0, 160, clean.shape), 0, 4095)
    clean[0, 0] = 4095  # of 12 bits
    write_image(tmp_path / "clean" / "a.png", clean)
    write_image(tmp_path / "noisy" / "a.tif", degraded.astype(np.uint16))
    result, _ = evaluated(tmp_path, method="identity")
    eight = [np.rint(image / 4095 * 255).astype(np.uint8) for image in (clean, degraded)]
    assert result["psnr"] == pytest.approx(peak_signal_noise_ratio(*eight), abs=0.05)


def test_clean_images_are_degraded_by_the_protocol(tmp_path):
    write_image(tmp_path / "a.png", PHOTOS["one"])
    write_image(tmp_path / "deeper" / "b.png", PHOTOS["two"])
    (tmp_path / "notes.txt").write_text("")
    result, shown = evaluated(tmp_path, method="identity", noise_sigma=20)
    assert "skipped 1: 1 (no image by its name: notes.txt)" in shown
    assert [image["name"] for image in result["images"]] == ["a.png", "b.png"]
    for index, (image, clean) in enumerate(zip(result["images"], PHOTOS.values(), strict=True)):
        degraded = np.clip(np.rint(255 * add_gaussian_noise(clean, 20, index)), 0, 255)
        expected = peak_signal_noise_ratio(clean, degraded.astype(np.uint8))
        assert image["psnr"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("is_paired", [True, False])
def test_super_resolution(tmp_path, is_paired):
    for name, clean in PHOTOS.items():
        high = clean[:39, :48]  # of multiples of 3
        low = imresize(high, 1 / 3)
        write_image(tmp_path / ("HR" if is_paired else "") / f"{name}.png", high)
        if is_paired:
            write_image(tmp_path / "LR" / f"{name}.png", low)
    given = {} if is_paired else {"scale": 3, "quantize_lr": True}
    settings = EvaluationSettings(dataset=str(tmp_path), method="bicubic", **given)
    assert (settings.task, settings.scale, settings.in_colour) == ("sr", 3, False)
    result = evaluate(settings)
    for image, clean in zip(result["images"], PHOTOS.values(), strict=True):
        high = clean[:39, :48]
        low = rgb_to_y(imresize(high, 1 / 3)) if is_paired else imresize(rgb_to_y(high), 1 / 3)
        enlarged = imresize((low / 255).astype(np.float32), 3)
        enlarged = np.clip(np.rint(255 * enlarged), 0, 255).astype(np.uint8)
        inner = [x[3:-3, 3:-3] for x in (rgb_to_y(high), enlarged)]
        assert image["psnr"] == pytest.approx(peak_signal_noise_ratio(*inner), abs=1e-6)


def test_what_does_not_fit_is_named(tmp_path, denoising_pairs):
    folder = str(denoising_pairs)
    with pytest.raises(NLRNError, match=r"holds pairs for task denoise \(clean and noisy\)"):
        EvaluationSettings(dataset=folder, task="sr")
    own_set.cache_clear()
    (denoising_pairs / "noisy" / "one.bmp").rename(denoising_pairs / "noisy" / "three.bmp")
    with pytest.raises(NLRNError, match=r"noisy: lacks 1 of 2 images \(one\)"):
        EvaluationSettings(dataset=folder)
    write_image(denoising_pairs / "clean" / "three.png", PHOTOS["two"])
    with pytest.raises(NLRNError, match=r"noisy: lacks 1 of 3 images \(one\)"):
        EvaluationSettings(dataset=folder)
    (denoising_pairs / "clean" / "one.png").unlink()
    with pytest.raises(NLRNError, match=r"three\.bmp: is not of the size of .*three\.png"):
        EvaluationSettings(dataset=folder)
    for name in ("x/a.png", "x/y/a.jpg"):
        write_image(tmp_path / name, PHOTOS["one"])
    with pytest.raises(NLRNError, match=r"a\.jpg: has the same name as .*a\.png"):
        EvaluationSettings(dataset=str(tmp_path / "x"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NLRNError, match="empty: holds no image"):
        EvaluationSettings(dataset=str(tmp_path / "empty"))
    with pytest.raises(NLRNError, match=r"dataset=nowhere is not allowed: .*or a folder of images"):
        EvaluationSettings(dataset="nowhere")


def test_pairs_at_another_scale_are_named(tmp_path):
    for name, size in (("a", 20), ("b", 13)):
        write_image(tmp_path / "HR" / f"{name}.png", np.zeros((40, 40), np.uint8))
        write_image(tmp_path / "LR" / f"{name}.png", np.zeros((size, 20), np.uint8))
    with pytest.raises(NLRNError, match=r"b\.png: is 20 x 13, which is not that of .*at scale 2"):
        evaluated(tmp_path, method="bicubic")
