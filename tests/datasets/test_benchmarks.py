import math

import numpy as np
import pytest

from nlrn_tf.datasets.benchmarks import (
    BENCHMARKS,
    Benchmark,
    benchmark_images,
    paper_figures,
)
from nlrn_tf.datasets.prepare import prepare, report
from nlrn_tf.datasets.sources import ImageSet, choose_sets, pixel_checksum, public_sets
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.files import write_image
from nlrn_tf.imaging.quality import psnr, ssim
from nlrn_tf.imaging.samples import to_uint8
from nlrn_tf.tasks.denoising import Denoising
from nlrn_tf.tasks.super_resolution import SuperResolution


def colour(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def mean_score(metric, pairs, border=0):
    return np.mean([metric(truth, to_uint8(degraded), border) for truth, degraded in pairs])


# BSD68 at sigma 50 is 14.9145 by this rule, which rounds to 8 bits. Truncating gives 14.9195; the
# other five figures are the same both ways.
@pytest.mark.parametrize(
    ("name", "sigma", "expected"),
    [
        ("Set12", 15, 24.68),
        ("Set12", 25, 20.35),
        ("Set12", 50, 14.77),
        ("BSD68", 15, 24.79),
        ("BSD68", 25, 20.48),
        ("BSD68", 50, 14.91),
    ],
)
def test_noisy_figures_of_the_protocol(data_dir, name, sigma, expected):
    paths = benchmark_images(name, data_dir)
    pairs = (Denoising().pair(path, index, noise_sigma=sigma) for index, path in enumerate(paths))
    assert round(mean_score(psnr, pairs), 2) == expected


def bicubic_pairs(name, data_dir, scale):
    """Of each image of a set the true and the bicubically enlarged one."""
    task = SuperResolution()
    for path in benchmark_images(name, data_dir):
        truth, small = task.pair(path, 0, scale=scale)
        yield truth, task.input_image(small, scale=scale)


# Published figures of MATLAB's bicubic, as in the tables of DRRN.
@pytest.mark.parametrize(
    ("scale", "decibel", "similarity"),
    [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)],
)
def test_bicubic_figures_of_set5(data_dir, scale, decibel, similarity):
    pairs = list(bicubic_pairs("Set5", data_dir, scale))
    assert round(mean_score(psnr, pairs, scale), 2) == decibel
    assert round(mean_score(ssim, pairs, scale), 4) == similarity


@pytest.mark.parametrize(
    ("name", "scale", "decibel"),
    [
        ("Set14", 2, 30.23),
        ("Set14", 3, 27.54),
        ("Set14", 4, 26.00),
        ("BSD100", 2, 29.56),
        ("BSD100", 3, 27.21),
        ("BSD100", 4, 25.96),
        pytest.param("Urban100", 2, 26.87, marks=pytest.mark.slow),
        pytest.param("Urban100", 3, 24.46, marks=pytest.mark.slow),
        pytest.param("Urban100", 4, 23.14, marks=pytest.mark.slow),
    ],
)
def test_bicubic_figures_of_the_other_sets(data_dir, name, scale, decibel):
    pairs = bicubic_pairs(name, data_dir, scale)
    assert mean_score(psnr, pairs, scale) == pytest.approx(decibel, abs=0.01)


@pytest.mark.parametrize("name", [name for name, one in BENCHMARKS.items() if one.home is None])
def test_sets_are_complete(data_dir, name):
    paths = benchmark_images(name, data_dir)
    assert len(paths) == BENCHMARKS[name].count
    assert paths == sorted(paths)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_every_format_is_read(tmp_path, suffix):
    for index in range(5):
        write_image(tmp_path / "Set5" / f"{index}{suffix}", colour(8, 9, index))
    paths = benchmark_images("Set5", tmp_path)
    clean, noisy = Denoising().pair(paths[0], 0, noise_sigma=25)
    truth, small = SuperResolution().pair(paths[0], 0, scale=2)
    assert clean.shape == noisy.shape == (8, 9)
    assert (truth.shape, small.shape) == ((8, 8), (4, 4))


def test_a_missing_set_says_where_it_belongs_and_what_gets_it(tmp_path):
    with pytest.raises(NLRNError) as error:
        benchmark_images("BSD100", tmp_path)
    assert str(tmp_path / "BSDS500" / "val") in str(error.value)
    assert f"prepare_datasets.py --data_dir={tmp_path}" in str(error.value)


@pytest.mark.parametrize("count", [4, 6])
def test_another_number_of_images_is_refused_unless_asked_for(tmp_path, count):
    for index in range(count):
        write_image(tmp_path / "Set5" / f"{index}.png", colour(4, 4))
    with pytest.raises(NLRNError, match=f"holds {count} images, but Set5 has 5"):
        benchmark_images("Set5", tmp_path)
    names = [path.name for path in benchmark_images("Set5", tmp_path, max_images=2)]
    assert names == ["0.png", "1.png"]


def test_an_unknown_set_is_refused(tmp_path):
    with pytest.raises(NLRNError, match="Set12"):
        benchmark_images("Set13", tmp_path)


def test_a_set_that_no_command_gets_says_where_it_is(tmp_path):
    with pytest.raises(NLRNError, match=r"S14.* put the 14 images of https://.*/S14 there"):
        benchmark_images("S14", tmp_path)


def test_figures_of_the_paper():
    table, figures = paper_figures("Set12", "denoise", 25.0)
    assert (table, figures["NLRN"]) == (4, {"psnr": 30.80, "ssim": 0.8689})
    table, figures = paper_figures("Urban100", "sr", 4)
    assert (table, figures["NLRN"]) == (6, {"psnr": 25.79, "ssim": 0.7729})
    table, figures = paper_figures("BSD200", "denoise", 30)
    assert (table, figures["NLRN"]) == (5, {"psnr": 28.15, "ssim": 0.8423})
    table, figures = paper_figures("S14", "denoise", 30)
    assert (table, figures["NLRN-MV"]) == (5, {"psnr": 29.41, "ssim": 0.8472})
    assert paper_figures("Urban100", "denoise", 50)[0] == 4
    assert paper_figures("Set12", "denoise", 20) is None
    assert paper_figures("Set12", "sr", 2) is None


@pytest.mark.parametrize("name", BENCHMARKS)
def test_figures_of_the_paper_are_plausible(name):
    for task, levels in (("denoise", (15, 25, 30, 50, 70)), ("sr", (2, 3, 4))):
        for level in levels:
            _, figures = paper_figures(name, task, level) or (0, {})
            for figure in figures.values():
                assert 20 < figure["psnr"] < 40
                assert figure["ssim"] is None or 0.5 < figure["ssim"] < 1
            best = max((figure["psnr"] for figure in figures.values()), default=math.nan)
            assert not figures or best in (
                figures["NLRN"]["psnr"],
                figures.get("NLRN-MV", {}).get("psnr"),
            )


def test_a_new_set_is_an_entry_in_each_of_two_tables(tmp_path, monkeypatch):
    """Got from local files by its checksums, and scored: the noise alone tells the PSNR."""
    rows, columns = np.mgrid[:60, :80]
    for number, name in enumerate(("first", "second", "third")):
        waves = 128 + 25 * np.sin(rows / (4 + number)) * np.cos(columns / 7)
        write_image(tmp_path / "mine" / "below" / f"{number}.png", waves.astype(np.uint8))
        other = np.zeros((4, 5 + number), np.uint8)
        write_image(tmp_path / "mine" / f"{name}.png", other)  # the name alone does not count
    checksums = {
        name: pixel_checksum(tmp_path / "mine" / "below" / f"{number}.png")
        for number, name in enumerate(("first", "second", "third"))
    }
    waves = ImageSet("waves/test", "https://waves.example", (), "pixels", checksums)
    monkeypatch.setitem(public_sets(), waves.folder, waves)
    monkeypatch.setitem(BENCHMARKS, "Waves", Benchmark(waves.folder, 3, "denoise"))

    data = tmp_path / "data"
    chosen = choose_sets(["waves"], public_sets())
    report(data, chosen, *prepare(data, chosen, tmp_path / "mine"))
    sigma = 15
    settings = EvaluationSettings("Waves", noise_sigma=sigma, method="identity")
    scores = evaluate(settings, data_dir=data)
    assert [image["name"] for image in scores["images"]] == [
        "first.png",
        "second.png",
        "third.png",
    ]
    # Rounding to 8 bits adds 1/12 to the variance. 4800 pixels tell it to 2 %, 0.09 dB.
    expected = 10 * math.log10(255**2 / (sigma**2 + 1 / 12))
    assert scores["psnr"] == pytest.approx(expected, abs=0.15)
    assert paper_figures("Waves", "denoise", sigma) is None
