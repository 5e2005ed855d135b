/* The Python module nlrn_tf.layers._kernels, used by compiled.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "kernels.h"

/* The usable kernel of a name, or NULL with an exception. */
static const Kernel *kernel_named(const char *name) {
  for (const Kernel *kernel = usable_kernels(); kernel->name; ++kernel)
    if (!strcmp(kernel->name, name)) return kernel;
  PyErr_Format(PyExc_NotImplementedError, "this processor has no kernel %s", name);
  return NULL;
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

/* The arrays of a call. */
typedef struct {
  Py_buffer queries[MAX_PARTS], keys[MAX_PARTS], values, attended, logits;
  int num_queries, num_keys;
} Arrays;

/* Enters the arrays; gives 0 where their sizes do not fit each other and the image. */
static int fill_problem(Problem *problem, const Arrays *arrays) {
  const Py_ssize_t element = problem->is_bfloat16 ? sizeof(uint16_t) : sizeof(float);
  const Py_ssize_t channel = element * problem->rows.length * problem->columns.length;
  const Py_ssize_t size = arrays->values.len;
  if (arrays->num_queries != arrays->num_keys || size != arrays->attended.len) return 0;
  if (!size || size % channel) return 0;
  for (int i = 0; i < arrays->num_keys; ++i) {
    const Py_ssize_t part = arrays->keys[i].len;
    if (!part || part % channel || part != arrays->queries[i].len) return 0;
    problem->queries[i] = arrays->queries[i].buf;
    problem->keys[i] = arrays->keys[i].buf;
    problem->part_channels[i] = (int)(part / channel);
    problem->inner += problem->part_channels[i];
  }
  problem->num_parts = arrays->num_keys;
  problem->values = arrays->values.buf;
  problem->attended = arrays->attended.buf;
  problem->channels = (int)(size / channel);
  problem->logits = arrays->logits.buf;
  const size_t count = num_logits(&problem->rows, &problem->columns);
  return !problem->logits || (size_t)arrays->logits.len == count * sizeof(float);
}

/* Whether the AMX kernel, which takes no others, can take the arrays. */
static int fits_tiles(const Problem *problem) {
  int fits = problem->is_bfloat16 && problem->channels % AMX_CHANNELS == 0 && !problem->logits;
  for (int i = 0; i < problem->num_parts; ++i)
    fits = fits && problem->part_channels[i] % AMX_CHANNELS == 0;
  return fits;
}

/* A view of an array or, of None, one without a buffer; gives 0 with an exception. */
static int get_optional_view(PyObject *array, Py_buffer *view) {
  memset(view, 0, sizeof *view);
  return array == Py_None || !PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
}

static Axis axis_of(int length, int window_size, int is_circular) {
  const int window = window_size < length ? window_size : length;
  return (Axis){length, window, window / 2, is_circular};
}

/* Checks the arrays and attends; gives 0 with an exception where it cannot. */
static int attend(const Kernel *kernel, Problem *problem, const Arrays *arrays, int first,
                  int last) {
  const Axis *rows = &problem->rows, *columns = &problem->columns;
  const int is_valid = rows->window > 0 && columns->window > 0 && first >= 0 && first < last &&
                       last <= rows->length && columns->window <= MAX_WINDOW &&
                       fill_problem(problem, arrays) &&
                       (!kernel->takes_tiles || fits_tiles(problem));
  if (!is_valid) {
    PyErr_SetString(PyExc_ValueError, "the sizes of the arrays do not fit each other");
    return 0;
  }
  int is_done;
  Py_BEGIN_ALLOW_THREADS
  is_done = kernel->attend_rows(problem, first, last);
  Py_END_ALLOW_THREADS
  if (!is_done) PyErr_NoMemory();
  return is_done;
}

static PyObject *py_attend_rows(PyObject *self, PyObject *args) {
  (void)self;
  const char *name;
  PyObject *query_arrays, *key_arrays, *logits;
  Arrays arrays;
  int has_past, is_bfloat16, height, width, window, is_circular, first, last, is_done = 0;
  if (!PyArg_ParseTuple(args, "sOOy*w*Oppiiipii", &name, &query_arrays, &key_arrays, &arrays.values,
                        &arrays.attended, &logits, &has_past, &is_bfloat16, &height, &width, &window, &is_circular,
                        &first, &last))
    return NULL;
  const Kernel *kernel = kernel_named(name);
  const int has_view = kernel && get_optional_view(logits, &arrays.logits);
  arrays.num_queries = has_view ? get_views(query_arrays, arrays.queries) : -1;
  arrays.num_keys = arrays.num_queries < 0 ? -1 : get_views(key_arrays, arrays.keys);
  if (arrays.num_keys >= 0) {
    Problem problem = {.is_bfloat16 = is_bfloat16,
                       .has_past = has_past,
                       .rows = axis_of(height, window, is_circular),
                       .columns = axis_of(width, window, is_circular)};
    is_done = attend(kernel, &problem, &arrays, first, last);
  }
  for (int i = 0; i < arrays.num_keys; ++i) PyBuffer_Release(&arrays.keys[i]);
  for (int i = 0; i < arrays.num_queries; ++i) PyBuffer_Release(&arrays.queries[i]);
  if (has_view && arrays.logits.obj) PyBuffer_Release(&arrays.logits);
  PyBuffer_Release(&arrays.values);
  PyBuffer_Release(&arrays.attended);
  if (!is_done) return NULL;
  Py_RETURN_NONE;
}

/* Whether arrays of float32 have the sizes of a convolution. */
static int fits_convolution(const Kernel *kernel, int inputs, int outputs) {
  return kernel->convolve_rows && inputs > 0 && outputs > 0 && inputs % CONVOLUTION_CHANNELS == 0 &&
         outputs % CONVOLUTION_CHANNELS == 0;
}

static int has_floats(const Py_buffer *view, size_t count) {
  return (size_t)view->len == count * sizeof(float);
}

static PyObject *py_transform_weights(PyObject *self, PyObject *args) {
  (void)self;
  const char *name;
  Py_buffer weights, transformed;
  int inputs, outputs, is_valid = 0;
  if (!PyArg_ParseTuple(args, "sy*w*ii", &name, &weights, &transformed, &inputs, &outputs))
    return NULL;
  const Kernel *kernel = kernel_named(name);
  if (kernel) {
    is_valid = fits_convolution(kernel, inputs, outputs) &&
               has_floats(&weights, (size_t)9 * inputs * outputs) &&
               has_floats(&transformed, num_transformed(inputs, outputs));
    if (is_valid)
      kernel->transform_weights(weights.buf, transformed.buf, inputs, outputs);
    else
      PyErr_SetString(PyExc_ValueError, "the sizes of the arrays do not fit each other");
  }
  PyBuffer_Release(&weights);
  PyBuffer_Release(&transformed);
  if (!is_valid) return NULL;
  Py_RETURN_NONE;
}

/* Checks the arrays and convolves; gives 0 with an exception where it cannot. */
static int convolve(const Kernel *kernel, const Convolution *convolution, const Py_buffer *views,
                    int first, int last) {
  const size_t pixels = (size_t)convolution->height * convolution->width;
  const int inputs = convolution->inputs, outputs = convolution->outputs;
  const int is_valid = fits_convolution(kernel, inputs, outputs) && convolution->height > 0 &&
                       convolution->width > 0 && first >= 0 && first < last &&
                       last <= convolution->height && first % CONVOLUTION_TILE == 0 &&
                       has_floats(&views[0], pixels * inputs) &&
                       has_floats(&views[1], num_transformed(inputs, outputs)) &&
                       has_floats(&views[2], pixels * outputs);
  if (!is_valid) {
    PyErr_SetString(PyExc_ValueError, "the sizes of the arrays do not fit each other");
    return 0;
  }
  int is_done;
  Py_BEGIN_ALLOW_THREADS
  is_done = kernel->convolve_rows(convolution, first, last);
  Py_END_ALLOW_THREADS
  if (!is_done) PyErr_NoMemory();
  return is_done;
}

static PyObject *py_convolve_rows(PyObject *self, PyObject *args) {
  (void)self;
  const char *name;
  Py_buffer views[3]; /* image, transformed weights, result */
  int height, width, inputs, outputs, first, last;
  if (!PyArg_ParseTuple(args, "sy*y*w*iiiiii", &name, &views[0], &views[1], &views[2], &height,
                        &width, &inputs, &outputs, &first, &last))
    return NULL;
  const Convolution convolution = {.image = views[0].buf,
                                   .transformed = views[1].buf,
                                   .convolved = views[2].buf,
                                   .height = height,
                                   .width = width,
                                   .inputs = inputs,
                                   .outputs = outputs};
  const Kernel *kernel = kernel_named(name);
  const int is_done = kernel && convolve(kernel, &convolution, views, first, last);
  for (int i = 0; i < 3; ++i) PyBuffer_Release(&views[i]);
  if (!is_done) return NULL;
  Py_RETURN_NONE;
}

static PyObject *py_num_transformed(PyObject *self, PyObject *args) {
  (void)self;
  int inputs, outputs;
  if (!PyArg_ParseTuple(args, "ii", &inputs, &outputs)) return NULL;
  return PyLong_FromSize_t(num_transformed(inputs, outputs));
}

static PyObject *py_exponentials(PyObject *self, PyObject *args) {
  (void)self;
  const char *name;
  Py_buffer exponents, powers;
  if (!PyArg_ParseTuple(args, "sy*w*", &name, &exponents, &powers)) return NULL;
  const Kernel *kernel = kernel_named(name);
  int is_done = 0;
  if (kernel) {
    is_done = kernel->exponentials && exponents.len == powers.len && exponents.len % 64 == 0;
    if (is_done)
      kernel->exponentials(exponents.buf, powers.buf, exponents.len / sizeof(float));
    else
      PyErr_SetString(PyExc_ValueError, "expected arrays of multiples of 16 float32");
  }
  PyBuffer_Release(&exponents);
  PyBuffer_Release(&powers);
  if (!is_done) return NULL;
  Py_RETURN_NONE;
}

static PyObject *py_num_logits(PyObject *self, PyObject *args) {
  (void)self;
  int height, width, window;
  if (!PyArg_ParseTuple(args, "iii", &height, &width, &window)) return NULL;
  const Axis rows = axis_of(height, window, 0), columns = axis_of(width, window, 0);
  return PyLong_FromSize_t(num_logits(&rows, &columns));
}

/* Appends a name; gives 0 with an exception. */
static int append(PyObject *names, const char *name) {
  PyObject *text = PyUnicode_FromString(name);
  const int is_done = text && !PyList_Append(names, text);
  Py_XDECREF(text);
  return is_done;
}

static PyObject *py_names(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  PyObject *names = PyList_New(0);
  for (const Kernel *kernel = usable_kernels(); names && kernel->name; ++kernel)
    if (!append(names, kernel->name)) Py_CLEAR(names);
  return names;
}

static PyObject *py_compiled(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  PyObject *names = PyList_New(0);
  for (int i = 0; names && compiled_kernel(i); ++i)
    if (!append(names, compiled_kernel(i))) Py_CLEAR(names);
  return names;
}

static PyMethodDef methods[] = {
    {"names", py_names, METH_NOARGS,
     "The kernels that this processor can run, and the system lets the process run, the fastest "
     "first."},
    {"compiled", py_compiled, METH_NOARGS, "All kernels that were compiled."},
    {"attend_rows", py_attend_rows, METH_VARARGS,
     "attend_rows(name, queries, keys, values, attended, logits, has_past, is_bfloat16, height, "
     "width, window_size, is_circular, first_row, last_row): writes the rows of `attended` from "
     "first_row to before last_row. `logits`, unless None, gets the logits, which are added to "
     "those in it if it has_past; attends by the sum."},
    {"num_logits", py_num_logits, METH_VARARGS,
     "num_logits(height, width, window_size): the float32 numbers that `logits` has."},
    {"transform_weights", py_transform_weights, METH_VARARGS,
     "transform_weights(name, weights, transformed, inputs, outputs): of 3x3 weights, for "
     "convolve_rows by the same kernel."},
    {"num_transformed", py_num_transformed, METH_VARARGS,
     "num_transformed(inputs, outputs): the float32 numbers that `transformed` has."},
    {"convolve_rows", py_convolve_rows, METH_VARARGS,
     "convolve_rows(name, image, transformed, convolved, height, width, inputs, outputs, "
     "first_row, last_row): writes the rows of `convolved` from first_row, a multiple of 4, to "
     "before last_row."},
    {"exponentials", py_exponentials, METH_VARARGS,
     "exponentials(name, exponents, powers): writes 2^x as the kernel computes it, for tests."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels",
                                    "Windowed attention and 3x3 convolution.", -1,
                                    methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) {
  usable_kernels(); /* found out once, by one thread */
  return PyModule_Create(&module);
}
