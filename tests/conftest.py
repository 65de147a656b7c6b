"""Fixtures and settings that all tests share."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import creg

# Deterministic, and without clocks: CI machines are slow and shared.
hypothesis.settings.register_profile("full", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("full"), max_examples=10
)
hypothesis.settings.load_profile(os.environ.get("CREG_HYPOTHESIS", "full"))


def pytest_report_header() -> str:
    return f"creg {creg.__version__} from {Path(creg.__file__).parent}"


@pytest.fixture(scope="session")
def load_real() -> Callable[[str], tuple[Any, Any]]:
    """`load(name) -> (X, y)`, a real data set from the folder that CREG_DATA names.

    X is a Fortran-ordered float64 array or a `csc_array`, y `(n_samples,)`.
    """
    folder = os.environ.get("CREG_DATA")
    if not folder:
        pytest.skip("CREG_DATA does not name a folder of real data sets")
    file = Path(folder) / "load.py"
    if not file.is_file():
        pytest.fail(f"CREG_DATA is {folder!r}, which has no load.py")
    spec = importlib.util.spec_from_file_location("real_data", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load
