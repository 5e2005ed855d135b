"""The page, served within the process of the tests, with a small network."""

import contextlib
import threading

import keras

from nlrn_tf.config import NLRNConfig
from nlrn_tf.errors import NLRNError
from nlrn_tf.model import NLRN
from nlrn_tf.web import server
from nlrn_tf.web.desk import Desk
from nlrn_tf.web.restoring import Outcome, StoppedError
from nlrn_tf.web.settings import WebSettings
from nlrn_tf.weights.loading import save_model


def save_small_denoiser(path):
    keras.utils.set_random_seed(3)
    config = NLRNConfig(
        filters=8, embedding_size=4, num_states=2, window_size=7, task="denoise", noise_sigma=25
    )
    save_model(NLRN(config), path)


@contextlib.contextmanager
def served(**settings):
    """Yields the address of a page that is served as `WebSettings(**settings)` says."""
    server.require_gradio()
    with server.listening("127.0.0.1", 0) as listener, server.working_folder() as folder:
        running = server.server_of(Desk(WebSettings(**settings), folder))
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


class Work:
    """Stands in for `restore_upload`: takes until it is released or stopped.

    Attributes:
      at_work: is released with each image that is begun.
      released: lets all of them end.
      under_way, most: images that are under way, and the most at a time.
      folders: that were given.
    """

    def __init__(self):
        self.at_work = threading.Semaphore(0)
        self.released = threading.Event()
        self.under_way, self.most, self.folders = 0, 0, []

    def __call__(self, path, wishes, limits, folder, progress):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.folders.append(folder)
        (folder / "result.png").write_text(path)
        self.at_work.release()
        try:
            while not self.released.wait(0.01):
                if progress.is_interrupted:
                    raise StoppedError("Stopped.")
        finally:
            self.under_way -= 1
        if path == "broken":
            raise NLRNError("broken: is damaged.")
        result = folder / "result.png"
        return Outcome(result, result, result, path)
