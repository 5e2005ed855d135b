"""The rows of the paper's tables as evaluations."""

import io

import numpy as np
import pytest
from rich.console import Console

from nlrn_tf.errors import NLRNError
from nlrn_tf.evaluation.evaluate import check_purpose, evaluate_all
from nlrn_tf.evaluation.settings import EvaluationSettings, settings_for
from nlrn_tf.imaging.files import write_image
from nlrn_tf.weights.loading import load_model


def rows(**texts):
    return [(s.dataset, s.setting) for s in settings_for(**texts)]


TABLE_4 = [(name, level) for name in ("Set12", "BSD68", "Urban100") for level in (15, 25, 50)]
TABLE_6 = [(name, scale) for name in ("Set5", "Set14", "BSD100", "Urban100") for scale in (2, 3, 4)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"dataset": "all"}, TABLE_4 + TABLE_6),
        ({"dataset": "all", "task": "denoise"}, TABLE_4),
        ({"dataset": "all", "scale": "all"}, TABLE_6),
        ({"dataset": "all", "scale": "3"}, [row for row in TABLE_6 if row[1] == 3]),
        ({"dataset": "table4", "noise_sigma": "15"}, [row for row in TABLE_4 if row[1] == 15]),
        (
            {"dataset": "table5", "weights": "mine.keras"},
            [(name, level) for name in ("S14", "BSD200", "Urban100") for level in (30, 50, 70)],
        ),
        ({"dataset": "table6", "method": "bicubic"}, TABLE_6),
    ],
    ids=str,
)
def test_all_stands_for_the_rows_of_the_paper(texts, expected):
    assert rows(**texts) == expected


def test_each_row_has_its_own_weights():
    found = settings_for(dataset="all", noise_sigma="all")
    assert {s.weights for s in found if s.setting == 25} == {"denoise_s25"}
    assert {s.weights for s in settings_for(dataset="table6")} == {"sr_lite"}


def test_table_5_has_weights_that_have_not_seen_its_images():
    found = settings_for(dataset="table5")
    assert {s.weights for s in found} == {"table5_s50"}
    assert found[:1] == settings_for(dataset="S14", noise_sigma="30")
    for settings in found:
        check_purpose(load_model(settings.weights).config, settings)
    own = settings_for(dataset="table5", weights="mine.keras")
    assert {s.weights for s in own} == {"mine.keras"}
    assert EvaluationSettings("BSD68", noise_sigma=30).weights != "table5_s50"
    assert {s.weights for s in settings_for(dataset="table5", method="identity")} == {None}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"dataset": "all", "noise_sigma": "20"}, "noise_sigma=20: no row"),
        ({"dataset": "all", "weights": "mine.keras"}, "give their task"),
        ({"dataset": "table6", "noise_sigma": "25"}, "noise_sigma=25"),
        ({"dataset": "table6", "task": "denoise"}, "scale=2"),
    ],
)
def test_what_is_in_no_table_is_refused(texts, message):
    with pytest.raises(NLRNError, match=message):
        settings_for(**texts)


def test_all_is_no_data_set_of_its_own():
    with pytest.raises(NLRNError, match="dataset=all"):
        EvaluationSettings("all", task="denoise")


def test_rows_are_scored_shown_and_saved_by_data_set(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("Set5", "Set14", "BSDS500/val", "Urban100"):
        write_image(tmp_path / name / "a.png", rng.integers(0, 256, (24, 24), np.uint8))
    settings = settings_for(dataset="all", scale="2", method="bicubic", max_images=1)
    printed = io.StringIO()
    options = {
        "data_dir": tmp_path,
        "json_path": tmp_path / "scores.json",
        "output_dir": tmp_path / "out",
        "console": Console(file=printed, width=160),
    }
    first = evaluate_all(settings, **options)
    again = evaluate_all(settings, **options)
    assert again == first
    assert len({result["psnr"] for result in first}) == 4
    for name in ("Set5", "Set14", "BSD100", "Urban100"):
        assert (tmp_path / "out" / name / "x2" / "a.png").is_file()
        assert f"{name} | PSNR (dB) / SSIM" in printed.getvalue()


def test_urban100_has_the_figures_of_both_tables(tmp_path):
    write_image(tmp_path / "Urban100" / "a.png", np.full((24, 24), 9, np.uint8))
    settings = settings_for(dataset="Urban100", noise_sigma="50", method="identity", max_images=1)
    printed = io.StringIO()
    evaluate_all(settings, data_dir=tmp_path, console=Console(file=printed, width=160))
    assert "NLRN (paper, table 4, all 100)" in printed.getvalue()
    assert "NLRN-MV (paper, table 5, all 100)" in printed.getvalue()
