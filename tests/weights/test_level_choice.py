import subprocess
import sys

import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.weights import level_choice, manifest
from nlrn_tf.weights.level_choice import (
    AUTO_FAMILY,
    best_denoiser,
    denoisers,
    efficient_denoiser,
    expected_psnr,
    family_of,
    of_family,
)

PACKAGE = {
    "denoise_s15": {"sha256": "a", "config": {"task": "denoise", "noise_sigma": 15, "filters": 8}},
    "denoise_s50": {"sha256": "b", "config": {"task": "denoise", "noise_sigma": 50, "filters": 8}},
    "denoise_lite_s25": {
        "sha256": "c",
        "config": {"task": "denoise", "noise_sigma": 25, "filters": 4},
    },
    "sr": {"sha256": "d", "config": {"task": "sr", "noise_sigma": None, "filters": 8}},
}
# The first is better up to the crossing at 20 = sqrt(10 * 40), half way in the logarithm.
SCORES = {
    "denoise_s15": {"sha256": "a", "psnr": {"10": 35.0, "40": 25.0}},
    "denoise_s50": {"sha256": "b", "psnr": {"10": 33.0, "40": 27.0}},
    "denoise_lite_s25": {"sha256": "c", "psnr": {"10": 36.0, "40": 20.0}},
}


@pytest.fixture
def package(monkeypatch):
    """A package with scores; both may be changed."""
    entries, scores = {**PACKAGE}, {**SCORES}
    monkeypatch.setattr(level_choice, "manifest", lambda: entries)
    monkeypatch.setattr(level_choice, "level_table", lambda: {"scores": scores})
    return entries, scores


@pytest.mark.parametrize(
    ("noise_sigma", "expected"),
    [(1, "s15"), (10, "s15"), (19.9, "s15"), (20.1, "s50"), (40, "s50"), (150, "s50")],
)
def test_the_best_by_scores_is_chosen(package, noise_sigma, expected):
    assert best_denoiser(noise_sigma) == f"denoise_{expected}"


def test_scores_are_interpolated_in_the_logarithm(package):
    assert expected_psnr("denoise_s15", 20) == pytest.approx(30)
    assert expected_psnr("denoise_s15", 10 * 4**0.25) == pytest.approx(32.5)
    assert expected_psnr("denoise_s15", 5) == 35
    assert expected_psnr("denoise_s15", 100) == 25


def test_a_family_stays_by_itself(package):
    assert family_of("denoise_lite_s25") == "denoise_lite"
    assert denoisers("denoise_lite") == {"denoise_lite_s25": 25}
    assert denoisers("denoise") == {"denoise_s15": 15, "denoise_s50": 50}
    for noise_sigma in (5, 25, 75):
        assert best_denoiser(noise_sigma, denoisers("denoise_lite")) == "denoise_lite_s25"
    assert best_denoiser(10, denoisers()) == "denoise_lite_s25"
    assert best_denoiser(40, denoisers()) == "denoise_s50"


@pytest.mark.parametrize(
    ("noise_sigma", "expected"),
    [(5, "lite_s25"), (12.8, "lite_s25"), (13, "s15"), (20.1, "s50"), (150, "s50")],
)
def test_the_fast_one_is_taken_where_it_is_as_good(package, noise_sigma, expected):
    """Its lead of 1 dB at 10 is a loss of 0.1 dB from 10 x 4^(1.1 / 6) = 12.9 on."""
    assert efficient_denoiser(noise_sigma) == f"denoise_{expected}"
    assert of_family(AUTO_FAMILY, noise_sigma) == f"denoise_{expected}"


def test_the_fast_one_must_be_as_good_for_luma_too(package):
    _, scores = package
    for name, lowest in (("denoise_s15", 40.0), ("denoise_lite_s25", 39.0)):
        scores[name] = {**scores[name], "psnr": {"5": lowest, **scores[name]["psnr"]}}
    # At 5 the fast one is 1 dB behind and at 10 as much ahead; 0.1 dB behind is 6.83.
    assert efficient_denoiser(6.84 * 3**0.5) == "denoise_lite_s25"
    assert efficient_denoiser(6.82 * 3**0.5) == "denoise_s15"


def test_the_fast_one_is_not_taken_unmeasured(package):
    entries, scores = package
    assert denoisers(AUTO_FAMILY) == {
        "denoise_s15": 15,
        "denoise_s50": 50,
        "denoise_lite_s25": 25,
    }
    with pytest.raises(NLRNError, match="give noise_sigma"):
        of_family(AUTO_FAMILY, None)
    del scores["denoise_lite_s25"]
    assert efficient_denoiser(10) == "denoise_s15"
    for name in ("denoise_s15", "denoise_s50"):
        del entries[name]
    assert efficient_denoiser(10) == "denoise_lite_s25"


def test_of_the_packaged_ones_the_fast_one_is_taken_for_noise_that_is_seen():
    assert {efficient_denoiser(level) for level in (20, 25, 50, 75)} == {"denoise_lite_s25"}
    assert {efficient_denoiser(level) for level in (1, 5)} == {"denoise_s15"}


@pytest.mark.parametrize("change", ["changed", "missing"])
def test_weights_without_scores_of_their_own_go_by_the_ratio_of_levels(package, change):
    entries, scores = package
    if change == "changed":
        entries["denoise_s15"] = {**PACKAGE["denoise_s15"], "sha256": "other"}
    else:
        del scores["denoise_s15"]
    assert expected_psnr("denoise_s15", 20) is None
    assert best_denoiser(27) == "denoise_s15"  # sqrt(15 * 50) is 27.4; the middle is 32.5
    assert best_denoiser(28) == "denoise_s50"


def test_of_one_level_without_scores_the_larger_network_is_chosen(package):
    entries, scores = package
    scores.clear()
    entries["denoise_x_s15"] = {
        "sha256": "e",
        "config": {**PACKAGE["denoise_s15"]["config"], "filters": 9},
    }
    assert best_denoiser(15, denoisers()) == "denoise_x_s15"


def test_what_cannot_be_chosen_from_is_told(package):
    entries, _ = package
    with pytest.raises(NLRNError, match="sr: not a packaged denoiser"):
        best_denoiser(25, ["denoise_s15", "sr"])
    for noise_sigma in (0, float("nan"), 151):
        with pytest.raises(NLRNError, match=f"^noise_sigma={noise_sigma}: "):
            best_denoiser(noise_sigma)
    entries.clear()
    with pytest.raises(NLRNError, match="no denoiser is packaged"):
        best_denoiser(25)


def test_the_table_is_that_of_the_packaged_weights():
    """Run `maintenance/measure_levels.py` again where this fails."""
    table = level_choice.level_table()
    scores, packaged = table["scores"], level_choice.denoisers()
    # That of Table 5 was trained on some of the images, and is the only one of its family.
    assert set(scores) == {name for name in packaged if name != "table5_s50"}
    for name, entry in scores.items():
        assert entry["sha256"] == manifest.manifest()[name]["sha256"]
        assert set(entry["psnr"]) >= {"5", "15", "25", "50", "75"}
        assert all(psnr > table["input"][level] for level, psnr in entry["psnr"].items())
        levels = sorted(entry["psnr"], key=float)
        # Below a third of its level a network applies a share of its residual only.
        own = [level for level in levels if float(level) >= packaged[name] / 3]
        values = [entry["psnr"][level] for level in own]
        assert values == sorted(values, reverse=True)  # more noise, fewer decibels
    for sigma in (5, 10, 15, 25, 50, 75):
        best = max(denoisers("denoise"), key=lambda name: scores[name]["psnr"][str(sigma)])
        assert best_denoiser(sigma) == best


def test_choosing_loads_no_network_library():
    code = (
        "import sys; from nlrn_tf.weights.level_choice import best_denoiser; best_denoiser(25); "
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
