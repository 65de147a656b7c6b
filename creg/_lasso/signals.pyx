"""Ctrl-C, and the wish of other threads, noticed by what runs long without the GIL."""

from cpython.exc cimport PyErr_CheckSignals

from creg._data.threads import check_stopped

cdef double WORK_BETWEEN = 2e8  # multiplications: about 20 to 200 ms


cdef class Signals:
    """An exception that came up is kept until the GIL is there to raise it."""

    cdef bint stop(self, double work) noexcept nogil:
        """Whether to end, which is looked for now and then; `work` lies ahead."""
        self.work += work
        if self.work > WORK_BETWEEN and not self.caught:
            self.work = 0.0
            with gil:
                self._look()
        return self.caught

    cdef void _look(self) noexcept:
        try:
            PyErr_CheckSignals()
            check_stopped()
        except BaseException as error:
            self._error, self.caught = error, True

    cdef int check(self, double work) except -1 nogil:
        """Raise what was caught, or is now; `work` has been done since the last check."""
        if self.stop(work):
            with gil:
                self.raise_caught()

    cdef raise_caught(self):
        """What was caught, or what has come since."""
        self._look()
        if self.caught:
            error, self._error, self.caught = self._error, None, False
            raise error
