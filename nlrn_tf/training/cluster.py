"""The cluster of `distribute=multi_worker`: what `TF_CONFIG` says."""

import dataclasses
import os
from typing import Annotated

from nlrn_tf.errors import NLRNError
from nlrn_tf.storage.reading import parsed_json, reading
from nlrn_tf.storage.schema import Matching, MisfitError, Within, checked

VARIABLE = "TF_CONFIG"

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)

Address = Annotated[str, Matching(r"[^\s/]+:\d{1,5}")]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run, in order; the first is the chief.

    Attributes:
      addresses: host and port of each.
      worker: number of this one.
    """

    addresses: tuple[str, ...]
    worker: int


def cluster() -> Cluster:
    """The cluster that the environment variable `TF_CONFIG` names.

    Its jobs are "worker" and, if there is one, "chief", the worker before the others.

    Raises:
      NLRNError: it is not set, or says something else.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        raise NLRNError(
            f"{VARIABLE}: is not set; distribute=multi_worker takes the addresses of all workers "
            f"from this environment variable, such as {_EXAMPLE}"
        )
    example = _EXAMPLE.replace("{", "{{").replace("}", "}}")
    with reading(VARIABLE, "wrong value", f"give one such as {example}"):
        content = checked(dict[str, object], parsed_json(text), "TF_CONFIG")
        jobs = checked(dict[str, list[Address]], content.get("cluster"), "cluster")
        task = checked(dict[str, object], content.get("task"), "task")
        job = checked(str, task.get("type"), "task.type")
        index = checked(Annotated[int, Within(0)], task.get("index"), "task.index")
        return _joined(jobs, job, index)


def _joined(jobs: dict[str, list[str]], job: str, index: int) -> Cluster:
    chief, workers = jobs.get("chief", []), jobs.get("worker", [])
    addresses = (*chief, *workers)
    if len(jobs) != bool(chief) + bool(workers) or len(chief) > 1:
        raise MisfitError("cluster has other jobs than worker and one chief")
    if len(addresses) < 2:
        raise MisfitError("cluster has fewer than two workers")
    if len(set(addresses)) < len(addresses):
        raise MisfitError("cluster has an address twice")
    if index >= len(jobs.get(job, [])):
        raise MisfitError(f"task is {job} {index}, which cluster has not")
    return Cluster(addresses, index + (len(chief) if job == "worker" else 0))
