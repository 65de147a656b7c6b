"""The largest of many, in place and without the GIL."""


cdef void keep_largest(double* key, Py_ssize_t* item, Py_ssize_t count,
                       Py_ssize_t most) noexcept nogil:
    """The items of the `most` largest keys first, in ascending order; of equal keys the larger
    items.  What is in `key` and behind those is left in no order.

    A heap of the largest so far, the least at its root; then one of their items.
    """
    cdef Py_ssize_t k
    for k in range(most // 2 - 1, -1, -1):
        sink_least(key, item, k, most)
    for k in range(most, count):
        if is_less(key, item, 0, k):
            swap(key, item, 0, k)
            sink_least(key, item, 0, most)
    for k in range(most // 2 - 1, -1, -1):
        sink_largest_item(item, k, most)
    for k in range(most - 1, 0, -1):
        item[0], item[k] = item[k], item[0]
        sink_largest_item(item, 0, k)


cdef inline bint is_less(const double* key, const Py_ssize_t* item, Py_ssize_t i,
                         Py_ssize_t k) noexcept nogil:
    return key[i] < key[k] or (key[i] == key[k] and item[i] < item[k])


cdef inline void swap(double* key, Py_ssize_t* item, Py_ssize_t i, Py_ssize_t k) noexcept nogil:
    key[i], key[k] = key[k], key[i]
    item[i], item[k] = item[k], item[i]


cdef void sink_least(double* key, Py_ssize_t* item, Py_ssize_t k, Py_ssize_t size) noexcept nogil:
    """Entry k down to where none below it is less."""
    cdef Py_ssize_t child = 2 * k + 1
    while child < size:
        if child + 1 < size and is_less(key, item, child + 1, child):
            child += 1
        if not is_less(key, item, child, k):
            return
        swap(key, item, k, child)
        k, child = child, 2 * child + 1


cdef void sink_largest_item(Py_ssize_t* item, Py_ssize_t k, Py_ssize_t size) noexcept nogil:
    """Entry k down to where none below it is larger."""
    cdef Py_ssize_t child = 2 * k + 1
    while child < size:
        child += child + 1 < size and item[child + 1] > item[child]
        if item[child] <= item[k]:
            return
        item[k], item[child] = item[child], item[k]
        k, child = child, 2 * child + 1


def largest(double[::1] key, Py_ssize_t[::1] item, Py_ssize_t most):
    """The items that `keep_largest` keeps; both arrays come back in another order."""
    keep_largest(&key[0], &item[0], key.shape[0], most)
    return item.base[:most].copy()
