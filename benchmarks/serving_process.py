"""Serves a SavedModel as serving/stand_in/endpoint.py does, in a process of its own.

  python -m benchmarks.serving_process --saved_model=exported/denoise_s25/1

When it serves, after the warm-up requests, it prints one line of JSON: its ports and the seconds
that loading and warming up took. It ends when its standard input does.
"""

import json
import sys
import time

from absl import flags

from nlrn_tf import cli

_SAVED_MODEL = flags.DEFINE_string("saved_model", None, "Folder of a version.", required=True)
_NAME = flags.DEFINE_string("name", "denoise_s25", "Name of the model.")
_CONCURRENT_RUNS = flags.DEFINE_integer("concurrent_runs", 2, "Requests that run at a time.")


def main(_: list[str]) -> None:
    cli.start_tensorflow()
    import tensorflow as tf

    from serving.stand_in.endpoint import serving
    from serving.stand_in.model import Servable

    tf.get_logger().setLevel("ERROR")  # it warns of the loader that TensorFlow Serving's is like
    start = time.perf_counter()
    servable = Servable(_NAME.value, _SAVED_MODEL.value, concurrent_runs=_CONCURRENT_RUNS.value)
    with serving(servable) as ports:
        print(json.dumps({**ports, "loading": time.perf_counter() - start}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    cli.run(main)
