"""The flag files in flags/, as run_train.py takes them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nlrn_tf.config import SIMILARITIES
from nlrn_tf.datasets.benchmarks import paper_ablation, paper_figures
from nlrn_tf.model import NLRN
from nlrn_tf.studies.complexity import training_operations
from nlrn_tf.training.growth import grow_state
from nlrn_tf.training.settings import TrainingConfig
from nlrn_tf.training.start import fresh_run
from nlrn_tf.training.state import variables_of
from nlrn_tf.weights.manifest import manifest

FLAGS = Path(__file__).resolve().parents[1] / "flags"
LITE_NAMES = ("denoise_lite_s25", "sr_lite")
NAMES = ("denoise_s15", "denoise_s25", "denoise_s50", "sr", *LITE_NAMES, "smoke")


GPU_NAMES = ("denoise", *(n for n in NAMES if n not in ("smoke", "sr_lite")), "table5_s50")


@pytest.fixture
def gpu_configs(start):
    return {name: start(f"--flagfile={FLAGS / 'gpu' / name}.cfg")[1] for name in GPU_NAMES}


@pytest.fixture
def configs(start):
    return {name: start(f"--flagfile={FLAGS / name}.cfg")[1] for name in NAMES}


def test_these_are_all():
    assert {path.name for path in FLAGS.glob("*.cfg")} == {f"{name}.cfg" for name in NAMES}


class TestPaperRecipes:
    """flags/paper against the numbers of the paper's text and tables."""

    @pytest.fixture
    def recipes(self, start):
        paths = sorted((FLAGS / "paper").glob("*.cfg"))
        assert len(paths) == 19
        return {path: start(f"--flagfile={path}")[1] for path in paths}

    def test_settings_are_those_of_the_text(self, recipes):
        for path, config in recipes.items():
            assert (config.batch_size, config.patch_size) == ((16,), (45,)), path
            assert (config.steps, config.max_minutes, config.accumulate) == (500_000, None, 1)
            rate = (config.learning_rate, config.lr_schedule, config.lr_halvings)
            assert rate == (1e-3, "halving", 5)
            assert (config.clip_norm, config.loss_center, config.ema_decay) == (0.5, 0, 0)
            assert (config.initializer, config.precision) == ("xavier", "float32")
            assert len(config.scale_augmentation) > 1
            assert config.network.window_size == 45
            assert (config.embedding_size, config.num_states) == ((64,), (12,))
            without_module = path.stem == "table2_rnn_without_non_local"
            assert config.filters == ((135,) if without_module else (128,))

    def test_each_trains_on_the_images_of_its_setting(self, recipes):
        for path, config in recipes.items():
            sources = ("BSDS500/train", "BSDS500/test")
            if path.stem == "sr":
                sources = ("T91", "BSDS500/train")
            if path.stem.startswith("table5"):
                sources = ("BSDS500/train", "BSDS500/val")
            assert config.sources == sources, path
            if "_s" in path.stem and path.stem[-2:].isdigit():
                assert config.noise_sigma == int(path.stem[-2:])

    def test_each_variant_differs_from_the_network_by_its_name_alone(self, recipes):
        networks = {path.stem: config.network for path, config in recipes.items()}
        paper = networks["denoise_s25"]
        assert networks["table2_nlrn"] == networks["table1_embedded_gaussian"] == paper
        expected = {f"table1_{name}": {"similarity": name} for name in SIMILARITIES}
        expected |= {
            "table2_untied_weights": {"tied_weights": False},
            "table2_rnn_without_non_local": {"non_local_every": 0, "filters": 135},
            "table2_non_local_every_2": {"non_local_every": 2},
            "table2_non_local_every_3": {"non_local_every": 3},
            "table2_no_correlation_propagation": {"correlation_propagation": False},
        }
        for name, changes in expected.items():
            assert networks[name] == dataclasses.replace(paper, **changes), name

    def test_the_heads_tell_command_figures_and_cost(self, recipes):
        for path, config in recipes.items():
            head = path.read_text().split("\n--")[0]
            name = path.stem
            command = f"# python run_train.py --flagfile=flags/paper/{name}.cfg "
            assert f"{command}--data_dir=data --workdir=runs/paper/{name}\n" in head
            operations = training_operations(config)
            hours = operations / 1e13 / 3600
            assert f"{operations / 1e15:.0f} PFLOP in all: {hours:.0f} hours" in head, path
            for figure in _figures_of(name, config):
                assert f"{figure:.2f}" in head, (path, figure)


def _figures_of(name, config):
    table, _, member = name.partition("_")
    if table in ("table1", "table2"):
        return [paper_ablation(table)[member]]
    if name == "sr":
        rows = [("Set5", "sr", scale) for scale in (2, 3, 4)]
    else:
        sets = ("BSD200",) if table == "table5" else ("Set12", "BSD68", "Urban100")
        rows = [(images, "denoise", config.noise_sigma) for images in sets]
    return [paper_figures(*row)[1]["NLRN"]["psnr"] for row in rows]


def test_each_works_from_any_folder(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        code, config = start(f"--flagfile={FLAGS / name}.cfg")
        assert code == 0, name
        assert isinstance(config, TrainingConfig), name


def test_each_says_how_to_run_it():
    for name in NAMES:
        head = (FLAGS / f"{name}.cfg").read_text().split("\n--")[0].splitlines()
        assert all(line.startswith("#") for line in head), name
        assert any(f"# python run_train.py --flagfile=flags/{name}.cfg " in line for line in head)


def test_the_denoisers_differ_in_their_noise_and_their_schedule_only(configs):
    assert configs["denoise_s50"] == dataclasses.replace(configs["denoise_s15"], noise_sigma=50.0)
    for name, sigma in (("denoise_s15", 15.0), ("denoise_s50", 50.0)):
        schedule = {
            field: getattr(configs["denoise_s25"], field)
            for field in (
                *("filters", "embedding_size", "phase_ends", "learning_rate", "max_minutes"),
                *("num_states", "patch_size", "validation_minutes", "seed"),
            )
        }
        config = dataclasses.replace(configs[name], noise_sigma=25.0, **schedule)
        assert (configs[name].noise_sigma, config) == (sigma, configs["denoise_s25"])


def test_super_resolution_is_that_of_the_paper(configs):
    config = configs["sr"]
    assert (config.task, config.scales) == ("sr", (2, 3, 4))
    assert config.sources == ("T91", "BSDS500/train")
    assert config.scale_augmentation == (1.0, 0.9, 0.8, 0.7, 0.6)


def test_the_networks_are_that_of_the_paper(configs):
    """Except the number of states in super-resolution: more states need more training."""
    for name in set(NAMES) - {"smoke", *LITE_NAMES}:
        config = configs[name]
        assert config.network.non_local_every == 1
        assert (config.filters[-1], config.embedding_size[-1]) == (128, 64)
        assert config.network.window_size == 45
        assert config.num_states[-1] == (4 if name == "sr" else 12)
        assert config.clip_norm == 0.5


def test_the_lite_network_differs_in_its_size_and_its_schedule_only(configs):
    full, lite = (configs[name].flat() for name in ("denoise_s25", "denoise_lite_s25"))
    differences = {name for name in full if full[name] != lite[name]}
    sizes = {"filters", "embedding_size", "window_size", "non_local_every", "num_states"}
    schedule = {"patch_size", "phase_ends", "max_minutes", "validation_minutes"}
    assert differences == sizes | schedule | {"seed"}
    assert all(lite[name] < full[name] for name in sizes - {"non_local_every"})


def test_the_lite_networks_have_one_size_and_each_sees_what_the_full_one_sees(configs, gpu_configs):
    denoiser, lite = gpu_configs["denoise_lite_s25"], configs["sr_lite"]
    of_one = {"task": "sr", "noise_sigma": None, "scales": (2, 3, 4), "upsample": "after"}
    assert lite.network == dataclasses.replace(denoiser.network, **of_one)
    for name in ("task", "scales", "sources", "scale_augmentation", "validation_images"):
        assert getattr(lite, name) == getattr(gpu_configs["sr"], name)


class TestGpuRecipes:
    def test_they_say_how_to_run_them(self):
        assert {path.stem for path in (FLAGS / "gpu").iterdir()} == set(GPU_NAMES)
        for name in GPU_NAMES:
            head = (FLAGS / "gpu" / f"{name}.cfg").read_text().split("\n--")[0]
            command = f"# KERAS_BACKEND=jax python run_train.py --flagfile=flags/gpu/{name}.cfg "
            assert command in head
            assert f"--data_dir=data --workdir=runs/{name}\n" in f"{head}\n"

    def test_the_networks_are_that_of_the_paper(self, gpu_configs):
        for name in set(GPU_NAMES) - set(LITE_NAMES):
            config = gpu_configs[name]
            assert config.network.non_local_every == 1
            sizes = (config.filters, config.embedding_size, config.num_states)
            assert sizes == ((128,), (64,), (12,))
            assert (config.network.window_size, config.clip_norm) == (45, 0.5)

    def test_they_hold_out_and_see_the_images_of_the_others(self, configs, gpu_configs):
        for name, config in gpu_configs.items():
            enlarges = name.startswith("sr")
            other = configs["sr" if enlarges else "denoise_s25"]
            for setting in ("task", "scales", "scale_augmentation"):
                assert getattr(config, setting) == getattr(other, setting), (name, setting)
            # What is held out, the network that it started from has held out too.
            held_out = configs["denoise_s25"].validation_images[: 5 if enlarges else None]
            images = (other.sources, held_out)
            if name == "table5_s50":
                images = (("BSDS500/train", "BSDS500/val"), configs["sr"].validation_images)
            assert (config.sources, config.validation_images) == images

    def test_one_learns_every_level_and_the_others_one(self, gpu_configs):
        every = gpu_configs["denoise"]
        assert min(every.noise_levels) == every.noise_sigma == 15
        for level in (15, 25, 50):
            config = gpu_configs[f"denoise_s{level}"]
            assert (config.noise_sigma, config.noise_levels) == (level, ())

    def test_the_fast_denoiser_learns_every_level_the_strong_ones_more_often(self, gpu_configs):
        config = gpu_configs["denoise_lite_s25"]
        assert not config.network.tied_weights
        levels = config.noise_levels
        assert set(gpu_configs["denoise"].noise_levels) - {20} <= set(levels)
        assert config.noise_sigma == 25
        assert levels.count(50) > levels.count(25) > levels.count(10)


def test_the_recipes_make_the_packaged_networks(configs, gpu_configs):
    """That for a GPU made the last of a network's starts, where there is one."""
    for name, entry in manifest().items():
        config, made = (configs | gpu_configs)[name], entry["config"]
        for setting in ("filters", "embedding_size", "num_states"):
            assert made[setting] == getattr(config, setting)[-1], (name, setting)
        for setting in ("task", "window_size", "non_local_every", "tied_weights"):
            assert made[setting] == getattr(config.network, setting), (name, setting)


def test_packaged_weights_fit_the_recipes_that_start_from_them(start):
    found = set()
    for path in FLAGS.rglob("*.cfg"):
        _, config = start(f"--flagfile={path}")
        if start.init_weights:
            network = NLRN(config.network)
            network.build((None, None, None, 1))
            grown = grow_state(fresh_run(config, start.init_weights).state, network)
            shapes = [np.shape(grown["ema"][name]) for name in variables_of(network)["ema"]]
            assert shapes == [weight.shape for weight in variables_of(network)["ema"].values()]
            found.add(start.init_weights)
    assert found == {"denoise_s15", "denoise_s25", "denoise_lite_s25"}


def test_validation_images_are_held_out_of_the_training_images(configs):
    for name, config in configs.items():
        folders = {image.rpartition("/")[0] for image in config.validation_images}
        assert folders
        assert folders <= set(config.sources), name
        if name not in ("smoke", "sr_lite"):  # the latter holds out those of gpu/sr.cfg
            assert len(set(config.validation_images)) == 10


def test_validation_images_exist(configs, data_dir):
    for image in {image for config in configs.values() for image in config.validation_images}:
        assert (data_dir / f"{image}.jpg").is_file()


def test_later_flags_win(start):
    smoke = f"--flagfile={FLAGS / 'smoke.cfg'}"
    assert start(smoke, "--steps=7")[1].steps == 7
    assert start("--flagfile", FLAGS / "smoke.cfg", "--steps=7")[1].steps == 7
    assert start("--steps=7", smoke)[1].steps == 60


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("--noise_sigmas=25", "noise_sigmas"),
        ("--noise_sigma=loud", "noise_sigma"),
        ("--patch_size=0", "patch_size"),
        ("--flagfile=missing.cfg", "missing.cfg: cannot be read"),
        ("--flagfile=own.cfg", "own.cfg: includes itself"),
        ("noise_sigma=25", "unexpected argument noise_sigma=25"),
    ],
)
def test_wrong_flag_files_are_refused(start, tmp_path, capfd, lines, message):
    (tmp_path / "own.cfg").write_text(f"# a comment\n\n--task=denoise\n{lines}\n")
    assert start(f"--flagfile={tmp_path / 'own.cfg'}") == (2, None)
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("run_train.py: ")
    assert message in error[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"--seed=1\0", "own.cfg: cannot be read (it is not a text)"),
        (b"--seed=\xff", "own.cfg: cannot be read ('utf-8' codec"),
        (b"# \n" * 2**19, "own.cfg: cannot be read (it has more than 1048576 bytes)"),
        (b"--flagfile=~nobody_of_this_name/x.cfg", "cannot be read (RuntimeError: "),
        (b"--flagfile=" + b"n" * 256, "cannot be read (File name too long)"),
        (b"--flagfile=/dev/zero", "/dev/zero: cannot be read (it has more than"),
        (b"--flagfile=.", "cannot be read (Is a directory)"),
    ],
    ids=range(7),
)
def test_damaged_flag_files_are_refused(start, tmp_path, capfd, content, message):
    (tmp_path / "own.cfg").write_bytes(content)
    assert start(f"--flagfile={tmp_path / 'own.cfg'}") == (2, None)
    [line] = capfd.readouterr().err.splitlines()
    assert message in line


def test_flag_files_are_not_nested_without_an_end(start, tmp_path, capfd):
    for number in range(2000):
        (tmp_path / f"{number}.cfg").write_text(f"--flagfile={number + 1}.cfg")
    assert start(f"--flagfile={tmp_path / '0.cfg'}") == (2, None)
    assert "20.cfg: is nested more than 20 files deep" in capfd.readouterr().err
