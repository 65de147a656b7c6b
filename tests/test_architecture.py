"""The layout holds: imports run downwards only, files stay short, imports stay cheap."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import creg

SOURCE = Path(__file__).resolve().parents[1] / "creg"
FILES = sorted(p for pattern in ("*.py", "*.pyx", "*.pxd") for p in SOURCE.rglob(pattern))
# docstrings of Python sources aside
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_KERNEL_PARAMETERS = 8

# From the bottom up; a module may import from its own layer and from those below it.
LAYERS = [
    ["_data", "_solution", "_archive"],
    ["_lasso", "_ridge"],
    ["_given", "_problem", "_ridge_problem", "_ridge_path", "_ridge_choice"],
    ["_along"],
    ["_choice"],
    ["_validation", "_validation_choice", "_splitting", "design"],
    ["plotting"],
    ["path", "paths"],
    ["linear_model", "_io"],
    ["model_selection", "lasso_cv"],
    ["_report"],
    ["", "__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
LOWEST_WITH_SKLEARN = LEVEL["_validation"]
# Inside a layer or a package, pairs (module, what it may not import).
FORBIDDEN = [
    ("_solution", "_data"),
    ("_data.leaves", "_data"),
    ("_data.storage", "_data.design"),
    ("_data.storage", "_data.statistics"),
    ("_data.design", "_data.statistics"),
    ("_data.moments", "_data.statistics"),
    ("_lasso", "_ridge"),
    ("_ridge", "_lasso"),
    ("_lasso.penalty", "_lasso"),
    ("_lasso.certificate", "_lasso.coordinate_descent"),
    ("_given", "_problem"),
    ("_given", "_lasso"),
    ("_given", "_ridge"),
    ("_problem", "_ridge_problem"),
    ("_problem", "_ridge_path"),
    ("_ridge_problem", "_ridge_path"),
    ("path", "paths"),
    ("_validation", "design"),
]


def module_of(file: Path) -> str:
    """The dotted name inside creg: "" for creg itself, "_data.storage"."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_python(text: str) -> list[str]:
    """Absolute names that a Python source imports, but for those that only annotations need."""
    found: list[str] = []
    nodes: list[ast.AST] = [ast.parse(text)]
    for node in nodes:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def imports_cython(text: str) -> list[str]:
    """The same for Cython: every import and cimport statement, wherever it stands."""
    text = re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)
    found = []
    for names in re.findall(r"^\s*c?import[ \t]+([^\n]+)", text, flags=re.MULTILINE):
        found += [name.split()[0] for name in names.split(",")]
    pattern = r"^\s*from[ \t]+(\S+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]+)"
    for module, names in re.findall(pattern, text, flags=re.MULTILINE):
        assert not module.startswith("."), "relative import"
        found += [f"{module}.{n.split()[0]}" for n in names.strip("()").split(",") if n.strip()]
    return found


def imports(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    return imports_python(text) if file.suffix == ".py" else imports_cython(text)


def is_in(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def internal(file: Path) -> list[str]:
    """What a file imports of creg, without the prefix."""
    return [name.removeprefix("creg").lstrip(".") for name in imports(file) if is_in(name, "creg")]


def top(module: str) -> str:
    """The part of a module's (or an imported name's) path that has a layer."""
    head = module.split(".")[0]
    # creg.Lasso: a public name of the package itself
    return head if head in LEVEL or (SOURCE / head).is_dir() else ""


def short(file: Path) -> str:
    return str(file.relative_to(SOURCE.parent))


@pytest.mark.parametrize("file", FILES, ids=short)
def test_every_module_has_a_layer(file: Path) -> None:
    assert module_of(file).split(".")[0] in LEVEL


@pytest.mark.parametrize("file", FILES, ids=short)
def test_imports_run_downwards(file: Path) -> None:
    module = module_of(file)
    level = LEVEL[top(module)]
    upwards = [
        name
        for name in internal(file)
        # __version__ is text in the package itself
        if LEVEL[top(name)] > level and name != "__version__"
    ]
    assert not upwards, f"{module or 'creg'} imports {upwards}"
    for above, below in FORBIDDEN:
        if is_in(module, above):
            wrong = [n for n in internal(file) if is_in(n, below) and not is_in(n, above)]
            assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize("file", FILES, ids=short)
def test_scikit_learn_stays_above_the_problem(file: Path) -> None:
    if LEVEL[top(module_of(file))] < LOWEST_WITH_SKLEARN:
        assert not [name for name in imports(file) if is_in(name, "sklearn")]


def test_modules_of_the_lowest_layers_form_no_cycle() -> None:
    below: dict[str, set[str]] = {}
    names = {module_of(file) for file in FILES}
    for file in FILES:
        # the longest prefix that is a module
        for name in internal(file):
            while name and name not in names:
                name = name.rpartition(".")[0]
            if name and name != module_of(file):
                below.setdefault(module_of(file), set()).add(name)
    done: set[str] = set()

    def visit(module: str, chain: tuple[str, ...]) -> None:
        assert module not in chain, " -> ".join([*chain, module])
        if module not in done:
            for name in sorted(below.get(module, ())):
                visit(name, (*chain, module))
            done.add(module)

    for module in sorted(below):
        visit(module, ())


@pytest.mark.parametrize("file", FILES, ids=short)
def test_files_and_functions_are_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    total = len(text.splitlines())
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                total -= docstring_lines(node)
            if isinstance(node, ast.FunctionDef):
                length = lines(node) - docstring_lines(node)
                assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"
    assert total <= MAX_FILE_LINES


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def docstring_lines(node: ast.FunctionDef | ast.ClassDef | ast.Module) -> int:
    return lines(node.body[0]) if ast.get_docstring(node) is not None else 0


@pytest.mark.parametrize("file", [f for f in FILES if f.suffix != ".py"], ids=short)
def test_kernel_signatures_are_short(file: Path) -> None:
    text = re.sub(r'""".*?"""|#[^\n]*', "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    # C functions: a name, parameters, and what says that it may run without the GIL or the end
    for name, parameters in re.findall(r"(\w+)\s*\(([^()]*)\)\s*(?:noexcept|nogil)", text):
        count = len([p for p in parameters.split(",") if p.strip() not in ("", "self")])
        assert count <= MAX_KERNEL_PARAMETERS, f"{name} has {count} parameters"


def test_import_parser() -> None:
    source = '"""import sklearn\n"""\nfrom creg._data cimport leaves\nfrom libc.math cimport (\n'
    source += "    fabs,\n    sqrt)\ncimport cython  # cimport x\nimport numpy as np, os\n"
    assert imports_cython(source) == [
        "cython", "numpy", "os", "creg._data.leaves", "libc.math.fabs", "libc.math.sqrt",
    ]  # fmt: skip
    assert imports_python("from creg.path import Path\nimport os.path") == [
        "creg.path.Path",
        "os.path",
    ]


@pytest.mark.parametrize("module", ["matplotlib", "pandas", "polars", "pyarrow"])
def test_import_does_not_load(module: str) -> None:
    where = str(Path(creg.__file__).parents[1])
    code = f"import sys, sklearn.linear_model\nbefore = {module!r} in sys.modules\n"
    code += f"sys.path.insert(0, {where!r})\nimport creg, creg.linear_model\n"
    code += f"sys.exit(not before and {module!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
