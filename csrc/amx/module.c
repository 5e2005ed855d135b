/* The Python module nlrn_tf.layers.attention._amx, used by kernel.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "problem.h"

static int is_supported; /* found out when the module is loaded */

#ifdef NLRN_AMX

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the processor has the instructions and the system lets this process use the tiles. */
static int ask_support(void) {
  unsigned eax, ebx, ecx, edx, low, high;
  if (!__get_cpuid_count(1, 0, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) return 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned states = 0x600e6; /* SSE, AVX, AVX-512, tiles */
  if ((low & states) != states) return 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
  const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
  const unsigned amx = 1u << 22 | 1u << 24;                          /* BF16, TILE */
  if ((ebx & avx512) != avx512 || (edx & amx) != amx) return 0;
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax & 1u << 5)) return 0;
  const int request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

/* Views of the arrays in a tuple; gives their number, or -1 with an exception. */
static int get_views(PyObject *arrays, Py_buffer *views) {
  if (!PyTuple_Check(arrays) || PyTuple_Size(arrays) < 1 || PyTuple_Size(arrays) > MAX_PARTS) {
    PyErr_Format(PyExc_ValueError, "expected a tuple of 1 to %d arrays", (int)MAX_PARTS);
    return -1;
  }
  const int count = (int)PyTuple_Size(arrays);
  for (int i = 0; i < count; ++i)
    if (PyObject_GetBuffer(PyTuple_GetItem(arrays, i), &views[i], PyBUF_C_CONTIGUOUS)) {
      while (i--) PyBuffer_Release(&views[i]);
      return -1;
    }
  return count;
}

static int fill_problem(Problem *problem, const Py_buffer *queries, const Py_buffer *keys,
                        int num_queries, int num_keys, const Py_buffer *values,
                        const Py_buffer *attended) {
  const Py_ssize_t row_of_blocks =
      (Py_ssize_t)sizeof(uint16_t) * DEPTH * problem->rows.length * problem->columns.length;
  int is_valid = num_queries == num_keys && values->len % row_of_blocks == 0 &&
                 values->len == attended->len;
  for (int i = 0; is_valid && i < num_keys; ++i) {
    is_valid = queries[i].len == keys[i].len && keys[i].len && keys[i].len % row_of_blocks == 0;
    problem->queries[i] = queries[i].buf;
    problem->keys[i] = keys[i].buf;
    problem->num_blocks[i] = (int)(keys[i].len / row_of_blocks);
    problem->depth_blocks += problem->num_blocks[i];
  }
  problem->num_parts = num_keys;
  problem->values = values->buf;
  problem->attended = attended->buf;
  problem->channels = (int)(values->len / row_of_blocks) * DEPTH;
  return is_valid;
}

static Axis axis_of(int length, int window_size, int is_circular) {
  const int window = window_size < length ? window_size : length;
  return (Axis){length, window, window / 2, is_circular};
}

static PyObject *py_attend_rows(PyObject *self, PyObject *args) {
  (void)self;
  PyObject *query_arrays, *key_arrays;
  Py_buffer values, attended, queries[MAX_PARTS], keys[MAX_PARTS];
  int height, width, window, is_circular, first, last;
  if (!PyArg_ParseTuple(args, "OOy*w*iiipii", &query_arrays, &key_arrays, &values, &attended,
                        &height, &width, &window, &is_circular, &first, &last))
    return NULL;
  int is_done = 0;
  const int num_queries = get_views(query_arrays, queries);
  const int num_keys = num_queries < 0 ? -1 : get_views(key_arrays, keys);
  if (num_keys >= 0) {
    Problem problem = {.rows = axis_of(height, window, is_circular),
                       .columns = axis_of(width, window, is_circular)};
    const int is_valid =
        height > 0 && width > 0 && window > 0 && first >= 0 && first < last && last <= height &&
        problem.columns.window <= MAX_WINDOW &&
        fill_problem(&problem, queries, keys, num_queries, num_keys, &values, &attended);
    if (!is_supported) {
      PyErr_SetString(PyExc_NotImplementedError, "this processor lacks the instructions");
    } else if (!is_valid) {
      PyErr_SetString(PyExc_ValueError, "the sizes of the arrays do not fit each other");
    } else {
      Py_BEGIN_ALLOW_THREADS
      is_done = attend_rows(&problem, first, last);
      Py_END_ALLOW_THREADS
      if (!is_done) PyErr_NoMemory();
    }
    for (int i = 0; i < num_keys; ++i) PyBuffer_Release(&keys[i]);
  }
  for (int i = 0; i < num_queries; ++i) PyBuffer_Release(&queries[i]);
  PyBuffer_Release(&values);
  PyBuffer_Release(&attended);
  if (!is_done) return NULL;
  Py_RETURN_NONE;
}

#else

static int ask_support(void) { return 0; }

static PyObject *py_attend_rows(PyObject *self, PyObject *args) {
  (void)self, (void)args;
  PyErr_SetString(PyExc_NotImplementedError, "needs Linux on x86-64");
  return NULL;
}

#endif

static PyObject *py_is_supported(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return PyBool_FromLong(is_supported);
}

static PyMethodDef methods[] = {
    {"is_supported", py_is_supported, METH_NOARGS,
     "Whether the processor has the instructions, and the system lets the process use them."},
    {"attend_rows", py_attend_rows, METH_VARARGS,
     "attend_rows(queries, keys, values, attended, height, width, window_size, is_circular, "
     "first_row, last_row): writes the rows of `attended` from first_row to before last_row."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_amx",
                                    "Windowed attention in bfloat16 on AMX.", -1, methods,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__amx(void) {
  is_supported = ask_support();
  return PyModule_Create(&module);
}
