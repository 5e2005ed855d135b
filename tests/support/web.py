"""The page, served within the process of the tests, with a small network."""

import contextlib
import threading

import keras

from nlrn_tf.config import NLRNConfig
from nlrn_tf.model import NLRN
from nlrn_tf.web import server
from nlrn_tf.web.desk import Desk
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
