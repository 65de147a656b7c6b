"""The command line: tables and pictures from files, and one line for what is wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import linear_model as peer
from sklearn.datasets import dump_svmlight_file
from sklearn.model_selection import KFold

import creg
from creg import lasso_path
from creg.__main__ import main
from creg._io import read_table

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).round(3)
Y = (X[:, 0] - 2 * X[:, 3] + 0.1 * RNG.normal(size=40)).round(3)
FRAME = pd.DataFrame(X, columns=list("abcdef")).assign(y=Y)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name):
    """A file of the data, and the arguments that go with it."""
    file = Path(name)
    if file.suffix == ".csv":
        FRAME.to_csv(file, index=False)
    elif file.suffix == ".tsv":
        FRAME[["y", *"abcdef"]].to_csv(file, index=False, sep="\t", encoding="utf-8-sig")
    elif file.suffix == ".parquet":
        pytest.importorskip("pyarrow")
        FRAME.assign(a=FRAME["a"].astype(np.float32)).to_parquet(file)
    elif file.suffix == ".svm":
        dump_svmlight_file(X, Y, str(file), zero_based=False)
        return [name]
    elif name == "dense.npz":
        np.savez(file, X=X, y=Y)
        return [name]
    else:
        matrix = sparse.csr_matrix(X)
        np.savez(
            file, format=b"csr", shape=matrix.shape, data=matrix.data, indices=matrix.indices,
            indptr=matrix.indptr, y=Y,
        )  # fmt: skip
        return [name]
    return [name, "--target", "y"]


FILES = ["data.csv", "data.tsv", "data.parquet", "data.svm", "dense.npz", "sparse.npz"]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read_as_it_was_written(name):
    arguments = write(name)
    table = read_table(name, "y" if len(arguments) > 1 else None)
    dense = table.X.toarray() if sparse.issparse(table.X) else table.X
    np.testing.assert_allclose(dense, X, rtol=1e-6)
    np.testing.assert_allclose(table.y, Y)
    assert table.names == (list("abcdef") if len(arguments) > 1 else None)


def table(out):
    """The rows of the printed table: which rule, and the numbers."""
    lines = [line for line in out.splitlines() if "±" in line and "|" in line and "CV" not in line]
    rows = []
    for line in lines:
        words = line.replace("±", " ").replace("|", " ").split()
        rule = words.pop(0) if words[0] in ("min", "1se") else ""
        rows.append((rule, [float(word) if word != "-" else np.nan for word in words]))
    return rows


def standardised(matrix):
    """Scaled columns; sparse files are of X that is already near mean zero."""
    return (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)


@pytest.mark.parametrize(
    ("name", "model", "folds"),
    [
        ("data.csv", "lasso", None),
        ("sparse.npz", "lasso", 4),
        ("data.csv", "elasticnet", 4),
        ("sparse.npz", "elasticnet", None),
        ("data.csv", "ridge", 4),
        ("sparse.npz", "ridge", None),
    ],
)
def test_table_choice_and_pictures(name, model, folds, capsys):
    pytest.importorskip("matplotlib")
    more = [] if folds is None else ["--cv", str(folds)]
    assert main([*write(name), "--model", model, "--plot", "out.png", *more]) == 0
    out, err = capsys.readouterr()
    if model == "ridge":  # of data with little noise
        err = re.sub("^creg: The best alpha is the smallest.*\n$", "", err)
    assert err == ""
    assert "40 rows, 6 features" in out
    for file in ("out.png", "out-cv.png"):
        assert Path(file).read_bytes().startswith(b"\x89PNG")
    rows = table(out)
    assert len(rows) in (12, 13, 14)
    numbers = np.array([row for _, row in rows])
    np.testing.assert_allclose(numbers[:, 3], numbers[:, -1], rtol=1e-3)
    assert np.all(np.diff(numbers[:, 0]) < 0)
    Z = standardised(X)
    if model == "ridge":
        expected = peer.RidgeCV(numbers[:, 0], store_cv_results=True).fit(Z, Y)
        errors = expected.cv_results_
        if folds is not None:
            errors = np.array([
                [np.mean((Y[test] - fit.predict(Z[test])) ** 2) for fit in fits]
                for test, fits in (
                    (test, [peer.Ridge(alpha).fit(Z[train], Y[train]) for alpha in numbers[:, 0]])
                    for train, test in KFold(folds).split(Z)
                )
            ])  # fmt: skip
    else:
        ratio = 1.0 if model == "lasso" else 0.5
        expected = peer.ElasticNetCV(
            l1_ratio=ratio, alphas=numbers[:, 0], cv=folds or 5, tol=1e-8
        ).fit(Z, Y)
        errors = expected.mse_path_.T
    np.testing.assert_allclose(numbers[:, 3], errors.mean(axis=0), rtol=2e-3)
    spread = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
    np.testing.assert_allclose(numbers[:, 4], spread, rtol=2e-2)
    rules = [rule for rule, _ in rows]
    best = rules.index("min")
    assert numbers[best, 3] == numbers[:, 3].min()
    allowed = numbers[:, 3] <= (numbers[best, 3] + numbers[best, 4]) * (1 + 1e-4)
    assert "1se" not in rules or rules.index("1se") == np.argmax(allowed) < best


@pytest.mark.filterwarnings("ignore:The best alpha is the smallest")
@pytest.mark.parametrize("model", ["lasso", "ridge"])
def test_the_largest_coefficients_are_those_of_scaled_columns(model, capsys):
    assert main([*write("data.csv"), "--model", model, "--plot", "out.png"]) == 0
    out = capsys.readouterr().out
    lines = out[out.index("largest") :].splitlines()[1:]
    shown = [line.split() for line in lines[: lines.index("")]]
    if model == "lasso":
        path = lasso_path(standardised(X), Y, eps=1e-2, tol=1e-6)
        fitted = creg.LassoCV(alphas=path.alphas, tol=1e-6).fit(standardised(X), Y)
    else:
        fitted = creg.RidgeCV().fit(standardised(X), Y)
    order = np.argsort(-np.abs(fitted.coef_))
    expected = [(list("abcdef")[j], fitted.coef_[j]) for j in order if fitted.coef_[j]]
    assert [name for name, _ in shown] == [name for name, _ in expected]
    np.testing.assert_allclose([float(v) for _, v in shown], [v for _, v in expected], rtol=1e-4)


def test_embedded_data(capsys):
    pytest.importorskip("matplotlib")
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "442 rows, 285 features" in out
    assert "scikit-learn" in out
    assert {rule for rule, _ in table(out)} == {"", "min", "1se"}
    assert Path("creg-path.png").exists()
    assert Path("creg-cv.png").exists()


def test_few_rows_and_a_constant_target(capsys):
    Path("t.csv").write_text("a,y\n1,2\n3,4\n4,4\n")
    assert main(["t.csv", "--target", "y"]) == 0
    assert "chosen by 3 folds" in capsys.readouterr().out
    FRAME.assign(y=7.0).to_csv("c.csv", index=False)
    for model in ("lasso", "ridge"):
        assert main(["c.csv", "--target", "y", "--model", model]) == 0


def test_without_matplotlib_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(write("data.csv")) == 0
    assert "creg[plot]" in capsys.readouterr().out


def spoil(name, text):
    Path(name).write_text(text, encoding="utf-8")
    return [name, "--target", "y"]


BAD = {
    "missing file": (lambda: ["gone.csv", "--target", "y"], "gone.csv: no such file"),
    "unknown ending": (lambda: spoil("a.doc", "x"), "the ending must be one of .csv"),
    "no target": (lambda: write("data.csv")[:1], "--target COLUMN, one of a, b, c"),
    "missing target": (lambda: [*write("data.csv")[:2], "z"], "no column 'z'; the columns are a,"),
    "target of npz": (lambda: [*write("dense.npz"), "--target", "y"], "--target is for CSV"),
    "target without file": (lambda: ["--target", "y"], "--target needs a FILE"),
    "text": (lambda: spoil("t.csv", "a,y\n1,2\nred,3\n"), "'a' holds text ('red') in line 3"),
    "empty cell": (lambda: spoil("t.csv", "a,y\n1,2\n,3\n"), "'a' holds an empty cell in line 3"),
    "nan": (lambda: spoil("t.csv", "a,y\n1,2\nnan,3\n"), "'a' holds nan in row 2"),
    "infinite y": (lambda: spoil("t.csv", "a,y\n1,2\n3,inf\n"), "'y' holds inf in row 2"),
    "empty file": (lambda: spoil("t.csv", ""), "t.csv: the file is empty"),
    "only a header": (lambda: spoil("t.csv", "a,y\n"), "no row below the header"),
    "no header": (lambda: spoil("t.csv", "1,2\n3,4\n"), "must hold the names of the columns"),
    "one column": (lambda: spoil("t.csv", "y\n1\n"), "no column beside 'y'"),
    "same name": (lambda: spoil("t.csv", "y,y\n1,2\n"), "2 columns are named 'y'"),
    "short row": (lambda: spoil("t.csv", "a,b,y\n1,2,3\n1,2\n"), "line 3 has 2 cells, not 3"),
    "long rows": (lambda: spoil("t.csv", "a,y\n1,2,3\n1,2,3\n"), "line 2 has 3 cells, not 2"),
    "bad svmlight": (lambda: spoil("t.svm", "1 a:b\n")[:1], "t.svm: "),
    "bad npz": (lambda: spoil("t.npz", "text")[:1], "t.npz: "),
    "bad parquet": (lambda: spoil("t.parquet", "text"), "t.parquet: "),
    "folder": (lambda: [str(Path.cwd()) + "/."], "the ending must be one of"),
    "long name": (lambda: ["a" * 5000 + ".csv"], "File name too long"),
    "long cell": (lambda: spoil("t.csv", f"a,y\n{'x' * 200_000},1\n"), "field larger than"),
    "svmlight index": (lambda: spoil("t.svm", f"1 {9**30}:1\n")[:1], "t.svm: "),
    "bad model": (lambda: [*write("data.csv"), "--model", "tree"], "invalid choice: 'tree'"),
    "bad option": (lambda: [*write("data.csv"), "--folds", "5"], "unrecognized arguments: --folds"),
    "one fold": (lambda: [*write("data.csv"), "--cv", "1"], "--cv must be from 2 to the number of"),
    "many folds": (lambda: [*write("data.csv"), "--cv", "41"], "number of rows, 40; got 41"),
    "text folds": (lambda: [*write("data.csv"), "--cv", "x"], "--cv: invalid int value: 'x'"),
    "one row": (lambda: spoil("t.csv", "a,y\n1,2\n"), "takes at least 2 rows"),
    "no folder": (lambda: [*write("data.csv"), "--plot", "no/p.png"], "there is no such folder"),
    "bad picture": (lambda: [*write("data.csv"), "--plot", "p.xyz"], "--plot p.xyz: "),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, capsys):
    arguments, words = BAD[case]
    with pytest.raises(SystemExit) as stopped:
        main(arguments())
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("creg: ")
    assert words in err


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"X": X}, "it holds X"),
        ({"X": X, "y": Y[:-1]}, "y must have shape (40,)"),
        ({"X": X, "y": np.column_stack([Y, Y])}, "y must be one target"),
        ({"X": np.where(X > 2, np.nan, X), "y": Y}, "Input X contains NaN"),
        ({"X": X.astype(str), "y": Y}, "X must hold numbers"),
        ({"X": X[0], "y": Y[:1]}, "X: Expected 2D array"),
        ({"X": X.astype(object), "y": Y}, "allow_pickle"),
    ],
)
def test_bad_arrays_are_one_line_and_status_2(parts, words, capsys):
    np.savez("data.npz", **parts)
    with pytest.raises(SystemExit) as stopped:
        main(["data.npz"])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("header", "names"),
    [('"a\n1","b"', ["a\n1", "b"]), ('"a,1";"b,,"', ["a,1", "b,,"]), ("a, b", ["a", "b"])],
)
def test_names_in_quotes(header, names):
    mark = ";" if ";" in header else ","
    rows = "".join(f'"{a}"{mark}{b}{mark}{y}\n' for (a, b), y in zip(X[:, :2], Y, strict=True))
    Path("t.csv").write_text(f"{header}{mark}y\n{rows}")
    table = read_table("t.csv", "y")
    assert table.names == names
    np.testing.assert_array_equal(table.X, X[:, :2])


def test_a_reader_that_leaves_is_no_error():
    write("data.csv")
    command = f'"{sys.executable}" -m creg data.csv --target y | true'
    environment = os.environ | {"PYTHONPATH": str(Path(creg.__file__).parents[1])}
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, env=environment
    )
    assert done.stderr == ""


def test_parquet_with_text_or_gaps_is_refused(capsys):
    pytest.importorskip("pyarrow")
    for frame, words in (
        (FRAME.assign(a="red"), "column 'a' holds"),
        (FRAME.assign(b=FRAME["b"].where(FRAME["b"] > 0).astype("Float64")), "missing values"),
    ):
        frame.to_parquet("data.parquet")
        with pytest.raises(SystemExit):
            main(["data.parquet", "--target", "y"])
        assert words in capsys.readouterr().err


def test_as_a_module_in_a_new_process():
    environment = os.environ | {"PYTHONPATH": str(Path(creg.__file__).parents[1])}
    command = [sys.executable, "-m", "creg", "gone.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr == "creg: gone.csv: no such file\n"
    assert done.stdout == ""
