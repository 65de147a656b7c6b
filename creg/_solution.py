"""What a solver hands back, progress, and the one sentence for solves that fell short."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import nan
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class Status(IntEnum):
    """How a solve ended. The values are those of the kernels' `status.pxd`."""

    CONVERGED = 0
    MAX_ITER = 1
    STALLED = 2
    INTERRUPTED = 3
    NO_MEMORY = 4
    MAX_FEATURES = 5


@dataclass(slots=True)
class Solution:
    """One target solved at one penalty, in the user's units.

    Attributes
    ----------
    indices : (n_nonzero,) intp
        Features with a nonzero coefficient, in ascending order.
    values : (n_nonzero,) float64
        Their coefficients.
    intercept : float
        0.0 where none is fitted.
    dual_gap : float
        Upper bound of objective minus optimum, rounding included. Where a method makes no
        such bound (Ridge without bounds), the quantity its tolerance acts on.
    null_objective : float
        What `tol` is relative to, in the units of `dual_gap`.
    n_iter : int
        Inner rounds used.
    status : Status
        How the solve ended.
    reads : float
        Full reads of X that it took.
    method : str
        The method used in the end.
    loss : float
        The squared-error term of the objective, in the units of `null_objective`, where the
        solver has it at hand (nan: not).
    """

    indices: NDArray[np.intp]
    values: Float
    intercept: float
    dual_gap: float
    null_objective: float
    n_iter: int
    status: Status
    reads: float
    method: str = ""
    loss: float = nan

    def dense(self, n_features: int) -> Float:
        """All coefficients, (n_features,) float64."""
        coef = np.zeros(n_features)
        coef[self.indices] = self.values
        return coef

    @property
    def shortfall(self) -> float:
        """The gap in units of the null objective: what `tol` bounds (0 where there is none)."""
        if not self.dual_gap > 0:
            return 0.0
        return self.dual_gap / self.null_objective if self.null_objective > 0 else np.inf


@dataclass(frozen=True, slots=True)
class Solutions:
    """One target solved at several penalties, in the user's units: a Solution in arrays.

    Attributes
    ----------
    indptr, indices, values : ndarray
        The coefficients as columns of a CSC array.
    intercepts, dual_gaps, null_objectives, n_iters, statuses, reads, losses : (n,) ndarray
    """

    indptr: NDArray[np.intp]
    indices: NDArray[np.intp]
    values: Float
    intercepts: Float
    dual_gaps: Float
    null_objectives: Float
    n_iters: NDArray[np.intp]
    statuses: NDArray[np.intp]
    reads: Float
    losses: Float

    @classmethod
    def of(cls, solutions: Sequence[Solution]) -> Self:
        """These, in their order."""
        counts = [len(s.indices) for s in solutions]
        return cls(
            indptr=np.concatenate([[0], np.cumsum(counts, dtype=np.intp)]),
            indices=np.concatenate([s.indices for s in solutions] or [np.empty(0, np.intp)]),
            values=np.concatenate([s.values for s in solutions] or [np.empty(0)]),
            intercepts=np.array([s.intercept for s in solutions]),
            dual_gaps=np.array([s.dual_gap for s in solutions]),
            null_objectives=np.array([s.null_objective for s in solutions]),
            n_iters=np.array([s.n_iter for s in solutions], dtype=np.intp),
            statuses=np.array([s.status for s in solutions], dtype=np.intp),
            reads=np.array([s.reads for s in solutions]),
            losses=np.array([s.loss for s in solutions]),
        )

    def __len__(self) -> int:
        return len(self.intercepts)

    def __getitem__(self, k: int) -> Solution:
        entries = slice(self.indptr[k], self.indptr[k + 1])
        return Solution(
            indices=self.indices[entries],
            values=self.values[entries],
            intercept=float(self.intercepts[k]),
            dual_gap=float(self.dual_gaps[k]),
            null_objective=float(self.null_objectives[k]),
            n_iter=int(self.n_iters[k]),
            status=Status(int(self.statuses[k])),
            reads=float(self.reads[k]),
            loss=float(self.losses[k]),
        )

    def dense(self, features: NDArray[np.intp], start: int = 0, stop: int | None = None) -> Float:
        """Coefficients, (len(features), stop - start), of some ascending features.

        Every nonzero coefficient of these solutions is among them.
        """
        stop = len(self) if stop is None else stop
        entries = slice(self.indptr[start], self.indptr[stop])
        owner = np.repeat(np.arange(stop - start), self.n_nonzero[start:stop])
        out = np.zeros((len(features), stop - start))
        out[np.searchsorted(features, self.indices[entries]), owner] = self.values[entries]
        return out

    def list(self) -> "list[Solution]":
        """One by one."""
        return [self[k] for k in range(len(self))]

    @property
    def n_nonzero(self) -> NDArray[np.intp]:
        """Nonzero coefficients, (n,)."""
        return np.diff(self.indptr)


def unconverged(
    solutions: Sequence[Solution], alphas: Sequence[float], tol: float, max_iter: int | None
) -> str | None:
    """What the one convergence warning of a public call says; None where it is not due.

    A solve fell short where its gap is above tol times its null objective.
    """
    short = [k for k, s in enumerate(solutions) if s.dual_gap > tol * s.null_objective]
    if not short:
        return None
    worst = max(short, key=lambda k: solutions[k].shortfall)
    at, alpha = solutions[worst], alphas[worst]
    where = f"at alpha={alpha:.6g}"
    if len(solutions) > 1:
        where = f"in {len(short)} of {len(solutions)} solves, the worst {where}"
    measure = "residual of the normal equations" if at.method == "cg" else "duality gap"
    reference = "that of w = 0" if at.method == "cg" else "the null objective"
    if at.status == Status.MAX_ITER:
        advice = f"increase max_iter (now {max_iter}) or tol"
    else:
        advice = "increase tol: rounding, or columns that nearly depend on each other, stop it here"
    return (
        f"Not converged {where}: the {measure} is {at.dual_gap:.3g}, above the tolerance "
        f"{tol * at.null_objective:.3g} (tol={tol:.3g} times {reference}, "
        f"{at.null_objective:.6g}); {advice}."
    )


def rounded(values: Float, dtype: Any, lower: float | Float, upper: float | Float) -> NDArray[Any]:
    """Values in X's dtype, still within the bounds, which hold 0."""
    out = values.astype(dtype, copy=False)
    if out.dtype != np.float64:
        exact = out.astype(np.float64)
        outside = (exact < lower) | (exact > upper)
        out[outside] = np.nextafter(out[outside], out.dtype.type(0))
    return out


def raise_if_stopped(solution: Solution) -> Solution:
    """The solution, or the exception that stands for a solve that was broken off."""
    if solution.status == Status.INTERRUPTED:
        raise KeyboardInterrupt
    if solution.status == Status.NO_MEMORY:
        raise MemoryError("not enough memory for the working set of this fit")
    return solution


class Progress:
    """One line on standard error, rewritten after each alpha; nothing where no one watches."""

    def __init__(self) -> None:
        self.done, self.reads, self.shown = 0, 0.0, sys.stderr.isatty()

    def __call__(self, count: int, solution: Solution) -> None:
        self.done += 1
        self.reads += solution.reads
        if self.shown:
            line = f"{self.done}/{count} alphas, {len(solution.indices)} nonzero coefficients, "
            sys.stderr.write(f"\r{line}{self.reads:.0f} reads of X ")
            sys.stderr.flush()

    def close(self) -> None:
        """Ends the line."""
        if self.shown and self.done:
            sys.stderr.write("\n")
