"""Serves the page: for this machine alone unless told otherwise, and without any other network."""

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

from nlrn_tf.errors import NLRNError, reason_of
from nlrn_tf.storage.temporary import remove_abandoned, temporary_folder
from nlrn_tf.web.settings import WebSettings
from nlrn_tf.weights.level_choice import denoisers
from nlrn_tf.weights.manifest import find_weights

if typing.TYPE_CHECKING:  # they load TensorFlow, or may not be installed
    import fastapi
    import uvicorn

    from nlrn_tf.web.desk import Desk

Say = Callable[[str], None]

FIRST_PORT, LAST_PORT = 7860, 7959

# The browser is to fetch nothing from elsewhere, whatever Gradio's page asks for.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'"
)
_SECONDS_TO_CLOSE = 1


def serve(
    settings: WebSettings,
    say: Say = print,
    before_loading: Callable[[], None] = lambda: None,
) -> None:
    """Serves the page until Ctrl-C (or SIGTERM); then its files are gone.

    Args:
      settings: where, and what is taken.
      say: gets a line with the address when the page is there.
      before_loading: called when the settings have been checked, before TensorFlow is loaded.

    Raises:
      NLRNError: Gradio is not installed, there are no such weights, or the address cannot be
        listened on.
    """
    if settings.weights is not None and not denoisers(settings.weights):
        find_weights(settings.weights)
    with listening(settings.host, settings.port) as listener:
        require_gradio()
        before_loading()
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with working_folder() as folder:
                is_busy = _run(settings, listener, folder, say)
        finally:
            signal.signal(signal.SIGTERM, before)
    if is_busy:
        # Python would wait for the image, or end with a complaint from within TensorFlow.
        sys.stdout.flush()
        os._exit(0)


def require_gradio() -> None:
    """Imports Gradio, which is told to report nothing and to ask nothing of other servers.

    Raises:
      NLRNError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise NLRNError(
            f"the page needs {error.name}, which is not installed: pip install 'nlrn-tf[web]', "
            "or pip install -e '.[web]' in the folder of the repository"
        ) from error
    if int(gradio.__version__.partition(".")[0]) < 6:
        raise NLRNError(f"Gradio {gradio.__version__} is too old; the page needs version 6")


def listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
      host: name or address.
      port: 0 for any that is free, None for the first free one from `FIRST_PORT`.

    Raises:
      NLRNError: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port is None:
        for number in range(FIRST_PORT, LAST_PORT):
            with contextlib.suppress(OSError):
                return socket.create_server((host, number), family=family)
    try:
        return socket.create_server((host, LAST_PORT if port is None else port), family=family)
    except OSError as error:
        which = f"host={host} port={port if port is not None else LAST_PORT}"
        raise NLRNError(
            f"{which}: cannot be listened on ({reason_of(error)}); choose others"
        ) from error


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for all files of the page, where Gradio keeps its own too; it is removed."""
    parent = Path(tempfile.gettempdir())
    remove_abandoned(parent)  # by a page that was killed
    with temporary_folder(parent / "page") as folder:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        try:
            yield folder
        finally:
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


def application(desk: "Desk") -> "fastapi.FastAPI":
    """The ASGI application of the page.

    Args:
      desk: see `page.build_page`.
    """
    import fastapi
    import gradio

    from nlrn_tf.web.page import EXAMPLES, STYLE, build_page, theme

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(OwnFilesOnly)
    return gradio.mount_gradio_app(
        app,
        build_page(desk),
        path="/",
        theme=theme(),
        css=STYLE,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=desk.limits.max_megabytes * 10**6,
        allowed_paths=[str(desk.folder / EXAMPLES)],
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
    )


def server_of(desk: "Desk", when_there: Callable[[], None] = lambda: None) -> "uvicorn.Server":
    """The server of the page, for sockets that listen.

    Args:
      desk: where the images go; it is closed with the server.
      when_there: called when the page is served.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            when_there()

        async def shutdown(self, sockets=None):
            desk.close()
            # Open pages keep their connections; that they are cut off is no error now.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            application(desk),
            log_level="warning",
            timeout_graceful_shutdown=_SECONDS_TO_CLOSE,
        )
    )


class OwnFilesOnly:
    """ASGI middleware: neither the browser nor Gradio fetches anything from elsewhere.

    Gradio would fetch addresses that it is asked for as files.
    """

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "")
        if "/file=http" in path or "/proxy=" in path:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _run(settings: WebSettings, listener: socket.socket, folder: Path, say: Say) -> bool:
    """Serves until it is told to stop; returns whether an image is still being restored then."""
    from nlrn_tf.web.desk import Desk

    desk = Desk(settings, folder)
    server = server_of(desk, lambda: say(_greeting(settings, listener)))
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes it on when it has closed
        server.run(sockets=[listener])
    return desk.close()


def _greeting(settings: WebSettings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"The page is at http://{host}:{listener.getsockname()[1]} (Ctrl-C ends it)"
