# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The two things HTTP does for every request: know a head again, and put an answer together.

What they do is specified by `_http1_py.py`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

cdef enum:
    DIGITS = 15  # of a Content-Length; as many do not overflow
    ROOM = 48    # bytes of a Content-Length line and the empty one behind it


def body_of(
    bytes data not None, bytes opening not None, bytes ending not None, Py_ssize_t limit
):
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(data)
    cdef Py_ssize_t size = 0
    cdef int digits = 0
    if not _is_next(&at, end, opening):
        return 0
    while digits < DIGITS and at < end and 48 <= at[0] <= 57:
        size = 10 * size + at[0] - 48
        digits += 1
        at += 1
    if digits == 0 or not _is_next(&at, end, ending) or size != end - at or size > limit:
        return 0
    return PyBytes_GET_SIZE(data) - size


cdef inline bint _is_next(
    const unsigned char** at, const unsigned char* end, bytes wanted
) noexcept:
    """Whether `wanted` comes next; if so it has been passed."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(wanted)
    if size > end - at[0] or memcmp(at[0], PyBytes_AS_STRING(wanted), size) != 0:
        return False
    at[0] += size
    return True


def answer(tuple head not None, tuple body not None):
    cdef char length[ROOM]
    cdef Py_ssize_t size = _sum(body)
    cdef int used = _length(length, size)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, _sum(head) + used + size)
    cdef char* at = _copy(PyBytes_AS_STRING(out), head)
    memcpy(at, length, used)
    _copy(at + used, body)
    return out


cdef Py_ssize_t _sum(tuple pieces) except -1:
    cdef Py_ssize_t size = 0
    cdef bytes piece
    for piece in pieces:
        if piece is None:
            raise TypeError("a piece is bytes")
        size += PyBytes_GET_SIZE(piece)
    return size


cdef char* _copy(char* out, tuple pieces):
    """What comes behind the pieces once they are copied; `_sum` has seen that all are bytes."""
    cdef object piece
    for piece in pieces:
        memcpy(out, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        out += PyBytes_GET_SIZE(piece)
    return out


cdef int _length(char* out, Py_ssize_t size) noexcept:
    """Write the Content-Length line and the empty one; how many bytes that were."""
    cdef char digits[24]
    cdef int n = 0, used = 16
    memcpy(out, b"Content-Length: ", 16)
    while True:
        digits[n] = 48 + size % 10
        size //= 10
        n += 1
        if size == 0:
            break
    while n:
        n -= 1
        out[used] = digits[n]
        used += 1
    memcpy(out + used, b"\r\n\r\n", 4)
    return used + 4
