"""How a solver ended."""

cdef enum Status:
    CONVERGED = 0
    MAX_ITER = 1
    STALLED = 2
    INTERRUPTED = 3
    NO_MEMORY = 4
    MAX_FEATURES = 5
