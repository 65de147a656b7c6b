"""Pictures of paths: what is drawn where, and matplotlib only on use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import creg
from creg import ElasticNetCV, LassoCV, lasso_path
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
        ({"ax": 3}, TypeError, "ax must be a matplotlib Axes or None; got int"),
    ],
)
def test_bad_arguments(path, arguments, kind, words):
    with pytest.raises(kind, match=words):
        path.plot(**arguments)


@pytest.fixture
def choose():
    """A fitted LassoCV, or with l1_ratio an ElasticNetCV, and its Axes."""

    def fitted(**settings):
        kind = ElasticNetCV if "l1_ratio" in settings else LassoCV
        model = kind(**{"alphas": 15, "eps": 0.01, "n_threads": 1} | settings).fit(X, Y)
        return model, model.plot()

    yield fitted
    plt.close("all")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def upright(ax):
    """Where vertical lines stand."""
    return [line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1]]


def curve(ax):
    return next(line for line in ax.lines if line.get_color() == "C0")


@pytest.mark.parametrize("criterion", ["cv", "alo"])
@pytest.mark.parametrize("rule", ["min", "1se", lambda model: 3])
def test_the_choice_is_drawn_with_its_errors_and_rules(choose, criterion, rule):
    model, ax = choose(criterion=criterion, rule=rule)
    np.testing.assert_array_equal(curve(ax).get_xdata(), model.alphas_)
    np.testing.assert_array_equal(curve(ax).get_ydata(), model.mse_mean_)
    band = ax.collections[0].get_paths()[0].vertices
    for sign in (-1, 1):
        edge = np.column_stack([model.alphas_, model.mse_mean_ + sign * model.mse_se_])
        assert all(np.abs(band - point).max(axis=1).min() < 1e-12 for point in edge)
    rules = [model.alpha_min_, model.alpha_1se_]
    expected = rules if model.alpha_ in rules else [*rules, model.alpha_]
    assert upright(ax) == expected
    said = legend(ax)
    assert len(said) == 1 + len(expected)
    for text, alpha in zip(said[1:], expected, strict=True):
        count = model.path_.n_nonzero[list(model.alphas_).index(alpha)]
        assert f"{alpha:.3g}, {count} nonzero" in text
        assert ("chosen" in text) == (alpha == model.alpha_)
    assert ("5 folds" in said[0]) == (criterion == "cv")
    left, right = ax.get_xlim()
    assert (left, right) == (model.alphas_[0], model.alphas_[-1])
    assert ax.get_xscale() == "log"
    level = model.mse_mean_.min() + model.mse_se_[np.argmin(model.mse_mean_)]
    low, high = ax.get_ylim()
    assert low < model.mse_mean_.min() < level < high


@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic"])
def test_a_criterion_has_one_rule_and_no_band(choose, criterion):
    model, ax = choose(criterion=criterion)
    np.testing.assert_array_equal(curve(ax).get_ydata(), model.criterion_path_)
    assert not ax.collections
    assert upright(ax) == [model.alpha_]
    assert "BIC" in ax.get_ylabel() or criterion == "aic"


def test_the_top_axis_of_a_choice_counts_nonzero_coefficients(choose):
    model, ax = choose()
    top = ax.child_axes[0]
    counts = dict(zip(model.alphas_, model.path_.n_nonzero, strict=True))
    labels = [label.get_text() for label in top.get_xticklabels()]
    assert labels == [str(counts[tick]) for tick in top.get_xticks()]
    assert len(labels) >= 5


@pytest.mark.parametrize("alphas", [15, [0.5, 0.1, 0.02]])
def test_several_l1_ratios_the_chosen_one_in_full(choose, alphas):
    ratios = [0.2, 0.6, 1.0]
    model, ax = choose(l1_ratio=ratios, alphas=alphas)
    chosen = ratios.index(model.l1_ratio_)
    grids = np.broadcast_to(model.alphas_, model.mse_mean_.shape)
    np.testing.assert_array_equal(curve(ax).get_xdata(), grids[chosen])
    np.testing.assert_array_equal(curve(ax).get_ydata(), model.mse_mean_[chosen])
    grey = [line for line in ax.lines if line.get_color() == "0.7"]
    for line, k in zip(grey, [k for k in range(3) if k != chosen], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), model.mse_mean_[k])
        np.testing.assert_array_equal(line.get_xdata(), grids[k])
    others = {f"l1_ratio {ratio:g}" for ratio in ratios if ratio != model.l1_ratio_}
    assert set(texts(ax)) == others
    assert f"l1_ratio {model.l1_ratio_:g}" in legend(ax)[0]
    assert ax.get_xlim() == (grids.max(), grids.min())


def test_a_curve_that_runs_away_does_not_hide_the_minimum(tmp_path):
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(30, 80))
    y = 3 * wide[:, 0] + rng.normal(size=30)
    model = LassoCV(criterion="alo", eps=1e-4, n_threads=1).fit(wide, y)
    assert not np.isfinite(model.mse_mean_).all() or model.mse_mean_.max() > 1e3
    ax = model.plot()
    low, high = ax.get_ylim()
    assert high - low < 4 * (model.mse_mean_[0] + model.mse_se_[0] - low)
    ax.figure.savefig(tmp_path / "p.png")
    plt.close("all")


@pytest.mark.parametrize("settings", [{"alphas": [0.3]}, {"relax": [0.0, 0.5]}, {"alphas": [99.0]}])
def test_odd_choices_are_drawn(choose, settings, tmp_path):
    _, ax = choose(**settings)
    ax.figure.savefig(tmp_path / "p.png")
    assert ("gamma" in legend(ax)[0]) == ("relax" in settings)
    flat = LassoCV(alphas=4, n_threads=1).fit(X, np.ones(60))
    flat.plot().figure.savefig(tmp_path / "p.png")


def test_what_a_choice_needs_to_be_drawn(choose):
    model, ax = choose()
    assert model.plot(ax=ax) is ax
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        model.plot(ax=3)
    with pytest.raises(NotFittedError):
        LassoCV().plot()


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
