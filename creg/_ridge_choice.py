"""The penalty of a ridge regression chosen: from the user's units to the kernel's and back."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._data.moments import Moments
from creg._data.statistics import outer_gram
from creg._data.storage import Storage
from creg._data.tall import products
from creg._data.threads import single_blas
from creg._data.wide import outer_products
from creg._given import Options, Penalty
from creg._ridge.criteria import evidence, gcv, leave_one_out
from creg._ridge.decomposition import Decomposition, decompose, penalised_part
from creg._ridge.folds import (
    Fold,
    FoldProblem,
    FoldSums,
    Outer,
    Part,
    RowSums,
    fit_by_iterations,
    fit_by_rows,
)
from creg._ridge.grid import COUNT as GRID
from creg._ridge.grid import default_alphas, iterated_alphas
from creg._ridge.many_alphas import expected_work
from creg._ridge.penalised import Penalised
from creg._ridge.solver import LARGEST_GRAM, gram_work
from creg._ridge.spectrum import singular
from creg._ridge.system import RidgeSystem, Targets
from creg._ridge_problem import solve_ridge
from creg._solution import Solution, Status

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
# predictions (n_rows, t, a) for some rows, in the user's units: scores, larger is better,
# (a,) for all targets together or (t, a) for each
Score = Callable[[Rows, Float], Float]

HELD = 8_000_000  # numbers of predictions held at a time
TESTED = 250_000  # the same, or numbers of X, of a block of held-out rows
DECOMPOSED = 2000  # smaller side of sparse X up to which nothing else is thought of
ADVANTAGE = 4  # by which iterations, which are less exact, must be expected to be faster
EIGEN_WORK = 3.0  # multiply-adds of an eigendecomposition over the third power of its size


@dataclass(frozen=True)
class Asked:
    """What RidgeCV was asked for.

    Attributes
    ----------
    alphas : (a,) or None
        > 0; None: a grid over the spectrum.
    criterion : str
        "loo", "gcv" or "evidence".
    per_target : bool
    keep : bool
        Whether the errors (with `score` the predictions) of single rows are wanted.
    score : Score, optional
        In place of squared errors.
    """

    alphas: Float | None
    criterion: str
    per_target: bool
    keep: bool
    score: Score | None

    @property
    def maximised(self) -> bool:
        """Whether the criterion is the better the larger it is."""
        return self.criterion == "evidence" or self.score is not None


@dataclass(frozen=True)
class Chosen:
    """What was chosen, for c choices: one, or one for each target.

    Attributes
    ----------
    alphas : (a,)
    criterion : (c, a)
    best : (c,) intp
        Positions among the alphas.
    solutions : list of Solution
        One for each target.
    degrees : (c,) or None
        None where no decomposition was made.
    noise_variance : (c,) or None
        Evidence only; the mean over targets that share an alpha.
    rows : (n_samples, t, a) or None
    shortfalls : sequence of (alpha, what is left of the gradient at w = 0)
        Of solves by conjugate gradients.
    is_rounded : bool
        Whether the criterion is rounding at small alphas, columns being too far apart in size.
    """

    alphas: Float
    criterion: Float
    best: Rows
    solutions: list[Solution]
    degrees: Float | None = None
    noise_variance: Float | None = None
    rows: Float | None = None
    shortfalls: Sequence[tuple[float, float]] = ()
    is_rounded: bool = False


class RidgeChoice:
    """One design, penalty and set of targets."""

    def __init__(
        self, storage: Storage, Y: Float, weights: Float | None, fit_intercept: bool,
        penalty: Penalty, n_threads: int,
    ) -> None:  # fmt: skip
        self.Y, self.weights, self.penalty, self.n_threads = Y, weights, penalty, n_threads
        self.storage, self.fit_intercept = storage, fit_intercept
        self.targets = Targets(Y, weights, fit_intercept)
        self._block = self.targets.block(range(Y.shape[1]))
        # of the targets' units, 0 for constant ones, and the largest
        self.exponents = np.where(np.any(self._block != 0, axis=0), self.targets.exponent, 0)
        self.exponent = int(self.exponents.max())
        self._gram: Float | None = None
        self._outer_gram: Float | None = None
        self._outer: Outer | None = None
        self._shortfalls: list[tuple[float, float]] = []

    def choose(self, asked: Asked) -> Chosen:
        """By a criterion over one decomposition."""
        with self._blas():
            self._prepare(with_gram=True)
            found, alphas, scaled = self._decomposed(asked.alphas)
            rows, variance = None, None
            if asked.criterion == "evidence":
                criterion, variance = self._evidence(found, scaled)
                criterion = _combined(criterion, asked)
            elif asked.score is not None or asked.keep:
                criterion, rows = self._by_rows(found, alphas, scaled, asked)
            elif asked.criterion == "gcv":
                criterion = self._comparable(gcv(found, scaled), asked)
            else:
                squares = leave_one_out(found, scaled).squares
                criterion = self._comparable(squares / self.view.sum_weights, asked)
            return self._chosen(asked, found, alphas, scaled, criterion, variance, rows)

    def choose_by_folds(self, asked: Asked, folds: Sequence[Fold]) -> Chosen:
        """By errors (or scores) on held-out rows, folds weighing the same."""
        with self._blas():
            self._prepare(with_gram=False)
            if self._iterates(asked):
                return self._iterated(asked, folds)
            fit = self._fold_fits(folds)
            found, alphas, scaled = self._decomposed(asked.alphas)
            criterion = self._held_out(folds, fit, alphas, asked)
            return self._chosen(asked, found, alphas, scaled, criterion, None, None)

    def _chosen(
        self, asked: Asked, found: Decomposition, alphas: Float, scaled: Float, criterion: Float,
        variance: Float | None, rows: Float | None,
    ) -> Chosen:  # fmt: skip
        """Squared errors come over 4^exponent."""
        best = _best(criterion if asked.maximised else -criterion, alphas)
        if not asked.maximised:
            criterion = self._in_user_units(criterion)
        each = np.broadcast_to(best, self.Y.shape[1])
        if variance is not None:
            at = np.take_along_axis(variance, each[:, None], 1)[:, 0]
            variance = at if asked.per_target else at.mean(keepdims=True)
        solutions = self._solutions(found, alphas[each], scaled[each])
        return Chosen(
            alphas, criterion, best, solutions, found.degrees(scaled[best]), variance, rows,
            is_rounded=found.loses(scaled),
        )  # fmt: skip

    def _blas(self) -> AbstractContextManager[None]:
        return single_blas() if self.n_threads == 1 else nullcontext()

    def _prepare(self, with_gram: bool) -> None:
        """Means and norms of dense X and, in the same read, the smaller Gram matrix."""
        storage, moments, K = self.storage, None, None
        n, p = storage.shape
        if storage.issparse:
            pass
        elif n <= p:
            moments, K = self._outer_products(with_gram)
        elif with_gram and not self._has_free:
            with single_blas():
                known = products(
                    storage, self.weights, self.fit_intercept,
                    np.ascontiguousarray(self._block[:, 0]), self.n_threads,
                )  # fmt: skip
            if known is not None:
                moments, self._gram = known.moments, known.gram
        self.view = DesignView(
            storage, self.weights, self.fit_intercept, moments, n_threads=self.n_threads
        )
        self.system = RidgeSystem(
            self.view, self.penalty.weights, self.penalty.standardize, self.n_threads
        )
        self.design = Penalised(self.system)
        if K is not None and with_gram and self.design.is_wide:
            used = self.design.used
            self._outer_gram = K if used is None else K[np.ix_(used, used)]
            self._outer_gram *= self.design.smallest**2
        elif K is not None:
            self._outer = Outer(K, 1.0)

    @property
    def _has_free(self) -> bool:
        return self.penalty.weights is not None and bool(np.any(self.penalty.weights == 0))

    def _outer_products(self, with_gram: bool) -> tuple[Moments | None, Float | None]:
        """Moments of wide dense X and inner products of its rows, in the caller's units.

        The rows weighted, or for folds not: then only where all share the scale of the columns.
        """
        v, standardize = self.penalty.weights, self.penalty.standardize
        if not with_gram and (standardize or self._has_free or self.weights is not None):
            return None, None
        roots = np.ones(self.storage.n_features)
        if v is not None:
            with np.errstate(divide="ignore"):
                roots = np.where(v > 0, 1 / np.sqrt(v), 0.0)
        read = outer_products(
            self.storage, self.weights, self.fit_intercept, roots, standardize, self.n_threads
        )
        return read[:2] if read else (None, None)

    def _decomposed(self, alphas: Float | None) -> tuple[Decomposition, Float, Float]:
        """A decomposition, the alphas in the user's units and in the kernel's."""
        design = self.design
        kernel = None if alphas is None else design.in_kernel_units(alphas)
        G, K = self._gram, self._outer_gram
        self._gram = self._outer_gram = None
        if design.is_wide:
            G = K
        elif G is not None:
            G = penalised_part(design, G)

        def at(values: Float) -> Float:
            return default_alphas(values) if kernel is None else kernel

        found, scaled = decompose(design, self._block, at, G)
        return found, design.in_user_units(scaled) if alphas is None else alphas, scaled

    def _comparable(self, squares: Float, asked: Asked) -> Float:
        """Squared errors (t, a) in kernel units, over 4^exponent in the user's, and combined."""
        return _combined(np.ldexp(squares, 2 * (self.exponents - self.exponent)[:, None]), asked)

    def _in_user_units(self, squares: Float) -> Float:
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(squares, 2 * self.exponent)

    def _evidence(self, found: Decomposition, scaled: Float) -> tuple[Float, Float]:
        value, variance = evidence(found, scaled)
        value -= np.log(2) * self.design.n_left * self.exponents[:, None]
        return value, np.ldexp(variance, 2 * self.exponents[:, None])

    def _by_rows(
        self, found: Decomposition, alphas: Float, scaled: Float, asked: Asked
    ) -> tuple[Float, Float | None]:
        """The criterion from errors of all rows, some alphas at a time; these where asked for."""
        n, t = self.Y.shape
        rows, criterion = None, []
        average = asked.criterion == "gcv"
        divisor = found.design.n if average else self.view.sum_weights
        step = alphas.size if asked.keep else max(1, HELD // (n * t))
        for start in range(0, alphas.size, step):
            some = slice(start, start + step)
            errors = leave_one_out(found, scaled[some], keep=True, average=average)
            assert errors.each is not None
            each = self._errors(found, errors.each, scaled[some])
            if asked.score is None:
                criterion.append(self._comparable(errors.squares / divisor, asked))
                np.square(each, out=each)
            else:
                np.subtract(self.Y[:, :, None], each, out=each)
                criterion.append(asked.score(np.arange(n), each))
            rows = each if asked.keep else None
        return np.concatenate(criterion, axis=1), rows

    def _errors(self, found: Decomposition, each: Float, scaled: Float) -> Float:
        """Errors of all rows in the user's units; those without weight are predicted by the fit."""
        design = found.design
        flat = each.reshape(design.n, each.shape[1] * each.shape[2])
        full = np.ascontiguousarray(design.unweighted(flat)).reshape(-1, *each.shape[1:])
        if design.used is not None:
            out = np.flatnonzero(np.asarray(self.weights) == 0)
            for k in range(each.shape[1]):
                W = design.spread(found.coefficients(scaled, [k]))
                design.free_coefficients(W, found.Y[:, [k]])
                full[out, k] = self._centred(out, k)[:, None] - self.system.product(W)[out]
        return np.ldexp(full, self.exponents[:, None], out=full)

    def _centred(self, rows: Rows, k: int) -> Float:
        return np.ldexp(self.Y[rows, k] - self.targets.mean[k], -int(self.exponents[k]))

    def _solutions(self, found: Decomposition, alphas: Float, scaled: Float) -> list[Solution]:
        system, solutions = self.system, []
        if found.is_exact and self.design.is_apart:
            each = [singular(system, float(a), found.Y[:, [k]]) for k, a in enumerate(alphas)]
            W = np.hstack(each)
        else:
            W = found.refined(scaled)
        for k in range(scaled.size):
            values = self.targets.in_user_units(k, W[:, k] * system.scale)
            nonzero = np.flatnonzero(values)
            intercept = 0.0
            if system.view.centred:
                mean = system.view.mean[system.columns]
                intercept = float(self.targets.mean[k] - mean @ values)
            solution = Solution(
                system.columns[nonzero], values[nonzero], intercept, np.nan, np.nan, 1,
                Status.CONVERGED, system.reads,
            )  # fmt: skip
            solutions.append(solution)
        return solutions

    def _iterates(self, asked: Asked) -> bool:
        """Whether conjugate gradients are expected to cost less than decompositions."""
        direct = gram_work(self.system)
        side = min(self.design.n, self.design.k)
        if direct is None:
            return True
        if not self.storage.issparse or side <= DECOMPOSED:
            return False
        count = GRID if asked.alphas is None else asked.alphas.size
        work = self.Y.shape[1] * expected_work(self.system, count)
        return ADVANTAGE * work < direct + EIGEN_WORK * float(side) ** 3

    def _fold_fits(self, folds: Sequence[Fold]) -> Callable[[int, Float], Iterable[Part]]:
        """How fold k is fitted at given alphas; what folds share is made on the way."""
        outer, sums = self._shared_outer(), None
        problem = self._fold_problem()
        if not self.storage.issparse and not self.design.is_wide:
            rows = RowSums(self.system, self.penalty.standardize, self.targets)
            sums = FoldSums(rows, folds)

        def fit(k: int, alphas: Float) -> Iterable[Part]:
            part = None if sums is None else sums.fit(k, alphas)
            return fit_by_rows(problem, folds[k], alphas, outer) if part is None else [part]

        return fit

    def _fold_problem(self) -> FoldProblem:
        X = self.storage.X
        return FoldProblem(
            self.view, sparse.csr_array(X) if sparse.issparse(X) else X, self.Y,
            self.penalty.weights, self.penalty.standardize, self.n_threads,
        )  # fmt: skip

    def _shared_outer(self) -> Outer | None:
        design = self.design
        if self._outer is not None and design.is_wide:
            self._outer_gram = self._outer.part(design)
            return self._outer
        too_large = self.Y.shape[0] > LARGEST_GRAM
        if not design.is_wide or self.penalty.standardize or design.free.size or too_large:
            return None
        view = self.view
        if self.weights is not None:
            view = DesignView(self.storage, None, self.fit_intercept, n_threads=self.n_threads)
        system = RidgeSystem(view, self.penalty.weights, False, self.n_threads)
        if not system.n_columns:
            return None
        smallest = float(system.sigma.min())
        d = np.zeros(view.n_features)
        d[system.columns] = np.square(smallest / system.sigma)
        outer = Outer(outer_gram(view, d, self.n_threads), smallest)
        self._outer_gram = outer.part(design)
        return outer

    def _held_out(
        self, folds: Sequence[Fold], fit: Callable[[int, Float], Iterable[Part]], alphas: Float,
        asked: Asked,
    ) -> Float:  # fmt: skip
        """Means over folds of held-out errors, or scores, (c, a)."""
        values = []
        for k, fold in enumerate(folds):
            s = np.ones(fold.test.size) if self.weights is None else self.weights[fold.test]
            if np.any(s > 0):
                parts = [
                    self._fold_values(fold.test, s, part, alphas, asked) for part in fit(k, alphas)
                ]
                values.append(np.concatenate(parts, axis=1))
        return np.asarray(np.mean(values, axis=0))

    def _fold_values(self, test: Rows, s: Float, part: Part, alphas: Float, asked: Asked) -> Float:
        """Scores, or squared errors over 4^exponent, of some alphas."""
        if part.shortfall is not None:
            self._shortfalls.extend(zip(alphas[part.alphas], part.shortfall, strict=True))
        if asked.score is not None:
            return asked.score(test, part.predict(test))
        t, count = self.Y.shape[1], alphas[part.alphas].size
        squares = np.zeros((t, count))
        step = max(64, TESTED // max(t * count, self.storage.n_features))
        share = s / s.sum()
        for start in range(0, test.size, step):
            rows = test[start : start + step]
            error = part.predict(rows)
            np.subtract(self.Y[rows, :, None], error, out=error)
            np.ldexp(error, -self.exponent, out=error)
            squares += np.einsum("ita,ita,i->ta", error, error, share[start : start + step])
        return _combined(squares, asked)

    def _iterated(self, asked: Asked, folds: Sequence[Fold]) -> Chosen:
        problem = self._fold_problem()
        alphas = asked.alphas
        if alphas is None:
            alphas = self.design.in_user_units(self._iterated_grid())

        def fit(k: int, alphas: Float) -> Iterable[Part]:
            return fit_by_iterations(problem, folds[k], alphas)

        criterion = self._held_out(folds, fit, alphas, asked)
        best = _best(criterion if asked.score is not None else -criterion, alphas)
        if asked.score is None:
            criterion = self._in_user_units(criterion)
        solutions = solve_ridge(
            self.storage, self.Y, np.array(np.broadcast_to(alphas[best], self.Y.shape[1])),
            sample_weight=self.weights, fit_intercept=self.fit_intercept, penalty=self.penalty,
            options=Options(max_iter=None, n_threads=self.n_threads),
        )  # fmt: skip
        return Chosen(alphas, criterion, best, solutions, shortfalls=self._shortfalls)

    def _iterated_grid(self) -> Float:
        design = self.design

        def product(v: Float) -> Float:
            return design.correlations(design.product(v[:, None]))[:, 0]

        start = np.cos(1.0 + np.arange(design.k))  # anything that is not an eigenvector
        return iterated_alphas(product, start)


def _combined(values: Float, asked: Asked) -> Float:
    """(c, a) of values (t, a): those of the targets, or one for all."""
    if asked.per_target:
        return values
    total = values.sum if asked.criterion == "evidence" else values.mean
    return np.asarray(total(axis=0, keepdims=True))


def _best(scores: Float, alphas: Float) -> Rows:
    """Where each row is largest; of equal ones at the largest alpha."""
    order = np.argsort(-alphas, kind="stable")
    known = np.where(np.isnan(scores), -np.inf, scores)[:, order]
    return order[np.argmax(known, axis=1)]
