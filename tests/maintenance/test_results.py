import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from maintenance.results import BEGIN, END, read_manifest, summary, tables, update
from nlrn_tf.datasets.benchmarks import paper_figures
from nlrn_tf.errors import NLRNError
from tests.support.script_calls import script_calls

SCRIPT = Path(__file__).resolve().parents[2] / "maintenance" / "results_table.py"


def score(dataset, psnr, **settings):
    task = "sr" if "scale" in settings else "denoise"
    plain = {"self_ensemble": False, "precision": "float32", "protocol": "full", "subset": []}
    if task == "sr":
        plain["quantize_lr"] = False
    values = {"psnr": psnr, "ssim": 0.9, "input_psnr": 20.0, "input_ssim": 0.5}
    return {"dataset": dataset, "task": task, **plain, "window_border": None, **values, **settings}


def entry(task, scores, **config):
    return {
        "config": {
            **{"task": task, "noise_sigma": None, "scales": [], "num_states": 12, "filters": 128},
            **config,
        },
        "steps": 12345,
        "minutes": 90.0,
        "starts": [{"machine": "a computer"}, {"machine": "a computer"}],
        "curve": "x_curve.csv",
        "scores": scores,
    }


@pytest.fixture
def manifest():
    denoise = [
        score("Urban100", 28.0, noise_sigma=25.0, subset=["img_002", "img_009"]),
        score("Set12", 30.25, noise_sigma=25.0, precision="bfloat16"),
        score("Set12", 30.45, noise_sigma=25.0, self_ensemble=True),
        score("Set12", 30.26, noise_sigma=25.0),
        score("Set12", 30.24, noise_sigma=25.0, protocol="patches", stride=7, patch_size=45),
    ]
    sr = [score("Set5", 30.0 + scale, scale=scale) for scale in (2, 3, 4)]
    sr.append(score("Set5", 31.99, scale=2, quantize_lr=True))
    return {
        "denoise_s25": entry("denoise", denoise, noise_sigma=25.0),
        "sr": entry("sr", sr, scales=[2, 3, 4], num_states=4),
    }


def cells(text, *, after=""):
    """The rows of the first table after a heading, as lists of cells."""
    lines = text[text.index(after) :].splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_each_score_is_in_its_row_beside_the_paper(manifest):
    head, _, *rows = cells(tables(manifest), after="Denoising, PSNR")
    assert head[:6] == ["images", "sigma", "noisy", "BM3D", "DnCNN", "NLRN"]
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(found) == ["Set12", "Set12, patches at stride 7", "Urban100, 2 images"]
    set12 = found["Set12"]
    assert set12["ours"] == "30.26 / 0.9000"  # float32 before bfloat16
    assert set12["ours, self-ensemble"] == "30.45 / 0.9000"
    assert set12["noisy"] == "20.00 / 0.5000"
    _, paper = paper_figures("Set12", "denoise", 25)
    assert set12["NLRN"] == f"{paper['NLRN']['psnr']:.2f} / {paper['NLRN']['ssim']:.4f}"
    assert found["Urban100, 2 images"]["ours, self-ensemble"] == ""


def test_a_subset_is_named_and_not_compared(manifest):
    text = tables(manifest)
    note = "Urban100, 2 images (the paper has figures of all 100 only): img_002, img_009."
    assert note in text.splitlines()
    rows = cells(text, after="Denoising, PSNR")
    row = next(row for row in rows if row[0] == "Urban100, 2 images")
    assert row[2:7] == ["20.00 / 0.5000", "", "", "", "28.00 / 0.9000"]


def test_super_resolution_is_told_apart_by_its_low_resolution_image(manifest):
    head, _, *rows = cells(tables(manifest), after="Super-resolution, PSNR")
    assert head[3:8] == ["SRCNN", "VDSR", "DRRN", "MemNet", "NLRN"]
    assert [row[1] for row in rows] == ["x2", "x2, LR of 8 bits", "x3", "x4"]
    assert rows[0][3] == "36.66 / 0.9542"
    assert rows[1][3:8] == [""] * 5
    assert [row[8] for row in rows][:2] == ["32.00 / 0.9000", "31.99 / 0.9000"]


def test_the_networks_are_listed(manifest):
    _, _, denoiser, sr = cells(tables(manifest))
    assert denoiser[:2] == ["`denoise_s25`", "noise of sigma 25"]
    assert denoiser[4] == "1.5 hours on a computer"
    assert sr[1:4] == ["enlarging by 2, 3, 4", "4 x 128", "12,345"]


def test_a_narrower_network_comes_after_the_others(manifest):
    lite = [score("Set12", 30.0, noise_sigma=25.0)]
    manifest["denoise_lite_s25"] = entry("denoise", lite, noise_sigma=25.0, filters=64)
    text = tables(manifest)
    names = [row[0] for row in cells(text)[2:]]
    assert names == ["`denoise_s25`", "`sr`", "`denoise_lite_s25`"]
    rows = [row for row in cells(text, after="Denoising,") if row[0] == "Set12"]
    assert [(row[-3], row[-1]) for row in rows] == [
        ("30.26 / 0.9000", "`denoise_s25`"),
        ("30.00 / 0.9000", "`denoise_lite_s25`"),
    ]


def test_the_commands_give_these_scores(manifest, tmp_path):
    """Each is parsed by the script, up to the call that evaluates."""
    lines = tables(manifest).splitlines()
    commands = [line for line in lines if line.startswith("python run_eval.py ")]
    assert len(commands) == 6  # the three scales share one
    arguments = [shlex.split(command)[2:] for command in commands]
    calls = script_calls(
        tmp_path, "evaluate", "nlrn_tf.evaluation.evaluate.evaluate_all", arguments
    )
    settings = []
    for code, ((all_settings,), _) in calls:
        assert code == 0
        settings += all_settings
    assert "--scale=all" in "".join(commands)
    assert [s.scale for s in settings if s.task == "sr" and not s.quantize_lr] == [2, 3, 4]
    assert sum(s.self_ensemble for s in settings) == 1
    assert {s.images for s in settings} == {(), ("img_002", "img_009")}
    assert {s.weights for s in settings} == {"denoise_s25", "sr"}


def test_a_file_is_updated_and_checked(manifest, tmp_path):
    path, results = tmp_path / "results.md", tables(manifest)
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    with pytest.raises(NLRNError, match="out of date"):
        update(path, results, check=True)
    assert "old" in path.read_text()
    assert update(path, results)
    assert path.read_text() == f"before\n{BEGIN}\n{results}{END}\nafter\n"
    assert not update(path, results, check=True)
    path.write_text("no markers")
    with pytest.raises(NLRNError, match="one place"):
        update(path, results)
    with pytest.raises(NLRNError, match=r"missing\.md"):
        update(tmp_path / "missing.md", results)
    with pytest.raises(NLRNError, match=r"missing\.json"):
        read_manifest(tmp_path / "missing.json")


def test_the_summary_has_whole_sets_as_the_paper_measures_them(manifest):
    head, _, *rows = cells(summary(manifest))
    assert [row[:2] for row in rows] == [
        ["Set12", "sigma 25"],
        ["Set5", "x2"],
        ["Set5", "x3"],
        ["Set5", "x4"],
    ]
    set12 = dict(zip(head, rows[0], strict=True))
    assert (set12["input"], set12["ours"]) == ("20.00 / 0.5000", "30.26 / 0.9000")
    assert set12["NLRN in the paper"] == "30.80 / 0.8689"  # of Table 4
    assert rows[1][3] == "32.00 / 0.9000"  # not the one from an LR of 8 bits


def test_the_manifest_of_the_package_can_be_shown():
    text = tables(read_manifest())
    assert "--weights=denoise_s25" in text
    assert 10 <= len(cells(summary(read_manifest()))[2:]) <= 16


def test_the_summary_shows_the_fast_networks_on_the_first_set_of_each_task():
    rows = [(row[0], row[-1]) for row in cells(summary(read_manifest()))[2:]]
    fast = {images for images, weights in rows if "_lite" in weights}
    assert fast == {"Set12", "Set5"}
    assert ("BSD68", "`denoise_s25`") in rows


def test_the_script_exits_with_1_when_one_of_the_files_is_out_of_date(tmp_path):
    files = {flag: tmp_path / f"{flag}.md" for flag in ("readme", "output")}
    script = [sys.executable, SCRIPT, *(f"--{flag}={path}" for flag, path in files.items())]

    def exit_code(*flags):
        done = subprocess.run([*script, *flags], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode

    for path in files.values():
        path.write_text(f"{BEGIN}\n{END}\n")
    assert [exit_code("--check"), exit_code(), exit_code("--check")] == [1, 0, 0]
    assert len(files["output"].read_text()) > len(files["readme"].read_text())
    for path in files.values():
        text = path.read_text()
        path.write_text(text.replace("30.66", "30.67"))
        assert path.read_text() != text
        assert exit_code("--check") == 1
        path.write_text(text)
