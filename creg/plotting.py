"""Pictures of a `Path`; matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from creg._validation import Float, check_choice, check_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from creg.path import Path

COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C9")  # of the features that get a name
LABELLED = len(COLOURS)
_AXES = {
    "alpha": r"$\alpha$",
    "l1_norm": r"$\|w\|_1$",
    "fraction": r"$\|w\|_1\,/\,\max\,\|w\|_1$",
}


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
    pyplot = _pyplot()
    if ax is None:
        _, ax = pyplot.subplots(figsize=(7.0, 4.6), layout="constrained")
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
        ax.set_xscale("log")
    if where.min() < where.max():
        ax.set_xlim(where[0], where[-1]) if x == "alpha" else ax.set_xlim(where.min(), where.max())
    ax.margins(y=0.06)
    ax.autoscale_view(scalex=False)


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
