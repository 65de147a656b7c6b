"""Fast, certified regularised linear regression: Lasso, elastic net and ridge."""

from creg.design import Design
from creg.lasso_cv import ElasticNetCV, LassoCV
from creg.linear_model import ElasticNet, Lasso, Ridge, adaptive_weights
from creg.model_selection import RidgeCV
from creg.path import Path
from creg.paths import alpha_max, enet_path, lasso_path, ridge_path

__version__ = "0.1.0.dev0"

__all__ = [
    "Design",
    "ElasticNet",
    "ElasticNetCV",
    "Lasso",
    "LassoCV",
    "Path",
    "Ridge",
    "RidgeCV",
    "adaptive_weights",
    "alpha_max",
    "enet_path",
    "lasso_path",
    "ridge_path",
]
