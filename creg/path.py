"""What the path functions return: a `Path`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from creg._archive import File, read, write
from creg._validation import Float, Matrix, Names, check_features, check_number
from creg.design import as_design

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DENSE_LIMIT = 1e9  # bytes


@dataclass(frozen=True, eq=False, repr=False)
class Path:
    """The fits at a descending sequence of penalties.

    Of one target; where `ridge_path` was given several, `coefs`, `intercepts`, `dual_gaps`,
    `n_iters`, `n_nonzero` and `r2` have the targets as a first dimension.

    It unpacks as scikit-learn's: ``alphas, coefs, dual_gaps = path``, with dense `coefs`.

    Attributes
    ----------
    alphas : (n_alphas,) ndarray
        Penalties, descending.
    coefs : (n_features, n_alphas) csc_array
        Coefficients, one column for each alpha, in X's dtype (an ndarray for ridge paths).
    intercepts : (n_alphas,) ndarray
        0 where none is fitted.
    dual_gaps : (n_alphas,) ndarray
        Upper bounds of objective minus optimum, rounding included.
    n_iters : (n_alphas,) ndarray of int
        Inner rounds used at each alpha.
    n_nonzero : (n_alphas,) ndarray of int
        Nonzero coefficients.
    r2 : (n_alphas,) ndarray
        Explained fraction of the sum of squares that the null model leaves (0 where it leaves
        none).
    l1_ratio : float
    feature_names : (n_features,) ndarray of str, or None
    reads : float
        Full reads of X that the path took.
    """

    alphas: Float
    coefs: Any
    intercepts: Float
    dual_gaps: Float
    n_iters: NDArray[np.intp]
    n_nonzero: NDArray[np.intp]
    r2: Float
    l1_ratio: float
    feature_names: Names | None
    reads: float

    def __repr__(self) -> str:
        n_features, n_alphas = self.coefs.shape[-2:]
        ends = f" from {self.alphas[0]:.6g} to {self.alphas[-1]:.6g}" if n_alphas else ""
        most = f", up to {self.n_nonzero.max()} nonzero" if n_alphas else ""
        return f"Path({n_alphas} alphas{ends}, {n_features} features{most})"

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yields alphas, dense coefs and dual_gaps.

        Raises
        ------
        MemoryError
            Where dense `coefs` would take more than 1 GB; `.coefs` is the sparse form.
        """
        coefs = self.coefs
        if sparse.issparse(coefs):
            size = coefs.shape[0] * coefs.shape[1] * coefs.dtype.itemsize
            if size > _DENSE_LIMIT:
                raise MemoryError(
                    f"unpacking this path would make dense coefficients of {size / 1e9:.1f} GB; "
                    "take .alphas, .coefs (sparse) and .dual_gaps"
                )
            coefs = coefs.toarray()
        return iter((self.alphas, coefs, self.dual_gaps))

    def coef_at(self, alpha: float) -> tuple[NDArray[Any], float | Float]:
        """Coefficients and intercept at any penalty.

        Parameters
        ----------
        alpha : float
            Between two fits the result is linear in alpha: exact for the lasso where the active
            set does not change. Below the smallest alpha it is the last fit, above the largest
            the first.

        Returns
        -------
        coef : (n_features,) or (n_targets, n_features) ndarray
        intercept : float or (n_targets,) ndarray

        Raises
        ------
        ValueError, TypeError
            Where alpha is not a number >= 0, or the path has no alphas.
        """
        k, share = self._place(alpha)
        coef = (1 - share) * self._column(k)
        intercept = (1 - share) * self.intercepts[..., k]
        if share:
            coef += share * self._column(k + 1)
            intercept = intercept + share * self.intercepts[..., k + 1]
        coef = coef.astype(self.coefs.dtype, copy=False)
        return coef, intercept if np.ndim(intercept) else float(intercept)

    def predict(self, X: Matrix, alpha: float | None = None) -> NDArray[Any]:
        """Predictions for the rows of X.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix or array, frame, or Design
        alpha : float, optional
            One penalty, as in `coef_at`; None: all `alphas`.

        Returns
        -------
        (n_samples, n_alphas) or, for one alpha, (n_samples,) ndarray; with a path of several
        targets (n_samples, n_targets, n_alphas) or (n_samples, n_targets)
        """
        design = as_design(X, "Path")
        check_features(
            design.shape,
            design.feature_names_in_,
            self.coefs.shape[-2],
            self.feature_names,
            "Path",
        )
        coefs, intercepts = (self.coefs, self.intercepts) if alpha is None else self.coef_at(alpha)
        if self.coefs.ndim == 3:
            # one column for each target and alpha
            flat = np.moveaxis(coefs, 1, 0).reshape(coefs.shape[1], -1)
            product = (design.storage.X @ flat).reshape(-1, *np.shape(intercepts))
        else:
            product = design.storage.X @ coefs
        if sparse.issparse(product):
            product = product.toarray()
        return np.asarray(product + np.asarray(intercepts, dtype=product.dtype))

    def plot(
        self,
        ax: "Axes | None" = None,
        x: Literal["alpha", "l1_norm", "fraction"] = "alpha",
        names: Sequence[str] | None = None,
    ) -> "Axes":
        """Draws the coefficients along the path.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; None: a new figure.
        x : {"alpha", "l1_norm", "fraction"}
            The horizontal axis: the penalty (logarithmic, decreasing to the right), the sum of
            the absolute coefficients, or that as a fraction of its largest value.
        names : sequence of str, optional
            Labels of the features; None: `feature_names`, or their numbers.

        Raises
        ------
        ValueError
            Where the path has several targets.
        ImportError
            Without matplotlib, which the extra ``creg[plot]`` installs.
        """
        from creg.plotting import plot_path

        return plot_path(self, ax, x, names)

    def save(self, file: File) -> None:
        """Writes the path to an ``.npz`` file that holds no pickles.

        Parameters
        ----------
        file : path or file opened for writing bytes
            A name is used as it is, with no ending added.
        """
        write(file, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, file: File) -> Self:
        """Reads a path that `save` wrote; a ValueError where `file` holds none."""
        return cls(**read(file))

    def _column(self, k: int) -> NDArray[Any]:
        if sparse.issparse(self.coefs):
            return np.asarray(self.coefs[:, [k]].toarray()).ravel()
        return np.array(self.coefs[..., k])

    def _place(self, alpha: float) -> tuple[int, float]:
        """k and t with alpha = (1 - t) alphas[k] + t alphas[k + 1], within the ends."""
        alpha = check_number("alpha", alpha, at_least=0)
        if not len(self.alphas):
            raise ValueError("the path must have at least one alpha; it was stopped before any.")
        after = int(np.searchsorted(-self.alphas, -alpha, side="right"))
        if after in (0, len(self.alphas)):
            return max(after - 1, 0), 0.0
        larger, smaller = self.alphas[after - 1], self.alphas[after]
        return after - 1, float((larger - alpha) / (larger - smaller))
