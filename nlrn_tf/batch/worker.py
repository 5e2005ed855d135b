"""A process of the DirectRunner: Beam's own worker, without its log, that ends with its parent."""

import logging
import os
import signal
import sys
import threading
import time

_SECONDS = 0.5  # between looks at the parent


def main() -> None:
    """Works until there is no more to do."""
    logging.disable(logging.CRITICAL)  # what goes wrong is raised where the pipeline was started
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (tracebacks are printed besides)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _end_with(parent: int) -> None:
    """Or a worker whose parent was killed would go on beside that of the next run."""
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
