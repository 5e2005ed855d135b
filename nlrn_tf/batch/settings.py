"""Where a batch of images is and how it is run: the settings behind the flags of `run_batch.py`.

Light: needs neither TensorFlow nor Beam.
"""

import dataclasses

from nlrn_tf.settings import documented, is_count, require, setting

DIRECT_RUNNER = "DirectRunner"


@documented
@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """Where the images are, and what restores them.

    Raises:
      NLRNError: a value is not possible.
    """

    failures: str | None = setting(
        None,
        "File of JSON lines that lists the images that could not be restored, with the reason. "
        "Default: failures.jsonl in the output folder.",
    )
    runner: str = setting(
        DIRECT_RUNNER,
        "Beam runner, such as FlinkRunner, SparkRunner or DataflowRunner. DirectRunner needs this "
        "machine alone.",
    )
    direct_num_workers: int = setting(
        1, "Processes of the DirectRunner; 0 for one on each core. They share the cores."
    )

    def __post_init__(self):
        workers = self.direct_num_workers
        require(self, "direct_num_workers", is_count(workers, 0), "a number of at least 0")
        require(self, "runner", bool(self.runner), "the name of a Beam runner")
