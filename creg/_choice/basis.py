"""An orthonormal basis of columns that enter and leave.

With the active columns A, Q = A W is orthonormal, W the inverse of a triangle at first.

    enter E:  w = E - Q Q'E twice, w = q T ;      Q <- [Q, q] ,  W <- [W, (I_E - W Q'E) T^-1]
    leave L:  W_L' = H [T; 0], H orthogonal ;     Q H and W H lose their first |L| columns,
              the directions that the others do not span

Columns that the others explain, up to rounding, have no direction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import blas, lapack

from creg._choice.rows import append_direction, turn_to_first

Float = NDArray[np.float64]
Index = NDArray[np.intp]

EPS = float(np.finfo(np.float64).eps)
# Error of a direction, as bounded, from which on the basis is made anew.
DRIFT = 1e-9
# Diagonal of a Cholesky factor, relatively, down to which it serves as a QR.
WELL_CONDITIONED = 0.1
# What new directions may have in common with the old ones.
ORTHOGONAL = 1e-13
# Columns up to which a block is not worth its overhead.
ONE_BY_ONE = 3


@dataclass(slots=True)
class Moves:
    """What one change of the support did to the projection on its span.

    Attributes
    ----------
    anew : bool
        The projection is the sum of what follows; else that is added to the one before.
    changes : list of (sign, directions (length, k))
    """

    anew: bool = False
    changes: list[tuple[float, Float]] = field(default_factory=list)


class Basis:
    """Of some of the columns Z.

    Parameters
    ----------
    Z : (length, u)
        Columns with norms of about 1.
    tolerance : float
        What is left of a dependent column, relatively.
    most, most_directions : int
        Columns that are active, and directions, at a time.
    """

    def __init__(
        self, Z: Float, tolerance: float, most: int, most_directions: int | None = None
    ) -> None:
        self.Z, self.tolerance = Z, tolerance
        self.length, u = Z.shape
        self._active = np.zeros(u, dtype=bool)
        self._dependent = np.zeros(u, dtype=bool)
        self._slot = np.full(u, -1)
        # the smallest last; rows of W above the highest slot ever used are 0
        self._free = list(range(most - 1, -1, -1))
        self._high = -1
        # Q above W, whose rows are the slots of the active columns
        width = min(most, self.length) if most_directions is None else most_directions
        width += min(max(width // 2, 32), 256)
        self._both = np.zeros((self.length + most, width), order="F")
        self._first = self.rank = 0
        self._steps, self._norm2 = 1, 0.0

    @property
    def _used(self) -> Float:
        return self._both[:, self._first : self._first + self.rank]

    @property
    def Q(self) -> Float:
        """(length, rank)."""
        return self._both[: self.length, self._first : self._first + self.rank]

    @property
    def _W(self) -> Float:
        return self._both[self.length :, self._first : self._first + self.rank]

    def inverse(self, columns: Index) -> Float:
        """W over active columns, (k, rank): the others would add 0."""
        return np.asarray(self._W[self._slot[columns]])

    def combination(self, v: Float, columns: Index) -> Float:
        """W v over active columns, without a copy of W."""
        return np.asarray((self._W[: self._high + 1] @ v)[self._slot[columns]])

    def correlation(self, z: Float, columns: Index) -> Float:
        """W'z, z given over active columns and 0 elsewhere."""
        in_slots = np.zeros((self._high + 1, *z.shape[1:]))
        in_slots[self._slot[columns]] = z
        return np.asarray(self._W[: self._high + 1].T @ in_slots)

    @property
    def members(self) -> Index:
        """Active columns that have a direction."""
        return np.flatnonzero(self._slot >= 0)

    def move(self, entering: Index, leaving: Index) -> Moves:
        """Make columns active, and others no longer."""
        moves = Moves()
        if not len(entering) and not len(leaving):
            return moves
        self._active[entering] = True
        self._active[leaving] = False
        if len(leaving) > self.rank - len(leaving):
            return self._restart()
        if len(leaving):
            gone = leaving[~self._dependent[leaving]]
            self._dependent[leaving] = False
            if len(gone):
                if EPS * self._steps * self._norm2**0.5 > DRIFT:
                    return self._restart()
                moves.changes.append((-1.0, self._delete(gone)))
                entering = np.concatenate([np.flatnonzero(self._dependent), entering])
                self._dependent[entering] = False
        if len(entering):
            new = self._append(entering)
            if new.shape[1]:
                moves.changes.append((1.0, new))
        return moves

    def _restart(self) -> Moves:
        self._free = list(range(self._both.shape[0] - self.length - 1, -1, -1))
        self._high = -1
        self._both[self.length :] = 0.0
        self._slot[:], self._dependent[:] = -1, False
        self._first = self.rank = 0
        self._steps, self._norm2 = 1, 0.0
        return Moves(True, [(1.0, self._append(np.flatnonzero(self._active)))])

    def _append(self, columns: Index) -> Float:
        """The new directions."""
        if len(columns) <= ONE_BY_ONE:
            before = self.rank
            for j in columns.tolist():
                self._append_one(j)
            return self.Q[:, before:].copy(order="F")
        E, Q = self.Z.T[columns].T, self.Q
        # transposed, so that results come out in columns
        c = (E.T @ Q).T
        order, q, T = self._factored(E - (c.T @ Q.T).T)
        c = c[:, order]
        left = (q.T @ Q).T
        if left.size and np.abs(left).max() > ORTHOGONAL:
            q, again = _qr(q - (left.T @ Q.T).T)
            c += left @ T
            T = again @ T
        self._dependent[columns] = True
        self._accept(columns[order], q, -c, T)
        return q

    def _accept(self, columns: Index, q: Float, c: Float, T: Float) -> None:
        """Columns with directions q, and W_new = (I + W c) T^-1."""
        k = len(columns)
        self._dependent[columns] = False
        self._make_room(k)
        end = self._first + self.rank
        slots = [self._free.pop() for _ in range(k)]
        self._high = max(self._high, *slots, -1)
        w = (c.T @ self._W[: self._high + 1].T).T
        w[slots, np.arange(k)] += 1.0
        if k:
            w = blas.dtrsm(1.0, T, w, side=1, overwrite_b=1)
        new = self._both[:, end : end + k]
        new[: self.length] = q
        new[self.length : self.length + self._high + 1] = w
        new[self.length + self._high + 1 :] = 0.0
        self._slot[columns] = slots
        self.rank += k
        self._steps += 1
        self._norm2 += float(np.einsum("ij,ij->", w, w))

    def _append_one(self, j: int) -> None:
        """With its direction, if it has one."""
        self._make_room(1)
        slot = self._free[-1]
        added = append_direction(
            self.Z[:, j], self._both, self._first, self.rank, slot, self.tolerance
        )
        self._dependent[j] = added < 0.0
        if added < 0.0:
            return
        self._free.pop()
        self._high = max(self._high, slot)
        self._slot[j] = slot
        self.rank += 1
        self._steps += 1
        self._norm2 += added

    def _factored(self, w: Float) -> tuple[Index, Float, Float]:
        """Columns of w that are not negligible, in some order: their q and T with w = q T."""
        k = w.shape[1]
        room = self.length - self.rank
        if 0 < k <= room:
            S = w.T @ w
            norms = np.sqrt(S.diagonal())
            if norms.min() > 1e-4:
                T, info = lapack.dpotrf(S, clean=1)
                if info == 0 and (T.diagonal() > WELL_CONDITIONED * norms).all():
                    return np.arange(k), blas.dtrsm(1.0, T, w, side=1), T
        if not k or not room:
            return np.empty(0, np.intp), w[:, :0], np.empty((0, 0))
        q, T, order = linalg.qr(w, mode="economic", pivoting=True, check_finite=False)
        pivots = np.abs(T.diagonal())[:room]
        rank = int(np.count_nonzero(pivots > self.tolerance))
        return order[:rank].astype(np.intp), q[:, :rank], T[:rank, :rank]

    def _make_room(self, k: int) -> None:
        """For k more columns behind the used ones."""
        if self._first + self.rank + k > self._both.shape[1]:
            used = self._used.copy(order="F")
            self._both[:, : self.rank] = used
            self._first = 0

    def _delete(self, columns: Index) -> Float:
        """The directions that went."""
        gone = self._turn(columns)[: self.length]
        self._drop(columns)
        return gone

    def _turn(self, columns: Index) -> Float:
        """Let the first directions be those that go, and return them above their W."""
        k = len(columns)
        if k == 1:
            slot = int(self._slot[columns[0]])
            turn_to_first(self._both, self.length, self._first, self.rank, slot)
            return self._used[:, :1].copy(order="F")
        V, tau, _, _ = lapack.dgeqrf(self._W[self._slot[columns]].T)
        used = self._used
        if np.all(tau > 0):
            # H = I - V T V', T^-1 = the triangle of V'V with 1 / tau on its diagonal
            V = np.asfortranarray(np.tril(V, -1))
            np.fill_diagonal(V, 1.0)
            T = np.triu(V.T @ V, 1)
            np.fill_diagonal(T, 1.0 / tau)
            P = blas.dtrsm(1.0, T, blas.dgemm(1.0, used, V), side=1, overwrite_b=1)
            turned = blas.dgemm(-1.0, P, V, 1.0, used, trans_b=1, overwrite_c=1)
        else:
            lwork = 64 * used.shape[0]
            turned, _, _ = lapack.dormqr("R", "N", V, tau, used, lwork, overwrite_c=1)
        if not np.shares_memory(turned, used):
            used[:] = turned
        return used[:, :k].copy(order="F")

    def _drop(self, columns: Index) -> None:
        """The first directions, and the rows of W for columns that went with them."""
        k, slots = len(columns), self._slot[columns]
        self._first += k
        self.rank -= k
        self._W[slots] = 0.0
        self._slot[columns] = -1
        self._free.extend(slots.tolist())
        self._steps += 1
        self._norm2 = self._norm2 if self.rank else 0.0


def _qr(q: Float) -> tuple[Float, Float]:
    """Of columns that are nearly orthonormal, or at least far from dependent."""
    S = q.T @ q
    T, info = lapack.dpotrf(S, clean=1)
    if info == 0 and np.abs(S - np.eye(len(S))).max() < 0.5:
        return blas.dtrsm(1.0, T, q, side=1), T
    return linalg.qr(q, mode="economic", check_finite=False)
