"""Calls of TensorFlow Serving that restore one image, by REST and by gRPC, with retries.

A `Call` takes the bytes of a PNG or JPEG file and returns those of a PNG file; threads may share
it. It uses the signature `restore_bytes` of the exported networks.
"""

import base64
import contextlib
import os
import random
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator

Call = Callable[[bytes], bytes]

SIGNATURE = "restore_bytes"
LEVEL_SIGNATURE = "restore_bytes_at_level"  # of a denoiser, also takes the noise of the images
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between attempts
CONNECT_TIMEOUT = 20.0  # seconds, as gRPC has
_PNG = b"\x89PNG\r\n\x1a\n"
_END_OF_HEADER = 33  # of a PNG file: signature and IHDR
_ICC = b"ICC_PROFILE\0"  # begins the segments APP2 of JPEG files that hold a colour profile
_APP2, _PIXELS = b"\xe2", (b"", b"\xda")
_MOST_BYTES = 1 << 24  # of a profile


def printable(text: str) -> str:
    """Text with control characters escaped, which names of files and answers may have."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


class ClientError(Exception):
    """A problem that the user can mend, in one line. It ends the run."""


class ImageError(ClientError):
    """The server does not restore this image; others may be fine."""


class UnavailableError(ClientError):
    """The server cannot be reached, or refuses the request for now."""


def _signature(noise_sigma: float | None) -> str:
    return SIGNATURE if noise_sigma is None else LEVEL_SIGNATURE


def rest_call(
    server: str,
    model: str,
    *,
    label: str | None = None,
    version: int | None = None,
    scale: int | None = None,
    noise_sigma: float | None = None,
    timeout: float = 600,
) -> Call:
    """Calls TensorFlow Serving's REST API; needs the package `requests`.

    Args:
      server: "host:port" or a URL.
      model: name in models.config.
      label, version: at most one of them; by default the latest version.
      scale: factor of a super-resolution model.
      noise_sigma: noise of the images in grey levels of 0..255, for a denoiser; by default the
        level of the model.
      timeout: seconds.

    Returns:
      A call; it raises UnavailableError, ImageError, or ClientError where no image would work.
    """
    import requests

    url = f"{server if '://' in server else f'http://{server}'}/v1/models/{model}"
    url += f"/labels/{label}" if label else f"/versions/{version}" if version else ""
    timeouts = (min(timeout, CONNECT_TIMEOUT), timeout)
    local = threading.local()  # requests does not promise that threads may share a session

    def call(content: bytes) -> bytes:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        inputs = {"image_bytes": [{"b64": base64.b64encode(content).decode()}]}
        if scale is not None:
            inputs["scale"] = scale
        if noise_sigma is not None:
            inputs["noise_sigma"] = noise_sigma
        body = {"signature_name": _signature(noise_sigma), "inputs": inputs}
        try:
            response = local.session.post(f"{url}:predict", json=body, timeout=timeouts)
        except requests.ReadTimeout as error:
            raise ImageError(f"no answer within {timeout:g} seconds; see --timeout") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise UnavailableError(_root_cause(error)) from error
        except requests.RequestException as error:
            raise ClientError(f"{server}: {error}") from error
        return _rest_result(response, server)

    return call


def grpc_call(
    server: str,
    model: str,
    *,
    label: str | None = None,
    version: int | None = None,
    scale: int | None = None,
    noise_sigma: float | None = None,
    timeout: float = 600,
) -> Call:
    """Calls TensorFlow Serving's gRPC API, without encryption; see `rest_call`.

    It needs the package `tensorflow-serving-api`, and that TensorFlow.
    """
    try:
        with _quiet_stderr():  # importing TensorFlow is loud
            import grpc
            from tensorflow.core.framework import types_pb2
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise ClientError(
            f"gRPC: {error}; pip install tensorflow-serving-api, or use REST"
        ) from error
    options = [
        ("grpc.max_send_message_length", -1),  # no limit; by default received ones have 4 MB
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", 2000),  # with_retries does the waiting
    ]
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(server, options))

    def call(content: bytes) -> bytes:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = _signature(noise_sigma)
        if label:
            request.model_spec.version_label = label
        if version:
            request.model_spec.version.value = version
        image = request.inputs["image_bytes"]
        image.dtype = types_pb2.DT_STRING
        image.tensor_shape.dim.add(size=1)
        image.string_val.append(content)
        if scale is not None:
            request.inputs["scale"].dtype = types_pb2.DT_INT32
            request.inputs["scale"].int_val.append(scale)
        if noise_sigma is not None:
            request.inputs["noise_sigma"].dtype = types_pb2.DT_FLOAT
            request.inputs["noise_sigma"].float_val.append(noise_sigma)
        try:
            response = stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _grpc_error(error.code().name, error.details(), server, timeout) from error
        return _checked_png(response.outputs["restored_bytes"].string_val, server)

    return call


def with_retries(call: Call, retries: int = 6) -> Call:
    """Repeats a call that raises UnavailableError, after waits that double.

    Other errors are not repeated: the same image would be refused again.
    """

    def repeated(content: bytes, attempt: int = 0) -> bytes:
        try:
            return call(content)
        except UnavailableError:
            if attempt == retries:
                raise
        wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
        time.sleep(wait * random.uniform(0.5, 1))  # clients refused together come apart
        return repeated(content, attempt + 1)

    return repeated


def _rest_result(response, server: str) -> bytes:
    try:
        answer = response.json()
        if response.ok:
            return _checked_png(
                [base64.b64decode(item["b64"]) for item in answer["outputs"]], server
            )
        reason = " ".join(answer["error"].split())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if response.status_code == 503:  # perhaps of a proxy, which sends no JSON
            raise UnavailableError(response.reason) from error
        raise ClientError(
            f"{server}: {response.status_code} {response.reason}, and no answer of TensorFlow "
            "Serving; is this its REST port?"
        ) from error
    if response.status_code == 503:
        raise UnavailableError(reason)
    if response.status_code == 404:
        raise ClientError(f"{server}: {reason}; see --model, --label and --version")
    raise ImageError(f"refused ({response.status_code}): {reason}")


def _grpc_error(code: str, details: str | None, server: str, timeout: float) -> ClientError:
    reason = " ".join((details or "").split())
    if code == "UNAVAILABLE":
        return UnavailableError(reason)
    if code == "NOT_FOUND":
        return ClientError(f"{server}: {reason}; see --model, --label and --version")
    if code == "DEADLINE_EXCEEDED":
        return ImageError(f"no answer within {timeout:g} seconds; see --timeout")
    return ImageError(f"refused ({code}): {reason}")


def _checked_png(images: list[bytes], server: str) -> bytes:
    if len(images) != 1 or not images[0].startswith(_PNG):
        raise ClientError(f"{server}: did not answer with a PNG image; is --model one of ours?")
    return images[0]


def _root_cause(error: BaseException) -> str:
    """The innermost reason, for example "Connection refused", without the layers around it."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Holds back what libraries write to standard error; shows it when the block raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryFile() as kept_back:
        stderr = os.dup(2)
        os.dup2(kept_back.fileno(), 2)
        try:
            yield
        except BaseException:
            kept_back.seek(0)
            os.write(stderr, kept_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def with_profile(result: bytes, source: bytes) -> bytes:
    """A PNG file with the colour profile of the PNG or JPEG file that it was made from.

    The server returns pixels alone. A profile of grey stays away from colour and the reverse; one
    that is damaged is left out.
    """
    profile = _profile_of_png(source) if source.startswith(_PNG) else _profile_of_jpeg(source)
    space = b"RGB " if result[25:26] in (b"\2", b"\6") else b"GRAY"
    if profile[16:20] != space or b"iCCP" in result[:100]:
        return result
    data = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)
    chunk = (len(data) - 4).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")
    return result[:_END_OF_HEADER] + chunk + result[_END_OF_HEADER:]


def _profile_of_png(content: bytes) -> bytes:
    """Empty where there is none."""
    place = len(_PNG)
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        kind, data = content[place + 4 : place + 8], content[place + 8 : end]
        if kind == b"iCCP":
            packed = data.partition(b"\0")[2][1:]  # after the name and the method
            with contextlib.suppress(zlib.error):
                return zlib.decompressobj().decompress(packed, _MOST_BYTES)
        if kind in (b"iCCP", b"IDAT"):
            break
        place = end + 4
    return b""


def _profile_of_jpeg(content: bytes) -> bytes:
    """Empty where there is none, or a part of it is missing."""
    parts: dict[int, bytes] = {}
    count, place = 0, 2
    while content[place : place + 1] == b"\xff" and content[place + 1 : place + 2] not in _PIXELS:
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        segment = content[place + 4 : place + 2 + length]
        if (
            content[place + 1 : place + 2] == _APP2
            and segment.startswith(_ICC)
            and len(segment) > 14
        ):
            count = segment[13]
            parts[segment[12]] = segment[14:]
        place += 2 + max(length, 2)
    numbers = range(1, count + 1)
    return b"".join(parts[number] for number in numbers) if {*numbers} == {*parts} else b""
