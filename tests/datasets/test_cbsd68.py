"""CBSD68: the colour originals of BSD68 among BSDS500 val, found by content."""

import numpy as np
import pytest

from nlrn_tf.datasets.benchmarks import (
    BENCHMARKS,
    benchmark_images,
    paper_figures,
    published_figures,
)
from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import evaluate
from nlrn_tf.evaluation.settings import EvaluationSettings
from nlrn_tf.imaging.colour import rgb_to_grey
from nlrn_tf.imaging.files import read_image, write_image
from nlrn_tf.imaging.quality import psnr, ssim


def test_the_images_are_those_of_bsd68(data_dir):
    """Each image of BSD68 is the grey of one of them, up to rounding, and of no other twice."""
    grey = {path: rgb_to_grey(read_image(path)) for path in benchmark_images("CBSD68", data_dir)}
    assert len(grey) == 68
    found = set()
    for path in benchmark_images("BSD68", data_dir):
        wanted = read_image(path).astype(float)
        same = [p for p, g in grey.items() if g.shape == wanted.shape]
        errors = {p: np.sqrt(np.mean((grey[p] - wanted) ** 2)) for p in same}
        best = min(errors, key=errors.get)
        assert errors[best] < 0.1
        found.add(best)
    assert len(found) == 68


def test_it_is_scored_in_colour(tmp_path):
    rng = np.random.default_rng(0)
    names = sorted(BENCHMARKS["CBSD68"].names)[:2]
    for name in (*names, "100007"):  # the last one is no part of the set
        image = rng.integers(60, 200, (40, 44, 3), np.uint8)
        write_image(tmp_path / "BSDS500" / "val" / f"{name}.png", image)
    settings = EvaluationSettings("CBSD68", noise_sigma=25, method="identity", max_images=5)
    result = evaluate(settings, data_dir=tmp_path, output_dir=tmp_path / "out")
    assert [image["name"] for image in result["images"]] == [f"{name}.png" for name in names]
    assert result["psnr"] == pytest.approx(20.17, abs=0.15)  # 20 log10(255 / 25), little clipped
    written = read_image(tmp_path / "out" / f"{names[0]}.png")
    truth = read_image(tmp_path / "BSDS500" / "val" / f"{names[0]}.png")
    assert psnr(truth, written) == result["images"][0]["psnr"]
    assert ssim(truth, written) == result["images"][0]["ssim"]
    assert read_image(tmp_path / "out" / f"{names[0]}_comparison.png").ndim == 3


def test_other_tasks_have_no_protocol_in_colour(tmp_path):
    write_image(tmp_path / "BSDS500" / "val" / "101085.png", np.zeros((20, 20, 3), np.uint8))
    settings = EvaluationSettings("CBSD68", scale=2, method="bicubic", max_images=1)
    with pytest.raises(NLRNError, match="not in colour"):
        evaluate(settings, data_dir=tmp_path)


def test_published_figures_fall_with_the_noise():
    figures = [published_figures("CBSD68", sigma) for sigma in (15.0, 25.0, 50.0)]
    for method in ("CBM3D", "DnCNN", "FFDNet"):
        values = [row[method]["psnr"] for row in figures]
        assert values == sorted(values, reverse=True)
    assert published_figures("CBSD68", 37.0) == published_figures("Set5", 2) == {}


@pytest.mark.parametrize("sigma", [15.0, 25.0, 50.0])
@pytest.mark.parametrize("dataset", ["Set12", "BSD68"])
def test_grey_figures_stand_beside_those_of_the_paper(dataset, sigma):
    """FFDNet is near DnCNN, above it at strong noise alone, and below the paper's network."""
    _, paper = paper_figures(dataset, "denoise", sigma)
    found = published_figures(dataset, sigma)["FFDNet"]["psnr"]
    dncnn = paper["DnCNN"]["psnr"]
    assert abs(found - dncnn) < 0.15
    assert (found > dncnn) == (sigma == 50)
    assert paper["BM3D"]["psnr"] < found < paper["NLRN"]["psnr"]
