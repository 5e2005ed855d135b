"""The one part of the installation that setup.cfg cannot describe: the compiled kernels."""

from setuptools import Extension, setup

SOURCES = (
    "module",
    "processor",
    "portable/baseline",
    "portable/avx2",
    "portable/avx512",
    "amx/attention",
    "amx/packing",
)
HEADERS = (
    "kernels",
    "problem",
    "amx/tiles",
    "portable/attention",
    "portable/convolution",
    "portable/memory",
    "portable/packing",
    "portable/products",
    "portable/strip",
    "portable/vectors",
)

setup(
    ext_modules=[
        Extension(
            "nlrn_tf.layers._kernels",
            # A file sets the instructions that it is for itself: the flags are the same for all.
            sources=[f"csrc/{name}.c" for name in SOURCES],
            depends=[f"csrc/{name}.h" for name in HEADERS],
            extra_compile_args=["-O3", "-ffp-contract=fast"],
            # Without a C compiler TensorFlow's operations do the same, slower.
            optional=True,
        )
    ]
)
