"""Problems of few features: the same optima, certificates and bits by the short way."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from cases import as_format, assert_certified, estimator, fit, random_data, random_problem
from reference import Problem, null_objective

import creg
from creg import _given, _problem
from creg._data.design import DesignView
from creg._data.narrow_gram import narrow_gram
from creg._data.statistics import gram
from creg._data.storage import Storage
from creg._data.vectors import all_finite
from creg._given import Data, Options, Penalty
from creg._lasso.narrow import NarrowSolver
from creg._problem import L1Problem

FORMATS = ("F", "C", "csc_array", "csr_array")


def narrow_problem(seed: int, n: int = 24, p: int = 8) -> Problem:
    """One that the narrow solver is for, with weights, bounds and mixture drawn from the seed."""
    problem = random_problem(seed, n, p, unpenalised=False)
    ratio = problem.l1_ratio if problem.l1_ratio > 0 else 1.0
    return replace(problem, ridge=False, alpha=min(problem.alpha, 0.1), l1_ratio=ratio)


def made(problem: Problem, layout: str = "F") -> L1Problem:
    storage = Storage(as_format(problem.X, layout))
    data = Data(storage, problem.sample_weight, problem.fit_intercept)
    penalty = Penalty(
        problem.l1_ratio,
        problem.penalty_weights,
        problem.lower,
        problem.upper,
        problem.standardize,
    )
    return L1Problem(data, problem.y, penalty)


@pytest.fixture
def solved(monkeypatch) -> list[bool]:
    """What the narrow solver answered, penalty by penalty."""
    answers: list[bool] = []

    class Watched(NarrowSolver):
        def solve(self, *arguments):
            answers.append(super().solve(*arguments))
            return answers[-1]

    monkeypatch.setattr(_problem, "NarrowSolver", Watched)
    return answers


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_the_reference(seed, layout, solved) -> None:
    problem = narrow_problem(seed)
    model = fit(problem, as_format(problem.X, layout), tol=1e-10)
    assert_certified(problem, model, 1e-10)
    if problem.penalty_weights is None:
        assert solved == [True]


@pytest.mark.parametrize("tol", [1e-2, 1e-6, 1e-13])
@pytest.mark.parametrize("seed", range(20))
def test_its_gap_is_an_upper_bound(seed, tol) -> None:
    problem = narrow_problem(seed + 100, n=30, p=12)
    assert_certified(problem, fit(problem, tol=tol, quiet=True))


@pytest.mark.parametrize("seed", range(20))
def test_both_solvers_agree(seed, monkeypatch) -> None:
    problem = narrow_problem(seed + 200)
    short = fit(problem, tol=1e-12, quiet=True)
    monkeypatch.setattr(_given, "NARROW", 0)
    general = fit(problem, tol=1e-12, quiet=True)
    bound = 1e-11 * float(null_objective(problem))
    assert abs(short.dual_gap_ - general.dual_gap_) <= bound
    np.testing.assert_allclose(short.coef_, general.coef_, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shift", [1e3, 1e6])
def test_what_gram_space_cannot_certify_is_certified_from_x(shift, solved) -> None:
    X, y = random_data(3, 60, 10)
    rng = np.random.default_rng(0)
    X[:, 5:] = X[:, :5] + 1e-5 * rng.normal(size=(60, 5))
    X = np.asfortranarray(X + shift)
    alpha = 1e-4 * creg.alpha_max(X, y)
    model = creg.Lasso(alpha, tol=1e-11).fit(X, y)
    assert_certified(Problem(X, y, alpha), model, 1e-11)


@pytest.mark.parametrize("correlation", [0.5, 0.999])
def test_a_far_penalty_is_approached(correlation, solved) -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(200, 1))
    X = np.asfortranarray(
        correlation * common + np.sqrt(1 - correlation**2) * rng.normal(size=(200, 100))
    )
    y = X[:, :10].sum(axis=1) + rng.normal(size=200)
    largest = creg.alpha_max(X, y)
    design = creg.Design(X)
    cold = creg.Lasso(1e-2 * largest, tol=1e-10).fit(design, y)
    path = creg.lasso_path(design, y, alphas=largest * np.geomspace(1, 1e-2, 20), tol=1e-10)
    assert all(solved)
    np.testing.assert_allclose(path.coefs.toarray()[:, -1], cold.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_a_warm_start_ends_where_a_cold_one_does(seed, solved) -> None:
    problem = narrow_problem(seed + 400)
    model = estimator(problem, tol=1e-10, warm_start=True)
    data = problem.X, problem.y, problem.sample_weight
    cold = model.fit(*data).coef_
    for alpha in (0.5 * problem.alpha, 5 * problem.alpha, problem.alpha):
        model.set_params(alpha=alpha).fit(*data)
        assert_certified(problem.at(alpha), model, 1e-10)
    np.testing.assert_allclose(model.coef_, cold, rtol=0, atol=1e-4)
    again = model.fit(*data)
    assert again.n_iter_ <= 2
    if problem.penalty_weights is None:
        assert solved == [True] * 5


def test_features_without_a_penalty_are_left_to_the_general_solver(solved) -> None:
    X, y = random_data(0, 30, 6)
    model = creg.Lasso(0.1, penalty_weights=np.array([0.0, 1, 1, 1, 1, 1])).fit(X, y)
    assert not solved
    assert model.coef_[0] != 0


@pytest.mark.parametrize("seed", range(20))
def test_a_path_is_its_fits(seed) -> None:
    problem = made(narrow_problem(seed + 300))
    alphas = max(problem.alpha_max, 1e-3) * np.geomspace(1, 1e-3, 15)
    together = problem.solve_together(alphas, Options(), None)
    alone = list(problem.solve(alphas.tolist(), Options()))
    assert len(together) in (0, len(alphas))
    for one, other in zip(together.list(), alone, strict=len(together) > 0):
        assert one.values.tobytes() == other.values.tobytes()
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_allclose(one.intercept, other.intercept, rtol=1e-12, atol=1e-12)
        assert one.dual_gap == pytest.approx(other.dual_gap)
        assert (one.n_iter, one.reads) == (other.n_iter, other.reads)


@pytest.mark.parametrize("last", [0, 3])
def test_the_general_solver_takes_a_path_over(last, monkeypatch) -> None:
    X, y = random_data(5, 50, 8)
    expected = creg.lasso_path(X, y, alphas=10, tol=1e-12)

    calls: list[int] = []

    class Stops(NarrowSolver):
        def trace(self, l1, l2, *more):
            calls.append(len(l1))
            return super().trace(l1[:last], l2[:last], *more)

        def solve(self, *arguments):
            calls.append(1)
            return False

    monkeypatch.setattr(_problem, "NarrowSolver", Stops)
    path = creg.lasso_path(X, y, alphas=10, tol=1e-12)
    assert calls == [10, 1]
    assert path.coefs.shape == expected.coefs.shape
    np.testing.assert_allclose(path.coefs.toarray(), expected.coefs.toarray(), atol=1e-6)
    np.testing.assert_allclose(path.intercepts, expected.intercepts, atol=1e-6)


def test_iterations_that_do_not_suffice_are_the_general_solvers(solved) -> None:
    X, y = random_data(5, 50, 20)
    alpha = 0.001 * creg.alpha_max(X, y)
    with pytest.warns(Warning, match="increase max_iter"):
        model = creg.Lasso(alpha, max_iter=1).fit(X, y)
    assert solved == [False]
    assert_certified(Problem(X, y, alpha), model)


def bits(model) -> bytes:
    return model.coef_.tobytes() + np.float64(model.intercept_).tobytes()


@pytest.mark.parametrize("layout", FORMATS)
def test_a_design_gives_the_same_bits_again_and_again(layout) -> None:
    X, y = random_data(0, 100, 20)
    X = as_format(X, layout)
    design = creg.Design(X)
    rng = np.random.default_rng(0)
    targets = [rng.permutation(y) for _ in range(5)]
    model = creg.Lasso(0.1)
    first = [bits(model.fit(design, t)) for t in targets]
    assert first == [bits(model.fit(design, t)) for t in targets]
    assert first == [bits(model.fit(X, t)) for t in targets]
    again = pickle.loads(pickle.dumps(design))
    assert first == [bits(model.fit(again, t)) for t in targets]


def test_a_pickle_of_a_used_design_holds_x_alone() -> None:
    X, y = random_data(0, 100, 20)
    design = creg.Design(np.asfortranarray(X))
    size = len(pickle.dumps(design))
    creg.Lasso(0.1).fit(design, y)
    assert len(pickle.dumps(design)) == size


def test_threads_may_share_a_design() -> None:
    X, y = random_data(0, 100, 20)
    rng = np.random.default_rng(0)
    targets = [rng.permutation(y) for _ in range(8)]
    expected = [bits(creg.Lasso(0.1).fit(X, t)) for t in targets]
    for _ in range(5):
        design = creg.Design(X)
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda t, d=design: bits(creg.Lasso(0.1).fit(d, t)), targets * 10)
            assert list(found) == expected * 10


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centre", [False, True])
def test_gram_of_few_columns(centre, weighted, layout) -> None:
    X, _ = random_data(0, 30, 7)
    X[:, 3] = 2.0 if centre else 0.0
    weights = np.random.default_rng(0).uniform(0, 2, 30) if weighted else None
    view = DesignView(Storage(as_format(X, layout)).columns(), weights, centre=centre)
    G = narrow_gram(view)
    np.testing.assert_allclose(G, gram(view), rtol=1e-12, atol=1e-12)
    assert not G[3].any()
    assert not G.flags.writeable
    assert (narrow_gram(view) is G) != weighted


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", ["F", "C", "row_slice", "reversed"])
def test_all_finite(layout, dtype) -> None:
    X = as_format(np.full((7, 3), np.finfo(np.float32).max), layout, dtype)
    assert all_finite(X)
    assert all_finite(X[:0])
    for k in range(X.size):
        for bad in (np.nan, np.inf, -np.inf):
            Y = X.copy()
            Y.flat[k] = bad
            assert not all_finite(Y)


@pytest.mark.parametrize("noise", [1e-3, 1e-5])
@pytest.mark.parametrize("seed", range(6))
def test_a_far_fit_of_few_correlated_columns(seed, noise) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(97, 1)) + noise * rng.normal(size=(97, 8))
    y = X[:, 0] + 0.3 * rng.normal(size=97)
    alpha = 1e-4 * creg.alpha_max(X, y, positive=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = creg.Lasso(alpha, positive=True).fit(X, y)
    assert model.n_iter_ < 500


@pytest.mark.parametrize("order", ["F", "C"])
def test_a_sample_of_rows_that_misleads(order) -> None:
    """One outlying row among those that the shift of tall data is from."""
    rng = np.random.default_rng(1)
    common = rng.normal(size=(1600, 1))
    X = np.asarray(9 + common + 1e-3 * rng.normal(size=(1600, 70)), order=order)
    X[0] = -0.5
    y = X @ rng.normal(size=70) + rng.normal(size=1600)
    alpha = 1e-3 * creg.alpha_max(X, y)
    models = [creg.Lasso(alpha).fit(data, y) for data in (X, creg.Design(X))]
    assert models[0].n_iter_ < 1000
    r = y - y.mean() - (X - X.mean(axis=0)) @ models[1].coef_
    null = np.var(y) / 2
    objectives = [
        np.var(y - X @ model.coef_) / 2 + alpha * np.abs(model.coef_).sum() for model in models
    ]
    assert abs(objectives[0] - objectives[1]) <= 2e-8 * null
    assert np.abs((X - X.mean(axis=0)).T @ r).max() / 1600 <= alpha * (1 + 1e-4)
