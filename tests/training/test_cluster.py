"""What TF_CONFIG may say, and what is said of others."""

import json

import pytest

from nlrn_tf.errors import NLRNError
from nlrn_tf.training.cluster import VARIABLE, Cluster, cluster

A, B, C = "10.0.0.1:2222", "10.0.0.2:2222", "host-3.example:80"


def config(jobs, kind, index, **more):
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (config({"worker": [A, B]}, "worker", 1), Cluster((A, B), 1)),
        (config({"worker": [A, B], "chief": [C]}, "chief", 0), Cluster((C, A, B), 0)),
        (config({"worker": [A, B], "chief": [C]}, "worker", 1), Cluster((C, A, B), 2)),
        (
            config({"worker": [A], "chief": [C]}, "worker", 0, environment="cloud"),
            Cluster((C, A), 1),
        ),
    ],
    ids=["workers", "chief", "beside a chief", "other entries"],
)
def test_workers_are_numbered_from_the_chief(monkeypatch, text, expected):
    monkeypatch.setenv(VARIABLE, text)
    assert cluster() == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not set"),
        ("{", "not JSON"),
        ("[1]", "must be an object"),
        ("{}", "cluster must be an object"),
        (config({"worker": A}, "worker", 0), "cluster.worker must be a list"),
        (config({"worker": [A, "host"]}, "worker", 0), r"cluster.worker\[1\] must be like"),
        (config({"worker": [A, B], "ps": [C]}, "worker", 0), "other jobs"),
        (config({"worker": [A], "chief": [B, C]}, "worker", 0), "one chief"),
        (config({"worker": [A]}, "worker", 0), "fewer than two workers"),
        (config({"worker": [A, B, A]}, "worker", 0), "an address twice"),
        (config({"worker": [A, B]}, "worker", 2), "task is worker 2, which cluster has not"),
        (config({"worker": [A, B]}, "worker", -1), "task.index must be at least 0"),
        (config({"worker": [A, B]}, "worker", "0"), "task.index must be a whole number"),
        (config({"worker": [A, B]}, "chief", 0), "task is chief 0, which cluster has not"),
        (json.dumps({"cluster": {"worker": [A, B]}}), "task must be an object"),
    ],
)
def test_everything_else_is_refused_in_one_line_with_an_example(monkeypatch, text, words):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(NLRNError, match=rf"^TF_CONFIG: .*{words}.*such as {{\"cluster\"") as raised:
        cluster()
    assert "\n" not in str(raised.value)
