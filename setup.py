"""Extension modules of creg; everything else is in pyproject.toml."""

import os
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("CREG_DEBUG") == "1"
DIRECTIVES = {
    "language_level": 3,
    "embedsignature": True,
    "embedsignature.format": "python",
    "cdivision": not DEBUG,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "freethreading_compatible": True,
}
MACROS = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]
if not DEBUG:
    MACROS += [("NDEBUG", None), ("CYTHON_WITHOUT_ASSERTIONS", None)]
# Each kind of build has a folder of its own: time stamps cannot tell their files apart.
BUILD = "build/debug" if DEBUG else "build/release"
if os.name == "nt":
    FLAGS = ["/Od", "/Zi"] if DEBUG else ["/O2"]
else:
    FLAGS = ["-fopenmp-simd", *(["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"])]


SHARED = ("leaves", "lanes", "tiles")
OWN = {"matrices": ("matrices",), "single": ("misfit",)}


def extension(source: Path) -> Extension:
    """The extension module of one .pyx file; each links its own copy of the C loops it may use."""
    loops = SHARED + OWN.get(source.stem, ())
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source), *(f"creg/_data/{name}.c" for name in loops)],
        include_dirs=["creg/_data", np.get_include()],
        depends=[f"creg/_data/{name}.h" for name in (*loops, "vector")],
        define_macros=MACROS,
        extra_compile_args=FLAGS,
    )


setup(
    ext_modules=cythonize(
        [extension(source) for source in sorted(Path("creg").rglob("*.pyx"))],
        compiler_directives=DIRECTIVES,
        build_dir=BUILD,
    ),
    options={"build": {"build_base": BUILD}},
)
