"""Sphinx settings."""

import creg

project = "creg"
author = "The creg developers"
copyright = author  # noqa: A001
release = version = creg.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say them
autodoc_default_options = {"exclude-members": "set_fit_request, set_score_request"}
numpydoc_show_class_members = False  # the template of a class shows them
templates_path = ["_templates"]

html_theme = "furo"
html_static_path = ["_static"]
html_title = f"creg {release}"
