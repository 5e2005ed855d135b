"""Short runs that compare ways of training: what differs between them, and their table."""

import pytest

from maintenance.recipes import RECIPES, config_of, folder_of, score_of, table_of, task_of
from nlrn_tf.training.curve import COLUMNS


@pytest.mark.parametrize("name", RECIPES)
def test_a_member_differs_from_the_usual_recipe_in_what_it_names(name):
    recipe = RECIPES[name]
    usual, config = config_of(task_of(name), 100, 1).flat(), config_of(name, 100, 1).flat()
    differing = {key for key in config if config[key] != usual[key]}
    of_start = {"seed"} if recipe.start else set()
    of_share = {"steps"} if recipe.share < 1 else set()
    assert differing == set(recipe.changes) | of_start | of_share
    assert recipe.start is None or recipe.start in RECIPES


def test_halves_make_a_whole():
    half, rest = config_of("denoise_half", 100, 0), config_of("denoise_restart", 100, 0)
    assert half.steps + rest.steps == config_of("denoise", 100, 0).steps == 100


def test_no_test_image_is_held_out_or_trained_on():
    for name in RECIPES:
        config = config_of(name, 100, 0)
        assert "BSDS500/val" not in config.sources
        folders = {image.rsplit("/", 1)[0] for image in config.validation_images}
        assert folders <= set(config.sources)


def _run(workdir, name, seed, step, psnr):
    folder = folder_of(workdir, name, 100, seed)
    folder.mkdir()
    row = dict.fromkeys(COLUMNS, 0) | {"step": step, "val_psnr": psnr}
    lines = [",".join(COLUMNS), ",".join(str(row[column]) for column in COLUMNS)]
    (folder / "curve.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_table_has_mean_spread_gain_and_products_of_what_is_done(tmp_path):
    for seed, psnr in enumerate((28.0, 28.2)):
        _run(tmp_path, "denoise", seed, 100, psnr)
        _run(tmp_path, "denoise_half", seed, 50, psnr - 1)
    _run(tmp_path, "denoise_restart", 0, 50, 28.3)
    _run(tmp_path, "denoise_xavier", 0, 100, 27.9)
    unfinished = _run(tmp_path, "denoise_xavier", 1, 60, 20.0)
    _run(tmp_path, "sr_untied", 0, 100, 30.0)
    assert score_of(unfinished, 100) is None
    rows = {
        line.split("`")[1]: [cell.strip() for cell in line.split("|")[2:-1]]
        for line in table_of(tmp_path, 100).splitlines()[2:]
    }
    assert rows == {
        "denoise": ["28.100", "0.100", "+0.000", "1.00"],
        "denoise_half": ["27.100", "0.100", "-1.000", "0.50"],
        "denoise_restart": ["28.300", "0.000", "+0.300", "1.00"],
        "denoise_xavier": ["27.900", "0.000", "-0.100", "1.00"],
        "sr_untied": ["30.000", "0.000", "", "1.00"],
    }
