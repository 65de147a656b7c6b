"""Paths that are followed together: reads of X that they share leave out no violator."""

from types import SimpleNamespace

import numpy as np
import pytest
from kernels import Kernel, random_kernel

from creg._lasso.trace import Trace, trace_together

TOL = 1e-13


def training_sets(seed, n, p, count, **more):
    """The same X under the weights of folds, and all rows."""
    rng = np.random.default_rng(seed)
    whole = random_kernel(seed, n, p, **more)
    found = []
    for fold in range(count):
        weights = np.ones(n) if fold % 2 else rng.uniform(0.5, 2.0, n)
        if fold < count - 1:
            weights[np.arange(n) * (count - 1) // n == fold] = 0.0
        weights *= n / weights.sum()
        kernel = Kernel(whole.X, whole.target, weights, layout=whole.layout, centre=whole.centre)
        # one storage: X is read for all
        kernel.view = type(kernel.view)(whole.view.storage, weights, centre=whole.centre)
        found.append(kernel)
    return found


def path_of(kernel, count=25, most=None):
    l1 = kernel.l1_max * np.geomspace(0.999, 0.02, count)
    most = kernel.X.shape[1] if most is None else most
    return Trace(kernel.solver(pivoting=True), l1, np.zeros(count), TOL / 2, 10_000, most), l1


def columns(kernel, path):
    indptr, indices, values, facts = path.result()
    for k in range(len(facts)):
        w = np.zeros(kernel.X.shape[1])
        w[indices[indptr[k] : indptr[k + 1]]] = values[indptr[k] : indptr[k + 1]]
        yield w, facts[k]


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("layout", ["F", "f32", "csc"])
@pytest.mark.parametrize("seed", range(4))
def test_each_path_is_optimal(seed, layout, centre):
    """By correlations of all columns that numpy computes anew, after each solve."""
    n, p = [(20, 150), (30, 90), (12, 300), (45, 70)][seed]
    density = 0.3 if layout == "csc" else 1.0
    kernels = training_sets(seed, n, p, 3 + seed, layout=layout, centre=centre, density=density)
    paths = [path_of(kernel) for kernel in kernels]
    trace_together([path for path, _ in paths])
    for kernel, (path, l1) in zip(kernels, paths, strict=True):
        alone, _ = path_of(kernel)
        trace_together([alone])
        solved = list(columns(kernel, path))
        assert len(solved) == len(l1)
        for (w, facts), (other, _), level in zip(solved, columns(kernel, alone), l1, strict=True):
            assert facts[4] == 0
            assert 0 <= facts[0] <= TOL / 2
            r = kernel.residual(w) * np.sqrt(kernel.s)
            slack = 1e-6 + np.sqrt(2 * facts[0]) / np.linalg.norm(r)
            assert kernel.dual_excess(w, level, 0.0) <= slack
            assert kernel.objective(w, level, 0.0) <= kernel.objective(other, level, 0.0) + TOL


def test_reads_are_fewer_together():
    kernels = training_sets(1, 40, 4000, 6)
    together = [path_of(kernel)[0] for kernel in kernels]
    trace_together(together)
    alone = [path_of(kernel)[0] for kernel in kernels]
    for path in alone:
        trace_together([path])
    reads = [sum(path.result()[3][:, 2].sum() for path in paths) for paths in (together, alone)]
    assert reads[0] < 0.6 * reads[1]


def test_a_path_that_ends_early_takes_no_part_any_more():
    kernels = training_sets(2, 30, 200, 3)
    paths = [
        path_of(kernel, most=most)[0] for kernel, most in zip(kernels, (2, 200, 5), strict=True)
    ]
    trace_together(paths)
    assert [len(path.result()[3]) == 25 for path in paths] == [False, True, False]
    w = list(columns(kernels[0], paths[0]))
    assert np.count_nonzero(w[-1][0]) > 2
    assert all(np.count_nonzero(each) <= 2 for each, _ in w[:-1])


def test_the_same_bits_with_any_number_of_threads():
    results = []
    for n_threads, at_once in [(1, 1), (2, 1), (2, 2), (3, 3), (5, 4)]:
        paths = [path_of(kernel)[0] for kernel in training_sets(3, 25, 300, 4)]
        trace_together(paths, n_threads, at_once)
        results.append([path.result()[2].tobytes() for path in paths])
    assert len({tuple(each) for each in results}) == 1


def test_a_path_with_unpenalised_features_reads_for_itself():
    """Its residual is projected after it is computed."""
    kernels = training_sets(0, 30, 120, 3)
    kernels[1].a[:2] = kernels[1].b[:2] = 0.0
    paths = [path_of(kernel) for kernel in kernels]
    trace_together([path for path, _ in paths], 2, 2)
    for kernel, (path, l1) in zip(kernels, paths, strict=True):
        for (w, facts), level in zip(columns(kernel, path), l1, strict=True):
            assert facts[4] == 0
            r = kernel.residual(w) * np.sqrt(kernel.s)
            slack = 1e-6 + np.sqrt(2 * facts[0]) / np.linalg.norm(r)
            assert kernel.dual_excess(w, level, 0.0) <= slack


def test_an_error_of_one_path_ends_all():
    kernels = training_sets(2, 30, 200, 3)
    paths = [path_of(kernel)[0] for kernel in kernels]

    def interrupted():
        raise KeyboardInterrupt

    other = SimpleNamespace(solver=paths[0].solver, follow=interrupted)
    with pytest.raises(KeyboardInterrupt):
        trace_together([*paths[1:], other], 2, 2)
