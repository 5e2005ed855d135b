"""The one part of the installation that setup.cfg cannot describe: the compiled attention."""

from setuptools import Extension, setup

FOLDER = "csrc/amx"

setup(
    ext_modules=[
        Extension(
            "nlrn_tf.layers.attention._amx",
            sources=[f"{FOLDER}/{name}.c" for name in ("attention", "module", "packing")],
            depends=[f"{FOLDER}/problem.h"],
            # Without a C compiler TensorFlow's operations do the same, slower.
            optional=True,
        )
    ]
)
