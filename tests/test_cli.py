"""The command line: tables and pictures from files, and one line for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import dump_svmlight_file

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


@pytest.mark.parametrize("name", ["data.csv", "sparse.npz"])
@pytest.mark.parametrize("model", ["lasso", "elasticnet", "ridge"])
def test_table_and_picture(name, model, capsys):
    pytest.importorskip("matplotlib")
    assert main([*write(name), "--model", model, "--plot", "out.png"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "40 rows, 6 features" in out
    assert "nonzero" in out
    assert "scikit-learn" in out
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    rows = [line.split() for line in out.splitlines() if "|" in line][2:]
    assert len(rows) == 12
    excess = np.array([float(row[-1]) for row in rows])
    assert np.all(np.abs(excess) < 1e-6 if model != "ridge" else np.abs(excess) < 1e-4)
    if model == "lasso":
        path = lasso_path(X, Y, standardize=True, eps=1e-2, tol=1e-6)
        assert float(rows[0][0]) == pytest.approx(path.alphas[0], rel=1e-4)
        assert float(rows[-1][2]) == pytest.approx(path.r2[-1], abs=1e-3)


def test_embedded_data(capsys):
    pytest.importorskip("matplotlib")
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "442 rows, 285 features" in out
    assert Path("creg-path.png").exists()


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
    "bad option": (lambda: [*write("data.csv"), "--cv", "5"], "unrecognized arguments: --cv 5"),
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
