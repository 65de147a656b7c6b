"""Pictures of paths: what is drawn where, and matplotlib only on use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import creg
from creg import lasso_path
from creg.plotting import spread

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

ROOT = str(Path(creg.__file__).parents[1])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 15))
Y = X @ np.linspace(1, 3, 15) + RNG.normal(size=60)
NAMES = [f"name{j}" for j in range(15)]


@pytest.fixture
def path():
    yield lasso_path(pd.DataFrame(X, columns=NAMES), Y, alphas=20, tol=1e-6)
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("x", ["alpha", "l1_norm", "fraction"])
def test_the_lines_are_the_coefficients(path, x):
    ax = path.plot(x=x)
    dense = path.coefs.toarray()
    norms = np.abs(dense).sum(axis=0)
    where = {"alpha": path.alphas, "l1_norm": norms, "fraction": norms / norms.max()}[x]
    largest = np.argsort(-np.abs(dense).max(axis=1))[:8]
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 20]
    assert len(drawn) == 8
    for line, j in zip(drawn, largest, strict=True):
        np.testing.assert_allclose(line.get_xdata(), where, rtol=1e-12)
        seen = ~np.isnan(line.get_ydata())
        np.testing.assert_array_equal(line.get_ydata()[seen], dense[j][seen])
        assert not dense[j][~seen].any()
    assert texts(ax) == [NAMES[j] for j in largest]
    grey = next(c for c in ax.collections if isinstance(c, matplotlib.collections.LineCollection))
    others = np.setdiff1d(np.flatnonzero(dense.any(axis=1)), largest)
    assert len(grey.get_segments()) == len(others)
    left, right = ax.get_xlim()
    assert (left > right) == (x == "alpha")
    assert ax.get_xscale() == ("log" if x == "alpha" else "linear")


def test_the_top_axis_counts_nonzero_coefficients(path):
    ax = path.plot()
    ax.figure.canvas.draw()
    top = ax.child_axes[0]
    counts = dict(zip(path.alphas, path.n_nonzero, strict=True))
    ticks = top.get_xticks()
    assert len(ticks) >= 5
    labels = [label.get_text() for label in top.get_xticklabels()]
    assert labels == [str(counts[tick]) for tick in ticks]


def test_the_axes_and_names_given_are_used(path):
    _, ax = plt.subplots()
    assert path.plot(ax=ax, names=[f"n{j}" for j in range(15)]) is ax
    assert all(text.startswith("n") and not text.startswith("name") for text in texts(ax))
    bare = lasso_path(X, Y, alphas=5).plot()
    assert all(text.startswith("feature ") for text in texts(bare))


@pytest.mark.parametrize("settings", [{"alphas": [0.5]}, {"alphas": [1e6]}, {"alphas": 1}])
def test_a_single_alpha_and_no_active_feature(settings, tmp_path):
    lasso_path(X, Y, **settings).plot().figure.savefig(tmp_path / "p.png")
    lasso_path(X, np.ones(60), alphas=4).plot(x="fraction").figure.savefig(tmp_path / "p.png")
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"x": "lambda"}, ValueError, "x must be one of 'alpha', 'l1_norm', 'fraction'"),
        ({"names": ["a"]}, ValueError, "names must hold 15 names; got 1"),
        ({"names": "abc"}, TypeError, "names must be a sequence of strings"),
    ],
)
def test_bad_arguments(path, arguments, kind, words):
    with pytest.raises(kind, match=words):
        path.plot(**arguments)


def test_labels_are_spread_as_little_as_needs_be():
    heights = np.array([0.5, 0.1, 0.5, 0.5, 0.9])
    out = spread(heights, 0.1)
    np.testing.assert_allclose(out, [0.4, 0.1, 0.5, 0.6, 0.9])
    crowded = spread(np.full(30, 0.99), 0.05)
    assert np.all(np.diff(crowded) > 0.0499)
    top = spread(np.full(4, 0.99), 0.1)
    np.testing.assert_allclose(top, [0.7, 0.8, 0.9, 1.0])


def test_without_matplotlib_the_error_names_the_extra():
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); sys.modules['matplotlib'] = None\n"
        "import numpy as np, creg\n"
        "path = creg.lasso_path(np.eye(4), np.arange(4.0), alphas=3)\n"
        "try: path.plot()\n"
        "except ImportError as error: assert 'creg[plot]' in str(error)\n"
        "else: sys.exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
