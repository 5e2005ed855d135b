"""TensorFlow Serving's REST API (tensorflow_serving/g3doc/api_rest.md) for a `Servable`."""

import base64
import http.server
import json

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import predict_pb2

from serving.stand_in.model import Servable, ServingError

# ToHTTPStatusCode in tensorflow_serving/model_servers/http_server.cc
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class RestApi(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    servable: Servable

    def do_GET(self):
        self._answer(lambda spec, verb: self.servable.status())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(lambda spec, verb: rest_predict(self.servable, spec, verb, body))

    def _answer(self, make):
        try:
            status, answer = 200, make(*_parse_path(self.path))
        except ServingError as error:
            status, answer = HTTP_STATUS.get(error.code, 500), {"error": str(error)}
        content = json.dumps(answer, indent=1).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def _parse_path(path):
    """/v1/models/NAME[/versions/V|/labels/L][:VERB] as a ModelSpec and the verb."""
    path, _, verb = path.partition(":")
    parts = path.split("/")[1:]
    if parts[:2] != ["v1", "models"] or len(parts) not in (3, 5):
        raise ServingError("INVALID_ARGUMENT", f"Malformed request: {path}")
    spec = {"name": parts[2]}
    if len(parts) == 5:
        spec[{"versions": "version", "labels": "versionLabel"}[parts[3]]] = parts[4]
    return spec, verb


def rest_predict(servable: Servable, spec: dict, verb: str, body: bytes) -> dict:
    """Answers a REST request in row ("instances") or columnar ("inputs") format."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ServingError("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    if verb != "predict" or not isinstance(document, dict):
        raise ServingError("INVALID_ARGUMENT", "Malformed request")
    request = json_format.ParseDict({"modelSpec": spec}, predict_pb2.PredictRequest())
    request.model_spec.signature_name = document.get("signature_name", "")
    signature = servable.signature(request.model_spec)
    columns, row_format = _columns(document, signature)
    for name, values in columns.items():
        if name in signature.inputs:
            dtype = tf.as_dtype(signature.inputs[name].dtype)
            request.inputs[name].CopyFrom(_from_json(values, dtype, name))
    outputs = {
        name: _to_json(tf.make_ndarray(proto), binary=name.endswith("_bytes"))
        for name, proto in servable.predict(request).outputs.items()
    }
    if row_format:
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        return {"predictions": next(iter(outputs.values())) if len(outputs) == 1 else rows}
    return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}


def _columns(document, signature):
    """The inputs by name, and whether they came in row format."""
    given = [key for key in ("instances", "inputs") if key in document]
    if len(given) != 1:
        raise ServingError("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    values, name = document[given[0]], next(iter(signature.inputs))
    if given == ["inputs"]:
        return (
            values if isinstance(values, dict) and "b64" not in values else {name: values}
        ), False
    if not isinstance(values, list) or not values:
        raise ServingError("INVALID_ARGUMENT", "'instances' must be a list with values")
    if isinstance(values[0], dict) and "b64" not in values[0]:
        return {key: [row.get(key) for row in values] for key in values[0]}, True
    return {name: values}, True


def _from_json(values, dtype, name):
    def decoded(value):
        if isinstance(value, list):
            return [decoded(item) for item in value]
        if isinstance(value, dict):
            return base64.b64decode(value["b64"], validate=True)
        return value.encode() if isinstance(value, str) else value

    try:
        return tf.make_tensor_proto(decoded(values), dtype)
    except (ValueError, TypeError, KeyError) as error:
        raise ServingError("INVALID_ARGUMENT", f"{name}: {error}") from error


def _to_json(value, binary):
    if isinstance(value, np.ndarray):
        return [_to_json(item, binary) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if binary else value.decode()
    return value.item()
