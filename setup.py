"""The one compiled module; everything else about the build is in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

TRACE = bool(os.environ.get("FIFHIR_TRACE"))  # line tracing for coverage; slow

setup(
    ext_modules=cythonize(
        [
            Extension(
                "fifhir._hl7parse",
                ["fifhir/_hl7parse.pyx"],
                extra_compile_args=os.environ.get("FIFHIR_CFLAGS", "-O3").split(),
                define_macros=[("CYTHON_TRACE_NOGIL", "1")] if TRACE else [],
            )
        ],
        compiler_directives={"linetrace": TRACE},
    )
)
