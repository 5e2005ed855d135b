"""Work beside the main thread that does not keep the process from ending.

The threads of `concurrent.futures` are waited for when Python ends: after Ctrl-C a file that takes
long to read would have to be read first.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_background(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> "Future[Result]":
    """Calls a function in a thread that ends with the process; its result is to come."""
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future
