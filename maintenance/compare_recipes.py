"""Compares ways of training by short runs, on images held out of the training.

  python maintenance/compare_recipes.py --data_dir=data --workdir=runs/recipes
  python maintenance/compare_recipes.py --only=denoise,denoise_xavier --seeds=0

The members are those of maintenance/recipes.py. The same command goes on where it stopped; several
at once may train different members in one folder. The table of all that are done comes last, in
Markdown: the mean over the seeds, half the range between them, and the difference to the member
that has the name of the task, and the products that it took.
"""

import sys
from pathlib import Path

from absl import flags
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maintenance.recipes import (
    RECIPES,
    STEPS,
    config_of,
    folder_of,
    score_of,
    table_of,
    task_of,
)
from nlrn_tf import cli
from nlrn_tf.datasets import location

_WORKDIR = flags.DEFINE_string("workdir", "runs/recipes", "Folder of the runs.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, location.HELP)
_ONLY = flags.DEFINE_list("only", [], f"Members to train, of {', '.join(RECIPES)}. Default: all.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1"], "Seeds, a run of each member for each.")
_STEPS = flags.DEFINE_integer("steps", STEPS, "Steps of a whole training.", lower_bound=1)
_REPORT = flags.DEFINE_bool("report", False, "Only the table.")

flags.register_validator(
    "only", lambda names: set(names) <= set(RECIPES), f"must be of {', '.join(RECIPES)}"
)
flags.register_validator("seeds", lambda seeds: all(s.isdigit() for s in seeds), "whole numbers")


def main(_: list[str]) -> None:
    workdir = Path(_WORKDIR.value)
    if not _REPORT.value:
        cli.start_tensorflow()
        for seed in map(int, _SEEDS.value):
            for name in _ONLY.value or RECIPES:
                _train(name, seed, workdir)
    Console(soft_wrap=True).print(table_of(workdir, _STEPS.value), markup=False, highlight=False)


def _train(name: str, seed: int, workdir: Path) -> Path:
    """Trains a member unless it is done, after what it starts from; gives its weights."""
    from nlrn_tf.training.trainer import train

    config = config_of(name, _STEPS.value, seed)
    folder = folder_of(workdir, name, _STEPS.value, seed)
    start = RECIPES[name].start
    init_weights = None if start is None else str(_train(start, seed, workdir))
    if score_of(folder, config.steps) is not None:
        return folder / "weights.keras"
    return train(
        config,
        workdir=folder,
        data_dir=location.data_dir(_DATA_DIR.value),
        records_dir=workdir / "records" / task_of(name),
        init_weights=init_weights,
    )


if __name__ == "__main__":
    cli.run(main, help=__doc__)
