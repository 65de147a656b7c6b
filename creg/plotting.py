"""Pictures of paths and of how alpha was chosen; matplotlib is imported only on use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from creg._validation import Float, check_choice, check_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from creg.lasso_cv import L1CV
    from creg.path import Path

COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C9")  # of the features that get a name
LABELLED = len(COLOURS)
_AXES = {
    "alpha": r"$\alpha$",
    "l1_norm": r"$\|w\|_1$",
    "fraction": r"$\|w\|_1\,/\,\max\,\|w\|_1$",
}
_CRITERIA = {
    "cv": "cross-validated mean squared error",
    "alo": "approximate leave-one-out error",
    "aic": "AIC",
    "bic": "BIC",
    "ebic": "extended BIC",
}
CURVE, GREY = "C0", "0.7"
_STYLES = (("--", "0.25"), ("-.", "C2"), ("-", "C3"))  # of the rules


def plot_path(path: Path, ax: Axes | None, x: str, names: Sequence[str] | None) -> Axes:
    """What `Path.plot` does."""
    check_choice("x", x, tuple(_AXES))
    n_features = path.coefs.shape[-2]
    if path.coefs.ndim == 3:
        raise ValueError(
            f"the path must have one target to be plotted; it has {path.coefs.shape[0]}."
        )
    if not len(path.alphas):
        raise ValueError("the path must have at least one alpha; it was stopped before any.")
    labels = path.feature_names if names is None else check_names("names", names, n_features)
    ax = _axes(ax)
    features, coefs = _active(path.coefs)
    where = _positions(path, coefs, x)
    ranked = np.argsort(-np.abs(coefs).max(axis=1), kind="stable")
    _draw_lines(ax, where, coefs, ranked)
    _draw_axis(ax, where, x)
    _label(ax, where, coefs, features, ranked[:LABELLED], labels)
    if path.l1_ratio > 0:
        _draw_counts(ax, where, path.n_nonzero)
    return ax


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'creg[plot]'"
        ) from error
    return pyplot


def _axes(ax: Any) -> Axes:
    """The axes given, or those of a new figure."""
    pyplot = _pyplot()
    from matplotlib.axes import Axes

    if ax is None:
        return pyplot.subplots(figsize=(7.0, 4.6), layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None; got {type(ax).__name__}.")
    return ax


def _active(coefs: Any) -> tuple[NDArray[np.intp], Float]:
    """The features that are nonzero anywhere, and their coefficients, one row each."""
    if sparse.issparse(coefs):
        rows = np.unique(coefs.indices[coefs.data != 0]).astype(np.intp)
        dense = coefs.tocsr()[rows].toarray()
    else:
        rows = np.flatnonzero(np.any(coefs != 0, axis=1))
        dense = coefs[rows]
    return rows, np.asarray(dense, dtype=np.float64)


def _positions(path: Path, coefs: Float, x: str) -> Float:
    if x == "alpha":
        return path.alphas
    norms = np.abs(coefs).sum(axis=0)
    largest = norms.max(initial=0.0)
    return norms / largest if x == "fraction" and largest > 0 else norms


def _draw_lines(ax: Axes, where: Float, coefs: Float, ranked: NDArray[np.intp]) -> None:
    """The largest features in colour, the others thin and grey below them."""
    from matplotlib.collections import LineCollection

    ax.axhline(0.0, color="0.3", linewidth=0.6, zorder=1)
    others = ranked[LABELLED:]
    segments = [np.column_stack([where, coefs[k]]) for k in others]
    ax.add_collection(LineCollection(segments, colors="0.75", linewidths=0.6, zorder=2))
    marker = "o" if len(where) == 1 else None
    for colour, k in zip(COLOURS, ranked, strict=False):
        seen = np.where(_inactive(coefs[k]), np.nan, coefs[k])
        ax.plot(where, seen, color=colour, linewidth=1.4, zorder=3, marker=marker)


def _inactive(coef: Float) -> NDArray[np.bool_]:
    """Where a coefficient is zero with its neighbours, so that its line would cover others."""
    zero = np.pad(coef == 0, 1, constant_values=True)
    return np.asarray(zero[:-2] & zero[1:-1] & zero[2:])


def _draw_axis(ax: Axes, where: Float, x: str) -> None:
    ax.set_xlabel(_AXES[x])
    ax.set_ylabel("coefficient")
    ax.yaxis.set_major_formatter("{x:.6g}")  # no common factor, which would stand on the top axis
    ax.spines["right"].set_visible(False)
    if x == "alpha":
        _draw_alphas(ax, where)
    elif where.min() < where.max():
        ax.set_xlim(where.min(), where.max())
    ax.margins(y=0.06)
    ax.autoscale_view(scalex=False)


def _draw_alphas(ax: Axes, alphas: Float) -> None:
    """A logarithmic axis, decreasing to the right, with ticks at 1, 2, 5 where it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    smallest, largest = float(alphas.min()), float(alphas.max())
    if smallest < largest:
        ax.set_xlim(largest, smallest)
    if largest < 300 * smallest:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if smallest > 1e-4 and largest < 1e5:
        ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _label(
    ax: Axes,
    where: Float,
    coefs: Float,
    features: NDArray[np.intp],
    chosen: NDArray[np.intp],
    labels: Sequence[str] | NDArray[Any] | None,
) -> None:
    """Names at the right end of the lines, moved apart where they would overlap."""
    if not len(chosen):
        return
    end = coefs[chosen, int(np.argmax(where)) if where[0] < where[-1] else -1]
    low, high = ax.get_ylim()
    heights = spread((end - low) / (high - low), 0.05)
    for colour, k, at, height in zip(COLOURS, chosen, end, heights, strict=False):
        feature = int(features[k])
        ax.annotate(
            f"feature {feature}" if labels is None else str(labels[feature]),
            xy=(1.0, (at - low) / (high - low)),
            xytext=(1.03, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize="small",
            verticalalignment="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkB": 0},
        )


def spread(heights: Float, gap: float) -> Float:
    """Heights in [0, 1] moved as little as needs be to lie at least `gap` apart, in their order.

    The least-squares solution: blocks of neighbours that would overlap move together (the
    pooling of adjacent violators).
    """
    order = np.argsort(heights, kind="stable")
    blocks: list[tuple[float, int]] = []
    for k, j in enumerate(order):
        mean, size = float(heights[j]) - k * gap, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    out = np.empty(len(heights))
    lowest = np.concatenate([np.full(size, mean) for mean, size in blocks])
    out[order] = lowest + gap * np.arange(len(order))
    room = max(0.0, 1.0 - gap * (len(order) - 1))
    shift = np.clip(lowest, 0.0, room) - lowest
    out[order] += shift
    return out


def _draw_counts(ax: Axes, where: Float, n_nonzero: NDArray[np.intp]) -> None:
    """Nonzero coefficients along the top, at alphas evenly spaced on the axis."""
    top = ax.secondary_xaxis("top")
    scale = np.log10(where) if ax.get_xscale() == "log" else where
    targets = np.linspace(scale[0], scale[-1], 7)
    chosen = np.unique([int(np.argmin(np.abs(scale - target))) for target in targets])
    top.set_xticks(where[chosen], [str(n_nonzero[k]) for k in chosen])
    top.minorticks_off()
    top.set_xlabel("nonzero coefficients")


@dataclass(frozen=True)
class Curves:
    """What was minimised over alpha, once or at several l1_ratios.

    Attributes
    ----------
    alphas, values : (n_curves, n_alphas)
    errors : (n_curves, n_alphas) or None
        Standard errors of the values.
    chosen : int
        The curve that the rest is about.
    measure, label : str
        Of the vertical axis, and of the chosen curve in the legend.
    others : list of str
        Labels of all curves, used for those that were not chosen.
    rules : dict
        The alpha of each rule, the minimum first.
    alpha : float
        What was chosen in the end.
    n_nonzero : (n_alphas,) of the chosen curve, or None
    """

    alphas: Float
    values: Float
    errors: Float | None
    chosen: int
    measure: str
    label: str
    others: Sequence[str]
    rules: dict[str, float]
    alpha: float
    n_nonzero: NDArray[np.intp] | None

    @property
    def curve(self) -> tuple[Float, Float, Float]:
        """Alphas, values and standard errors (0 where there are none) of the chosen one."""
        values = self.values[self.chosen]
        errors = np.zeros(len(values)) if self.errors is None else self.errors[self.chosen]
        return self.alphas[self.chosen], values, errors

    def place(self, alpha: float) -> int:
        """The index of an alpha on the chosen curve."""
        return int(np.argmin(np.abs(self.alphas[self.chosen] - alpha)))


def plot_choice(model: L1CV, ax: Axes | None) -> Axes:
    """What `LassoCV.plot` and `ElasticNetCV.plot` do."""
    check_is_fitted(model, "path_")
    return draw_choice(_curves(model), ax)


def _curves(model: Any) -> Curves:
    values, criterion = np.atleast_2d(model.criterion_path_), model.criterion
    several = np.ndim(getattr(model, "l1_ratio", 1.0)) > 0
    ratios = list(model.l1_ratio) if several else [model.l1_ratio_]
    label = _CRITERIA[criterion]
    errors, rules = None, {}
    if hasattr(model, "mse_se_"):
        errors = np.atleast_2d(model.mse_se_)
        rules = {"minimum": model.alpha_min_, "one standard error": model.alpha_1se_}
        folds = f"{model.mse_path_.shape[-1]} folds" if criterion == "cv" else "rows"
        label = f"mean ± SE over {folds}"
    if several:
        label += f", l1_ratio {model.l1_ratio_:g}"
    if hasattr(model, "gamma_"):
        label += rf", $\gamma$ = {model.gamma_:g}"
    chosen = ratios.index(model.l1_ratio_)
    alphas = np.broadcast_to(model.alphas_, values.shape)
    if not rules:
        rules = {"minimum": float(alphas[chosen][_smallest(values[chosen])])}
    return Curves(
        alphas, values, errors, chosen, _CRITERIA[criterion], label,
        [f"l1_ratio {ratio:g}" for ratio in ratios], rules, model.alpha_, model.path_.n_nonzero,
    )  # fmt: skip


def draw_choice(curves: Curves, ax: Axes | None) -> Axes:
    """The chosen curve with its standard errors and rules, the others grey."""
    ax = _axes(ax)
    # leave-one-out errors are infinite where a row is fitted exactly
    values = np.where(np.isfinite(curves.values), curves.values, np.nan)
    errors = curves.errors
    if errors is not None:
        errors = np.where(np.isfinite(errors) & np.isfinite(values), errors, 0.0)
    curves = replace(curves, values=values, errors=errors)
    _draw_choice_axis(ax, curves)
    _draw_curve(ax, curves)
    _draw_others(ax, curves)
    _draw_rules(ax, curves)
    if curves.n_nonzero is not None:
        _draw_counts(ax, curves.alphas[curves.chosen], curves.n_nonzero)
    ax.legend(loc="best", fontsize="small", framealpha=0.9, edgecolor="none")
    return ax


def _draw_choice_axis(ax: Axes, curves: Curves) -> None:
    """Axes around all alphas, and around the chosen curve but for where it runs away."""
    ax.set_xlabel(_AXES["alpha"])
    ax.set_ylabel(curves.measure)
    ax.yaxis.set_major_formatter("{x:.6g}")
    ax.spines["right"].set_visible(False)
    _draw_alphas(ax, curves.alphas)
    _, values, errors = curves.curve
    seen = np.isfinite(values)
    if not seen.any():
        return
    upper, low = (values + errors)[seen], float((values - errors)[seen].min())
    usual = max(upper[0], np.median(upper))
    top = min(float(upper.max()), low + 2.0 * float(usual - low))
    if top > low:
        ax.set_ylim(low - 0.06 * (top - low), top + 0.06 * (top - low))


def _draw_curve(ax: Axes, curves: Curves) -> None:
    """Means in a band of one standard error on either side."""
    alphas, values, errors = curves.curve
    if curves.errors is not None:
        ax.fill_between(
            alphas, values - errors, values + errors, color=CURVE, alpha=0.18, linewidth=0, zorder=2
        )
    marker = "o" if len(alphas) == 1 else None
    ax.plot(alphas, values, color=CURVE, linewidth=1.4, marker=marker, label=curves.label, zorder=3)


def _draw_others(ax: Axes, curves: Curves) -> None:
    """Grey curves, each with a label in the margin and a thin line to it."""
    low, high = ax.get_ylim()
    ends = []
    for k, label in enumerate(curves.others):
        alphas, values = curves.alphas[k], curves.values[k]
        if k == curves.chosen:
            continue
        ax.plot(alphas, values, color=GREY, linewidth=0.8, zorder=1)
        inside = np.flatnonzero((values >= low) & (values <= high))
        if len(inside):
            ends.append((alphas[inside[-1]], values[inside[-1]], label))
    if not ends:
        return
    heights = spread(np.array([(value - low) / (high - low) for _, value, _ in ends]), 0.05)
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "linestyle": ":", "shrinkB": 0}
    for (alpha, value, label), height in zip(ends, heights, strict=True):
        ax.annotate(
            label,
            xy=(alpha, value),
            xytext=(1.03, height),
            textcoords="axes fraction",
            color="0.45",
            fontsize="small",
            verticalalignment="center",
            arrowprops=line,
        )


def _draw_rules(ax: Axes, curves: Curves) -> None:
    """A line at each rule's alpha, and the level that one standard error allows."""
    _, values, errors = curves.curve
    rules = dict(curves.rules)
    if curves.alpha not in rules.values():
        rules["chosen"] = curves.alpha
    for (name, alpha), (style, colour) in zip(rules.items(), _STYLES, strict=False):
        if name == "chosen":
            style, colour = "-", "C3"
        k = curves.place(alpha)
        said = f"{name} (chosen)" if alpha == curves.alpha and name != "chosen" else name
        said += rf": $\alpha$ = {float(f'{alpha:.3g}'):g}"
        if curves.n_nonzero is not None:
            said += f", {curves.n_nonzero[k]} nonzero"
        ax.axvline(alpha, color=colour, linestyle=style, linewidth=1.0, zorder=2, label=said)
        ax.plot(alpha, values[k], "o", color=colour, markersize=4, zorder=4)
    if curves.errors is not None:
        ends = [max(curves.rules.values()), min(curves.rules.values())]
        k = curves.place(ends[-1])
        ax.plot(ends, [values[k] + errors[k]] * 2, color="0.25", linewidth=0.7, linestyle=":")


def _smallest(values: Float) -> int:
    return int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
