"""X made ready once, to be given wherever X goes."""

import numpy as np

from creg._data.storage import Storage
from creg._validation import Matrix, Names, read_matrix


class Design:
    """X validated, with what depends on X alone kept, to be given in place of X.

    The `fit` and `predict` of every estimator, the path functions and `alpha_max` take a `Design`
    without looking at the values of X again: for bootstraps, many targets, many weights, loops.
    Where a solver needs columns, a row layout (C order, CSR) is converted once and the result
    kept.

    Parameters
    ----------
    X : (n_samples, n_features) array, sparse matrix or array, or frame
        Not copied where it is float64 or float32 and dense, CSC or CSR. It is referred to and
        must not change.

    Attributes
    ----------
    shape : (int, int)
        n_samples, n_features.
    dtype : numpy.dtype
        float64 or float32, that of `coef_` after a fit.
    feature_names_in_ : (n_features,) ndarray of str, or None
        The column names of a frame.

    Raises
    ------
    ValueError, TypeError
        Where X is not numeric, not two-dimensional, empty, or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from creg import Design, Lasso
    >>> rng = np.random.default_rng(0)
    >>> design = Design(rng.normal(size=(50, 5)))
    >>> fits = [Lasso(alpha=0.1).fit(design, rng.normal(size=50)) for _ in range(3)]
    """

    __slots__ = ("_feature_names", "_storage")

    def __init__(self, X: Matrix) -> None:
        self._storage: Storage
        self._feature_names: Names | None
        self.__setstate__(as_design(X, "Design").__getstate__())

    @property
    def storage(self) -> Storage:
        """X as the solvers read it."""
        return self._storage

    @property
    def shape(self) -> tuple[int, int]:
        """n_samples, n_features."""
        return self._storage.n_samples, self._storage.n_features

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float64 or float32."""
        return np.dtype(self._storage.dtype)

    @property
    def feature_names_in_(self) -> Names | None:
        """The column names of a frame, or None."""
        return self._feature_names

    def __repr__(self) -> str:
        return f"Design({self.shape[0]} x {self.shape[1]}, {self.dtype})"

    def __getstate__(self) -> tuple[Storage, Names | None]:
        return self._storage, self._feature_names

    def __setstate__(self, state: tuple[Storage, Names | None]) -> None:
        self._storage, self._feature_names = state


def as_design(X: Matrix, caller: str, *, unread: bool = False) -> Design:
    """X if it is a Design, or the Design of X, its complaints in the name of `caller`.

    `unread` leaves it to the first read of X to see that it is finite.
    """
    if isinstance(X, Design):
        return X
    storage, names = read_matrix(X, caller)
    if not unread:
        storage.verify()
    design = Design.__new__(Design)
    design.__setstate__((storage, names))
    return design
