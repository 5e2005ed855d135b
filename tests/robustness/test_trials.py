"""The machine itself: each kind of failure is seen, and the cases after it are tried."""

import os
import time

import numpy as np
import pytest

from nlrn_tf.errors import NLRNError
from tests.support.mutations import MUTATIONS, mutated
from tests.support.trials import failures, run_trials

CASES = (
    *("right", "refused", "no words", "wrong", "escaped", "printed", "hung", "asleep", "grew"),
    "died",
)


def misbehave(case):
    match case:
        case "refused":
            raise NLRNError("file: is damaged")
        case "no words":
            raise NLRNError("")
        case "wrong":
            raise AssertionError("other pixels")
        case "escaped":
            raise RecursionError("too deep")
        case "printed":
            os.write(2, b"libpng error: as it says")
        case "hung":
            while True:
                pass
        case "asleep":
            time.sleep(600)
        case "grew":
            kept = []
            while True:
                kept.append(np.ones(1 << 20))
        case "died":
            os._exit(3)
    return "as it should be"


@pytest.mark.slow
def test_each_kind_of_failure_is_seen():
    check = f"{__name__}:misbehave"
    cases = [*CASES, "right"]
    begun = time.monotonic()
    verdicts = run_trials(check, cases, seconds=1, growth=1 << 28)
    assert [verdict.case for verdict in verdicts] == cases
    names = {"no words": "escaped", "asleep": "hung"}
    expected = [names.get(case, case) for case in cases]
    assert [verdict.outcome for verdict in verdicts] == expected
    assert failures(verdicts, most=20).startswith("8 of 11 failed")
    assert not failures(verdicts[:2])
    assert max(verdict.seconds for verdict in verdicts) < 4
    assert time.monotonic() - begun < 300


def test_mutations_change_bytes_and_are_repeated_by_their_seed():
    content, other = bytes(range(256)) * 4, bytes(1000)
    results = [mutated(content, seed, other) for seed in range(300)]
    assert content not in results
    assert len(set(results)) > 290
    assert results == [mutated(content, seed, other) for seed in range(300)]
    assert {len(result) for result in results} > {len(content)}
    rng = np.random.default_rng(0)
    for mutation in MUTATIONS:
        for size in (1, 2, 5):
            mutation(content[:size], rng, other[:1])
