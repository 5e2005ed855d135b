"""A stand-in for TensorFlow Serving: its gRPC and REST APIs in front of a real SavedModel.

It speaks the real `PredictionService` protocol, and REST as documented.
"""

import contextlib
import http.server
import threading
from concurrent import futures

import grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.stand_in.model import Servable, ServingError
from serving.stand_in.rest import RestApi


class _GrpcApi(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable):
        self.servable = servable

    def Predict(self, request, context):  # noqa: N802 (the name in the protocol)
        try:
            return self.servable.predict(request)
        except ServingError as error:
            context.abort(grpc.StatusCode[error.code], str(error)[:4000])  # a header's limit


@contextlib.contextmanager
def serving(servable: Servable, ports: dict[str, int] | None = None):
    """Serves both APIs on this machine; yields {"grpc": port, "rest": port}.

    Free ports are taken where `ports` names none.
    """
    ports = {"grpc": 0, "rest": 0, **(ports or {})}
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    grpc_server = grpc.server(futures.ThreadPoolExecutor(128), options=unlimited)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _GrpcApi(servable), grpc_server
    )
    grpc_port = grpc_server.add_insecure_port(f"127.0.0.1:{ports['grpc']}")
    handler = type("RestApi", (RestApi,), {"servable": servable})
    rest_server = http.server.ThreadingHTTPServer(("127.0.0.1", ports["rest"]), handler)
    grpc_server.start()
    threading.Thread(target=rest_server.serve_forever, daemon=True).start()
    try:
        yield {"grpc": grpc_port, "rest": rest_server.server_port}
    finally:
        rest_server.shutdown()
        rest_server.server_close()
        grpc_server.stop(grace=None).wait()
