"""The compiled modules; everything else about the build is in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

COMPILED = ("_hl7parse", "_hl7plan", "_hl7json", "_hl7scribe", "_http1")  # each knows those before
TRACE = bool(os.environ.get("FIFHIR_TRACE"))  # line tracing for coverage; slow


def extension(name: str) -> Extension:
    return Extension(
        f"fifhir.{name}",
        [f"fifhir/{name}.pyx"],
        extra_compile_args=os.environ.get("FIFHIR_CFLAGS", "-O3").split(),
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if TRACE else [],
    )


setup(
    ext_modules=cythonize(
        [extension(name) for name in COMPILED], compiler_directives={"linetrace": TRACE}
    )
)
