"""Ridge of a few columns without the preparations that pay for large data."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from creg._data.design import DesignView
from creg._data.narrow_gram import narrow_gram
from creg._ridge.system import REFINE_BELOW

Float = NDArray[np.float64]

CONSTANT = 1e-14  # of the mean: a target that wants a closer look


def solve_small(view: DesignView, y: Float, alpha: float) -> tuple[Float, float] | None:
    """Coefficients in kernel units (n_features,), and the mean of y; every column penalised alike.

    None where the problem wants more care: a small reciprocal condition, a constant target.
    """
    # a power of two, so that y of any magnitude goes the same way
    exponent = int(np.frexp(np.abs(y).max())[1])
    r = np.ldexp(y, -exponent)
    mean = float(r.mean()) if view.centred else 0.0
    r -= mean
    if not np.abs(r).max() > CONSTANT * abs(mean):
        return None
    scale = view.scale
    largest = float(scale.max())
    if not alpha * largest * largest < np.inf:
        return None
    penalty = (alpha * scale) * scale
    A = narrow_gram(view).copy()
    size = A.shape[0]
    diagonal = A.ravel()[:: size + 1]
    diagonal += penalty
    if not (np.isfinite(diagonal).all() and diagonal.min() > 0):
        return None
    units = 1.0 / np.sqrt(diagonal)
    A *= units[:, None]
    A *= units
    norm = lapack.dlange("1", A.T)
    factor, info = lapack.dpotrf(A.T, lower=0, clean=0, overwrite_a=1)
    if info or not lapack.dpocon(factor, norm, uplo="U")[0] > REFINE_BELOW:
        return None
    right = units * view.correlations_of(r, overwrite=True)
    w = units * lapack.dpotrs(factor, right, lower=0)[0]
    return np.ldexp(w, exponent), float(np.ldexp(mean, exponent))
