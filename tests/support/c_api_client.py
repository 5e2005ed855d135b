"""Runs a SavedModel by TensorFlow's C API, on which TensorFlow Serving stands too.

A process of its own, which imports no TensorFlow, Keras or nlrn_tf. Reads from standard input, and
writes to standard output, a pickled dict:

  in: "library" (folder of the wheel's libraries), "saved_model", "requests": a list of dicts with
      "feeds": {tensor name: array, or list of bytes} and "fetches": {key: tensor name}
  out: "results": for each request {key: array, or list of bytes}, or "CODE: message" of the
      error; "seconds" of each, and "rss", the resident bytes after it; "ops": the registered ops,
      an OpList proto; "modules": what this process has imported
"""

import ctypes
import os
import pickle
import sys
import time

import numpy as np

_FLOAT, _DOUBLE, _INT32, _STRING = 1, 2, 3, 7
_DTYPES = {_FLOAT: np.float32, _DOUBLE: np.float64, _INT32: np.int32}
_STRING_SIZE = 24  # sizeof(TF_TString)


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Session:
    def __init__(self, library: str, saved_model: str):
        ctypes.CDLL(os.path.join(library, "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self.api = ctypes.CDLL(os.path.join(library, "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
        for function in (
            *(
                "TF_NewStatus",
                "TF_NewGraph",
                "TF_NewSessionOptions",
                "TF_LoadSessionFromSavedModel",
            ),
            *("TF_GraphOperationByName", "TF_AllocateTensor", "TF_TensorData"),
        ):
            getattr(self.api, function).restype = ctypes.c_void_p
        self.api.TF_GetAllOpList.restype = ctypes.POINTER(_Buffer)
        self.api.TF_Message.restype = ctypes.c_char_p
        self.api.TF_Dim.restype = ctypes.c_int64
        self.api.TF_StringGetSize.restype = ctypes.c_size_t
        self.api.TF_StringGetDataPointer.restype = ctypes.c_void_p
        self.graph = ctypes.c_void_p(self.api.TF_NewGraph())
        self.status = ctypes.c_void_p(self.api.TF_NewStatus())
        self.session = ctypes.c_void_p(
            self.api.TF_LoadSessionFromSavedModel(
                ctypes.c_void_p(self.api.TF_NewSessionOptions()),
                None,
                saved_model.encode(),
                (ctypes.c_char_p * 1)(b"serve"),
                1,
                self.graph,
                None,
                self.status,
            )
        )
        self._raise_error()

    def run(self, feeds: dict, fetches: dict) -> dict:
        values = [self._new_tensor(value) for value in feeds.values()]
        results = (ctypes.c_void_p * len(fetches))()
        self.api.TF_SessionRun(
            self.session,
            None,
            (_Output * len(feeds))(*map(self._output, feeds)),
            (ctypes.c_void_p * len(feeds))(*values),
            len(feeds),
            (_Output * len(fetches))(*map(self._output, fetches.values())),
            results,
            len(fetches),
            *(None, 0, None),
            self.status,
        )
        for tensor in values:
            self.api.TF_DeleteTensor(ctypes.c_void_p(tensor))
        self._raise_error()
        return {key: self._take(result) for key, result in zip(fetches, results, strict=True)}

    def registered_ops(self) -> bytes:
        ops = self.api.TF_GetAllOpList().contents
        return ctypes.string_at(ops.data, ops.length)

    def _raise_error(self):
        code = self.api.TF_GetCode(self.status)
        if code:
            raise RuntimeError(f"{code}: {self.api.TF_Message(self.status).decode()}")

    def _output(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        found = self.api.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, f"no operation {operation}"
        return _Output(found, int(index))

    def _new_tensor(self, value) -> int:
        if isinstance(value, list):
            return self._new_strings(value)
        value = np.asarray(value, order="C")
        kind = next(kind for kind, dtype in _DTYPES.items() if value.dtype == dtype)
        tensor = self._allocate(kind, value.shape, value.nbytes)
        ctypes.memmove(self._data(tensor), value.ctypes.data, value.nbytes)
        return tensor

    def _new_strings(self, strings: list[bytes]) -> int:
        tensor = self._allocate(_STRING, (len(strings),), _STRING_SIZE * len(strings))
        for number, content in enumerate(strings):
            place = ctypes.c_void_p(self._data(tensor) + _STRING_SIZE * number)
            self.api.TF_StringInit(place)
            self.api.TF_StringCopy(place, content, ctypes.c_size_t(len(content)))
        return tensor

    def _take(self, tensor: int):
        """The value of a tensor, which is freed."""
        handle = ctypes.c_void_p(tensor)
        kind = self.api.TF_TensorType(handle)
        shape = [self.api.TF_Dim(handle, axis) for axis in range(self.api.TF_NumDims(handle))]
        data, count = self._data(tensor), int(np.prod(shape))
        if kind == _STRING:
            places = [ctypes.c_void_p(data + _STRING_SIZE * number) for number in range(count)]
            value = [
                ctypes.string_at(
                    self.api.TF_StringGetDataPointer(place), self.api.TF_StringGetSize(place)
                )
                for place in places
            ]
        else:
            dtype = np.dtype(_DTYPES[kind])
            content = ctypes.string_at(data, count * dtype.itemsize)
            value = np.frombuffer(content, dtype).reshape(shape)
        self.api.TF_DeleteTensor(handle)
        return value

    def _allocate(self, kind: int, shape: tuple, size: int) -> int:
        dims = (ctypes.c_int64 * len(shape))(*shape)
        return self.api.TF_AllocateTensor(kind, dims, len(shape), ctypes.c_size_t(size))

    def _data(self, tensor: int) -> int:
        return self.api.TF_TensorData(ctypes.c_void_p(tensor))


def _resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    task = pickle.load(sys.stdin.buffer)
    session = Session(task["library"], task["saved_model"])
    answer = {"results": [], "seconds": [], "rss": [], "ops": session.registered_ops()}
    for request in task["requests"]:
        started = time.perf_counter()
        try:
            result = session.run(**request)
        except RuntimeError as error:
            result = str(error)
        answer["seconds"].append(time.perf_counter() - started)
        answer["results"].append(result)
        answer["rss"].append(_resident_bytes())
    answer["modules"] = sorted(sys.modules)
    pickle.dump(answer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
