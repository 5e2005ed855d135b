"""The tasks by name. Light: needs neither Keras nor TensorFlow."""

from collections.abc import Iterable

from nlrn_tf.errors import NLRNError
from nlrn_tf.tasks.denoising import Denoising
from nlrn_tf.tasks.super_resolution import SuperResolution
from nlrn_tf.tasks.task import Task

_TASKS: dict[str, Task] = {}


def register(task: Task) -> None:
    """Makes a task known to everything that trains, evaluates, restores and exports."""
    _TASKS[task.name] = task


def task_names() -> list[str]:
    """The names of all tasks; the first one is the default of training."""
    return list(_TASKS)


def all_tasks() -> list[Task]:
    """All tasks, in the order of their names."""
    return list(_TASKS.values())


def task_named(name: str) -> Task:
    """The task of this name.

    Raises:
      NLRNError: there is none.
    """
    if name not in _TASKS:
        raise NLRNError(f"task={name!r} is unknown: choose one of {', '.join(_TASKS)}")
    return _TASKS[name]


def task_of(config: object, scale: float | None = None) -> Task:
    """The task of a network, by its `config`.

    Args:
      config: `NLRNConfig`, or anything else, for a model without a known task.
      scale: by which a model of unknown task is to enlarge; None for one that removes noise.
    """
    name = getattr(config, "task", None)
    if name is not None:
        return task_named(name)
    return next(task for task in _TASKS.values() if task.enlarges == (scale is not None))


def owner_of(option: str) -> Task:
    """The task that a setting or an option belongs to."""
    return next(task for task in _TASKS.values() if option in (task.setting, *task.options))


def chosen_by(given: Iterable[str]) -> Task | None:
    """The one task that the names of given settings belong to; None when it is not one."""
    owners = {owner_of(option).name for option in given}
    return task_named(owners.pop()) if len(owners) == 1 else None


for _task in (Denoising(), SuperResolution()):
    register(_task)
