"""The files of serving/, parsed as the server parses them."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from serving.stand_in.endpoint import serving
from tests.support.serving import SERVING, unused_port

# The flags of tensorflow_model_server that compose.yaml may use: flag_list in
# tensorflow_serving/model_servers/main.cc (tensorflow/serving, master of 2024).
SERVER_FLAGS = frozenset(
    [
        "port",
        "grpc_socket_path",
        "rest_api_port",
        "rest_api_num_threads",
        "rest_api_timeout_in_ms",
        "rest_api_enable_cors_support",
        "enable_batching",
        "allow_version_labels_for_unavailable_models",
        "batching_parameters_file",
        "enable_per_model_batching_parameters",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "model_name",
        "model_base_path",
        "num_load_threads",
        "num_unload_threads",
        "max_num_load_retries",
        "load_retry_interval_micros",
        "file_system_poll_wait_seconds",
        "flush_filesystem_caches",
        "tensorflow_session_parallelism",
        "tensorflow_session_config_file",
        "tensorflow_intra_op_parallelism",
        "tensorflow_inter_op_parallelism",
        "use_alts_credentials",
        "ssl_config_file",
        "platform_config_file",
        "per_process_gpu_memory_fraction",
        "saved_model_tags",
        "grpc_channel_arguments",
        "grpc_max_threads",
        "enable_model_warmup",
        "num_request_iterations_for_warmup",
        "version",
        "monitoring_config_file",
        "remove_unused_fields_from_bundle_metagraph",
        "prefer_tflite_model",
        "num_tflite_pools",
        "num_tflite_interpreters_per_pool",
        "enable_signature_method_name_check",
        "xla_cpu_compilation_enabled",
        "enable_profiler",
        "thread_pool_factory_config_file",
    ]
)

# Protos of the server that the package tensorflow-serving-api does not contain. The text format has
# the names of the fields; their numbers do not matter.
SERVER_PROTOS = {
    # tensorflow_serving/servables/tensorflow/session_bundle_config.proto
    "BatchingParameters": {
        "max_batch_size": "google.protobuf.Int64Value",
        "batch_timeout_micros": "google.protobuf.Int64Value",
        "max_enqueued_batches": "google.protobuf.Int64Value",
        "num_batch_threads": "google.protobuf.Int64Value",
        "thread_pool_name": "google.protobuf.StringValue",
        "max_execution_batch_size": "google.protobuf.Int64Value",
        "enable_large_batch_splitting": "google.protobuf.BoolValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
    },
    # tensorflow_serving/config/monitoring_config.proto
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "tensorflow.serving.PrometheusConfig"},
}


def parsed(name):
    """A file of serving/ as the message that the server takes it for."""
    text = (SERVING / name).read_text()
    if name == "models.config":
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(_server_protos())
    message = {"batching.config": "BatchingParameters", "monitoring.config": "MonitoringConfig"}
    descriptor = pool.FindMessageTypeByName(f"tensorflow.serving.{message[name]}")
    return text_format.Parse(text, message_factory.GetMessageClass(descriptor)())


def _server_protos():
    file = descriptor_pb2.FileDescriptorProto(
        name="server.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in SERVER_PROTOS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            *repeated, kind = kind.split()
            added = message.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if repeated else added.LABEL_OPTIONAL
            if "." in kind:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{kind}"
            else:
                added.type = added.Type.Value(f"TYPE_{kind.upper()}")
    return file


@pytest.fixture(scope="module")
def service():
    """The one service of compose.yaml."""
    (service,) = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"].values()
    return service


@pytest.fixture(scope="module")
def server_flags(service):
    """The values of the flags, by name."""
    flags = {}
    for argument in service["command"]:
        name, value = re.fullmatch(r"--(\w+)=(.+)", argument).groups()
        assert name not in flags
        flags[name] = value
    return flags


def test_batching_never_joins_images_of_two_requests():
    """Neither wrongly padded images, nor errors that are another's: see batching.config."""
    batching = parsed("batching.config")
    assert batching.enable_large_batch_splitting.value
    assert batching.max_execution_batch_size.value == 1
    assert not batching.pad_variable_length_inputs
    assert batching.batch_timeout_micros.value == 0  # there is nothing to wait for
    assert not batching.allowed_batch_sizes


def test_a_full_queue_refuses_before_threads_run_out(server_flags):
    """A request that waits holds a thread of its API; without threads, gRPC says another thing."""
    batching = parsed("batching.config")
    at_most = batching.max_enqueued_batches.value + batching.num_batch_threads.value
    assert int(server_flags["grpc_max_threads"]) > at_most
    assert int(server_flags["rest_api_num_threads"]) > at_most
    assert 1 <= batching.max_batch_size.value <= batching.max_enqueued_batches.value


def test_models_and_labels():
    (model,) = parsed("models.config").model_config_list.config
    assert model.name == "denoise_s25"
    assert model.base_path == "/models/denoise_s25"
    assert model.model_platform == "tensorflow"
    versions = model.model_version_policy.specific.versions
    assert dict(model.version_labels).keys() == {"stable", "canary"}
    assert set(dict(model.version_labels).values()) <= set(versions)


def test_monitoring_is_on():
    prometheus = parsed("monitoring.config").prometheus_config
    assert prometheus.enable
    # The default of the server; the scrape configurations of others expect it.
    assert prometheus.path == "/monitoring/prometheus/metrics"


def test_flags_are_those_of_the_server(server_flags):
    assert server_flags.keys() <= SERVER_FLAGS
    assert server_flags.keys().isdisjoint({"port", "rest_api_port"})  # the image sets them
    assert server_flags["enable_batching"] == "true"
    assert server_flags["enable_model_warmup"] == "true"
    assert int(server_flags["rest_api_timeout_in_ms"]) >= 60_000


def test_files_that_the_server_reads_are_mounted(service, server_flags):
    mounts = {}
    for volume in service["volumes"]:
        source, target, mode = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")
        assert mode == "ro"
        mounts[target] = (SERVING / source).resolve()
    assert mounts.keys() == {"/config", "/models"}
    files = [Path(value) for value in server_flags.values() if value.startswith("/config/")]
    assert len(files) == 3
    for path in files:
        assert (mounts["/config"] / path.relative_to("/config")).is_file()
    (model,) = parsed("models.config").model_config_list.config
    assert Path(model.base_path).is_relative_to("/models")


def test_image_and_ports(service):
    assert re.fullmatch(r"tensorflow/serving:2\.\d+\.\d+", service["image"])
    for port in service["ports"]:  # only for this machine
        assert re.fullmatch(r"127\.0\.0\.1:(850[01]):\1", port)


@pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False)])
def test_healthcheck(service, state, healthy):
    class Model:
        def status(self):
            return {"model_version_status": [{"version": "1", "state": state}]}

    with serving(Model()) as ports:
        assert is_healthy(service, ports["rest"]) == healthy


def test_healthcheck_without_a_server(service):
    assert not is_healthy(service, unused_port())


def is_healthy(service, port):
    kind, *command = service["healthcheck"]["test"]
    assert kind == "CMD"
    command[-1] = command[-1].replace("8501", str(port))
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    return done.returncode == 0
