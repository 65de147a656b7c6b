"""creg beside scikit-learn, celer, adelie, skglm and R's glmnet, on the sets of CREG_DATA.

All get the same X, y (centred; dense columns scaled to standard deviation 1, sparse X as it
is), the same alphas, no intercept and the same number of threads; each runs in a process of its
own, and they take turns.  This script computes the objectives from the coefficients alone.

A package is accepted where at every alpha its objective is at most 1e-6 of the null objective
above the lower bound that creg's duality gap gives.  creg runs at tol 1e-8; each other package at
the loosest of its own tolerances that is accepted, found by a search in steps of ten.  It starts
at that of the folder's peer_tolerances.json and, for the paths which that file is about, looks
for no looser one unless --search is given.
"""

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

if __package__:  # asv imports every module of the folder
    from benchmarks import problems
    from benchmarks.accuracy import relative_gaps, relative_objectives
else:
    import problems
    from accuracy import relative_gaps, relative_objectives

ACCEPTED = 1e-6
REJECTED = "not accepted"
TIGHTEST, LOOSEST = 1e-14, 1.0
START = 1e-6  # where peer_tolerances.json has none
START_AT_MOST = 1e-4  # where it takes too long at the start, it starts looser
LONG = 2.0  # seconds; the fewer repeats the longer a run takes, at most five times this in all
SETUP_LIMIT = 900.0  # seconds to read a set and compile
PEERS = {
    "sklearn": "scikit-learn", "celer": "celer", "adelie": "adelie", "skglm": "skglm",
    "glmnet": "glmnet",
}  # fmt: skip
SINGLE = ("sklearn", "celer")
ELSEWHERE = ("celer", "adelie", "skglm")  # run by --peers-python
WORKER = Path(__file__).with_name("peer_worker.py")


class Case(NamedTuple):
    """One row of the table: a path, or with `single` a fit at one alpha."""

    label: str
    name: str
    X: Any
    y: np.ndarray
    alphas: np.ndarray
    l1_ratio: float
    single: bool


class Reference(NamedTuple):
    """What creg reached, relative to the null objective."""

    lower: np.ndarray  # the objective minus the gap, (n_alphas,)
    gap: float


class Entry(NamedTuple):
    """A package on a case; `error` says why it is not accepted."""

    tol: float
    seconds: float
    excess: float  # over the lower bound, relative to the null objective
    error: str


class Worker:
    """The process of one package; ended where it takes too long, and started again when asked."""

    def __init__(self, name: str, python: str, threads: int) -> None:
        self.name = name
        self.command = [python, str(WORKER), name, str(threads)]
        libraries = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        self.environment = os.environ | {f"{x}_NUM_THREADS": str(threads) for x in libraries}
        self.process: subprocess.Popen[str] | None = None
        self.loaded = ""

    def start(self) -> dict[str, Any]:
        """Its first line: the version, or what is missing."""
        self.stop()
        self.process = subprocess.Popen(
            self.command, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self.answer(SETUP_LIMIT)

    def stop(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)  # Rscript too
            self.process.communicate()
        self.process, self.loaded = None, ""

    def answer(self, limit: float) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        line = ""
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        if ready:
            line = self.process.stdout.readline()
        if not line:
            self.stop()
            return {"error": "its process ended" if ready else f"over {limit:g} s"}
        return json.loads(line)

    def ask(self, data: str, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer about one data set, which is loaded first where it is not."""
        if self.process is None:
            self.start()
        answer: dict[str, Any] = {}
        if self.loaded != data:
            answer = self.send({"load": data}, SETUP_LIMIT)
            self.loaded = data if "error" not in answer else ""
        return answer if "error" in answer else self.send(request, limit)

    def send(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        if self.process is None:
            return {"error": "does not start"}
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            self.stop()
            return {"error": "its process ended"}
        return self.answer(limit)


class Bench:
    """The workers, and how they are asked."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        folder = Path(os.environ["CREG_DATA"])
        known = folder / "peer_tolerances.json"
        self.known = json.loads(known.read_text("utf-8")) if known.is_file() else {}
        self.workers: dict[str, Worker] = {}
        self.versions: dict[str, str] = {}
        for name in ["creg", *options.packages]:
            python = options.peers_python if name in ELSEWHERE else sys.executable
            worker = Worker(name, python, options.threads)
            first = worker.start()
            if "version" in first:
                self.workers[name], self.versions[name] = worker, first["version"]
            else:
                print(f"{name} is left out: {first.get('missing', first.get('error'))}")
                worker.stop()

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.stop()

    def run(self, name: str, case: Case, tol: float) -> tuple[dict[str, Any], np.ndarray | None]:
        """The answer, and the coefficients where there are some."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "coefs.npz"
            request = {
                "run": str(file), "alphas": case.alphas.tolist(), "l1_ratio": case.l1_ratio,
                "tol": tol, "single": case.single,
            }  # fmt: skip
            limit = self.options.time_limit if name != "creg" else SETUP_LIMIT
            answer = self.workers[name].ask(case.name, request, limit)
            return answer, None if "error" in answer else sparse.load_npz(file).toarray()

    def attempt(self, name: str, case: Case, tol: float, reference: Reference) -> Entry:
        answer, coefs = self.run(name, case, tol)
        if coefs is None:
            return Entry(tol, np.nan, np.inf, answer["error"])
        objectives = relative_objectives(case.X, case.y, case.alphas, coefs, case.l1_ratio)
        excess = float(np.max(objectives - reference.lower))
        return Entry(tol, answer["seconds"], excess, "" if excess <= ACCEPTED else REJECTED)

    def search(self, name: str, case: Case, reference: Reference) -> Entry:
        """At the loosest tolerance that is accepted, or where none is, what came closest."""
        known = self.known.get(case.name, {}).get(name)
        usual = case.l1_ratio == 1 and self.options.ratio == 100 and not case.single
        given = usual and known is not None and not self.options.search
        start = START if known is None else known
        entry = best = self.attempt(name, case, start, reference)
        while entry.error not in ("", REJECTED) and not given and entry.tol < 0.99 * START_AT_MOST:
            entry = best = self.attempt(name, case, tenfold(entry.tol, 1), reference)
        while entry.error == REJECTED and entry.tol > 1.01 * TIGHTEST:
            entry = self.attempt(name, case, tenfold(entry.tol, -1), reference)
            best = min(best, entry, key=lambda tried: tried.excess)
        if entry.error:
            return best._replace(error=f"{entry.error} at {entry.tol:g}")
        looser = entry.tol >= start and not given
        while looser and entry.tol < 0.99 * LOOSEST:
            tried = self.attempt(name, case, tenfold(entry.tol, 1), reference)
            if tried.error:
                break
            entry = tried
        return entry


def tenfold(tol: float, step: int) -> float:
    """Ten times as much (1) or a tenth (-1), without rounding that adds up."""
    return float(f"{tol * 10.0**step:.3g}")


def certify(case: Case, coefs: np.ndarray) -> Reference:
    objectives, gaps = relative_gaps(case.X, case.y, case.alphas, coefs, case.l1_ratio)
    return Reference(objectives - gaps, float(gaps.max()))


def alternate(
    bench: Bench, case: Case, entries: dict[str, Entry], floor: bool
) -> dict[str, list[float]]:
    """Seconds of each package in rounds; a long first run counts as one of them."""
    times: dict[str, list[float]] = {}
    rounds: dict[str, int] = {}
    for name, entry in entries.items():
        times[name] = [entry.seconds] if entry.seconds > LONG else []
        rounds[name] = min(bench.options.repeats, max(1, int(5 * LONG / entry.seconds)))
    if floor:
        times["floor"], rounds["floor"] = [], rounds["creg"]
    for k in range(max(rounds.values())):
        for name, seconds in times.items():
            if k < len(seconds) or k >= rounds[name]:
                continue
            if name == "floor":
                answer = bench.workers["creg"].ask(case.name, {"floor": True}, SETUP_LIMIT)
            else:
                answer, _ = bench.run(name, case, entries[name].tol)
            if "error" not in answer:
                seconds.append(answer["seconds"])
    return times


def measure(bench: Bench, case: Case) -> dict[str, Any]:
    """One row: of the report, and by `line` of the table."""
    n, p = case.X.shape
    row: dict[str, Any] = {"label": case.label, "set": case.name, "n": n, "p": p, "peers": {}}
    answer, coefs = bench.run("creg", case, bench.options.tol)
    if coefs is None:
        return row | {"error": f"creg: {answer['error']}"}
    reference = certify(case, coefs)
    row |= {"gap": reference.gap, "reads": answer["reads"]}
    if reference.gap > ACCEPTED:
        return row | {"error": f"creg: gap {reference.gap:.0e}"}
    entries = {"creg": Entry(bench.options.tol, answer["seconds"], reference.gap, "")}
    failed: dict[str, Entry] = {}
    for name in bench.workers:
        if name != "creg":
            entry = bench.search(name, case, reference)
            (failed if entry.error else entries)[name] = entry
    floor = bench.options.floor and not sparse.issparse(case.X) and n >= 3 * p
    times = {
        name: seconds for name, seconds in alternate(bench, case, entries, floor).items() if seconds
    }
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    row["creg"], row["times"] = seconds["creg"], times
    for name, entry in (entries | failed).items():
        if name != "creg":
            finite = entry.excess if np.isfinite(entry.excess) else None
            more = {"seconds": seconds.get(name), "excess": finite}
            row["peers"][name] = entry._asdict() | more
    accepted = {name: seconds[name] for name in seconds if name in PEERS}
    if accepted:
        row["fastest"] = min(accepted, key=lambda name: accepted[name])
        row["ratio"] = accepted[row["fastest"]] / row["creg"]
    if "floor" in seconds:
        row["floor"] = seconds["floor"]
    return row


def header(peers: list[str], floor: bool) -> str:
    names = "".join(f" {PEERS[name]}, s |" for name in peers)
    columns = 6 + len(peers) + floor
    return (
        f"| set | n × p | creg, s |{names} fastest peer | ratio | gap | reads |"
        f"{' over BLAS |' if floor else ''}\n|---|---|{'--:|' * (columns - 1)}"
    )


def line(row: dict[str, Any], peers: list[str], floor: bool) -> str:
    """The row in the table; a peer without a tolerance shows how far it came."""

    def number(key: str, form: str) -> str:
        return format(row[key], form) if row.get(key) is not None else "–"

    cells = [row["label"], f"{row['n']:,} × {row['p']:,}", row.get("error", number("creg", ".3g"))]
    for name in peers:
        peer = row["peers"].get(name)
        if peer is None:
            cells.append("–")
        elif peer["error"]:
            cells.append("fails" if peer["excess"] is None else f"fails ({peer['excess']:.0e})")
        else:
            cells.append(f"{peer['seconds']:.3g}")
    fastest = row.get("fastest", "" if "error" in row else "all fail")
    cells += [PEERS.get(fastest, fastest), number("ratio", ".2f"), number("gap", ".0e")]
    cells.append(number("reads", ".3g"))
    if floor:
        cells.append(f"{row['creg'] / row['floor']:.2f}" if "floor" in row else "–")
    return f"| {' | '.join(cells)} |"


def cases(name: str, options: argparse.Namespace) -> list[Case]:
    X, y = problems.real(name)
    rho = options.l1_ratio
    if not options.single:
        alphas = problems.alphas(X, y, 1 / options.ratio) / rho
        return [Case(name, name, X, y, alphas, rho, False)]
    largest = problems.alphas(X, y, count=1)[0] / rho
    return [
        Case(f"{name}, α_max/{k}", name, X, y, np.array([largest / k]), rho, True)
        for k in (10, 100)
    ]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Geometric mean and median of the ratios, and what is not among them."""
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    out = [row["label"] for row in rows if "ratio" not in row]
    mean = float(np.exp(np.mean(np.log(ratios)))) if ratios else None
    median = float(np.median(ratios)) if ratios else None
    return {"geometric_mean": mean, "median": median, "rows": len(ratios), "left_out": out}


def arguments() -> argparse.Namespace:
    text = (__doc__ or "").split("\n")
    parser = argparse.ArgumentParser(
        description=text[0],
        epilog="\n".join(text[2:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--sets", nargs="+", metavar="NAME", help="default: all")
    add("--packages", nargs="+", choices=PEERS, metavar="NAME", default=list(PEERS),
        help=f"default: {' '.join(PEERS)}")  # fmt: skip
    add("--peers-python", default=sys.executable, metavar="PATH",
        help=f"the interpreter that has {', '.join(ELSEWHERE)}; default: this one")  # fmt: skip
    add("--l1-ratio", type=float, default=1.0, help="default 1: the Lasso")
    add("--ratio", type=float, default=100.0, help="first over last alpha; default 100")
    add("--search", action="store_true",
        help="also try looser tolerances than those of peer_tolerances.json")  # fmt: skip
    add("--single", action="store_true",
        help="fits at alpha_max/10 and alpha_max/100 by scikit-learn, celer and creg")  # fmt: skip
    add("--floor", action="store_true",
        help="for dense X with n >= 3p, creg over one X'X by BLAS")  # fmt: skip
    add("--tol", type=float, default=1e-8, help="of creg; default 1e-8")
    add("--threads", type=int, default=1, help="of all; default 1")
    add("--repeats", type=int, default=5, help="medians of so many; default 5")
    add("--time-limit", type=float, default=60.0, help="seconds a peer may run; default 60")
    add("--json", type=Path, metavar="FILE", help="write all numbers there too")
    options = parser.parse_args()
    if options.single:
        options.packages = [name for name in options.packages if name in SINGLE]
    known = problems.real_names()
    if not known:
        parser.error("CREG_DATA names no folder of data sets")
    options.sets = options.sets or known
    if unknown := sorted(set(options.sets) - set(known)):
        parser.error(f"unknown sets: {', '.join(unknown)}; known: {', '.join(known)}")
    return options


def run(bench: Bench, options: argparse.Namespace) -> None:
    peers = [name for name in bench.workers if name != "creg"]
    if "creg" not in bench.workers:
        sys.exit("creg is not installed")
    print(
        ", ".join(f"{PEERS.get(name, name)} {v}" for name, v in bench.versions.items()), end=";\n"
    )
    print(
        f"l1_ratio {options.l1_ratio:g}, {options.threads} thread(s), creg's tol {options.tol:g}\n"
    )
    print(header(peers, options.floor), flush=True)
    rows = []
    for name in options.sets:
        for case in cases(name, options):
            rows.append(measure(bench, case))
            print(line(rows[-1], peers, options.floor), flush=True)
    report = summary(rows)
    if report["rows"]:
        mean, median = report["geometric_mean"], report["median"]
        print(f"\nfastest peer over creg: geometric mean {mean:.2f}, median {median:.2f}")
    if report["left_out"]:
        print(f"not in them, as no peer or not creg is accepted: {', '.join(report['left_out'])}")
    if options.json:
        chosen = {k: v for k, v in vars(options).items() if k not in ("json", "peers_python")}
        report = chosen | {"versions": bench.versions} | report | {"results": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    options = arguments()
    bench = Bench(options)
    try:
        run(bench, options)
    finally:
        bench.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
