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

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

EPS = float(np.finfo(np.float64).eps)
# Error of a direction, as bounded, from which on the basis is made anew.
DRIFT = 1e-9
# Diagonal of a Cholesky factor, relatively, down to which it serves as a QR.
WELL_CONDITIONED = 1e-2


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
    most : int
        Columns that are active at a time.
    """

    def __init__(self, Z: Float, tolerance: float, most: int) -> None:
        self.Z, self.tolerance = Z, tolerance
        self.length, u = Z.shape
        self._active = np.zeros(u, dtype=bool)
        self._dependent = np.zeros(u, dtype=bool)
        self._slot = np.full(u, -1)
        self._free = list(range(most))
        # Q above W, whose rows are the slots of the active columns
        width = min(most, self.length)
        self._both = np.zeros((self.length + most, width + max(width // 2, 32)), order="F")
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

    def move_to(self, active: Mask) -> Moves:
        """Let these columns be the active ones."""
        entering = np.flatnonzero(active > self._active)
        leaving = np.flatnonzero(self._active > active)
        self._active = active
        if len(leaving) > self.rank - len(leaving):
            return self._restart()
        moves = Moves()
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
        self._free = list(range(self._both.shape[0] - self.length))
        self._both[self.length :] = 0.0
        self._slot[:], self._dependent[:] = -1, False
        self._first = self.rank = 0
        self._steps, self._norm2 = 1, 0.0
        return Moves(True, [(1.0, self._append(np.flatnonzero(self._active)))])

    def _append(self, columns: Index) -> Float:
        """The new directions."""
        E, Q = self.Z[:, columns], self.Q
        c = Q.T @ E
        w = E - Q @ c
        order, q, T = self._factored(w)
        c = c[:, order]
        if self.rank and len(order):
            left = Q.T @ q
            q -= Q @ left
            q, again = _qr(q)
            c += left @ T
            T = again @ T
        accepted = columns[order]
        if len(order) < len(columns):
            rejected = columns.copy() if not len(order) else np.delete(columns, order)
            self._dependent[rejected] = True
        k = len(order)
        self._make_room(k)
        end = self._first + self.rank
        Q_new = self._both[: self.length, end : end + k]
        W_new = self._both[self.length :, end : end + k]
        Q_new[:] = q
        slots = [self._free.pop() for _ in range(k)]
        np.matmul(self._W, -c, out=W_new)
        W_new[slots, np.arange(k)] += 1.0
        if k:
            W_new[:] = blas.dtrsm(1.0, T, W_new, side=1)
        self._slot[accepted] = slots
        self.rank += k
        self._steps += 1
        self._norm2 += float(np.einsum("ij,ij->", W_new, W_new))
        return Q_new

    def _factored(self, w: Float) -> tuple[Index, Float, Float]:
        """Columns of w that are not negligible, in some order: their q and T with w = q T."""
        k = w.shape[1]
        room = self.length - self.rank
        if 0 < k <= room:
            S = w.T @ w
            norms = np.sqrt(S.diagonal())
            if norms.min() > 1e-4:
                T, info = lapack.dpotrf(S, clean=1)
                if info == 0 and np.all(T.diagonal() > WELL_CONDITIONED * norms):
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
        k, slots = len(columns), self._slot[columns]
        reflectors, tau, _, _ = lapack.dgeqrf(self._W[slots].T)
        used = self._used
        turned, _, _ = lapack.dormqr(
            "R", "N", reflectors, tau, used, max(64 * used.shape[0], 1), overwrite_c=1
        )
        if not np.shares_memory(turned, used):
            used[:] = turned
        gone = used[: self.length, :k].copy(order="F")
        self._first += k
        self.rank -= k
        self._W[slots] = 0.0
        self._slot[columns] = -1
        self._free.extend(slots.tolist())
        self._steps += 1
        self._norm2 = self._norm2 if self.rank else 0.0
        return gone


def _qr(q: Float) -> tuple[Float, Float]:
    """Of columns that are nearly orthonormal, or at least far from dependent."""
    S = q.T @ q
    T, info = lapack.dpotrf(S, clean=1)
    if info == 0 and np.abs(S - np.eye(len(S))).max() < 0.5:
        return blas.dtrsm(1.0, T, q, side=1), T
    return linalg.qr(q, mode="economic", check_finite=False)
