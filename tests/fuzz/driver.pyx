# cython: language_level=3, boundscheck=False, wraparound=False
"""libFuzzer's own loop, calling Python functions with as little between as there can be.

atheris instruments Python and pays for it with every call; here only the compiled modules are
instrumented, so tens of thousands of inputs a second are judged instead of some hundred. The sum of
an input's bytes chooses its judge. Built by `tests/fuzz/run`, whose preloaded library has the driver.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdio cimport printf
from libc.stdlib cimport abort, atexit, calloc

import traceback

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    typedef int (*fuzz_once)(const uint8_t *, size_t);
    extern int LLVMFuzzerRunDriver(int *, char ***, fuzz_once);
    """
    ctypedef int (*fuzz_once)(const uint8_t*, size_t) noexcept
    int LLVMFuzzerRunDriver(int* count, char*** arguments, fuzz_once once)

cdef enum:
    MOST = 32  # judges

cdef tuple _judges = ()
cdef list _kept = []  # bytes that C reads until the process ends
cdef const char* _names[MOST]
cdef long long _called[MOST]


cdef int _once(const uint8_t* data, size_t size) noexcept:
    """Let one judge see the input; an exception of it is a finding."""
    cdef size_t i, which = 0
    for i in range(size):
        which += data[i]
    which %= len(_judges)
    _called[which] += 1
    try:
        _judges[which](PyBytes_FromStringAndSize(<const char*>data, size))
    except BaseException:
        traceback.print_exc()
        abort()
    return 0


cdef void _tell() noexcept nogil:
    cdef int i
    for i in range(MOST):
        if _names[i] != NULL:
            printf("judged by %s: %lld\n", _names[i], _called[i])


cdef const char* _lasting(str text) except NULL:
    cdef bytes encoded = text.encode()
    _kept.append(encoded)
    return encoded


def drive(list arguments not None, tuple judges not None):
    """Fuzz until libFuzzer's limits end the process, which then tells how often each judged."""
    global _judges
    cdef int i, count = len(arguments)
    cdef char** given = <char**>calloc(count + 1, sizeof(char*))
    _judges = judges
    assert 0 < len(_judges) <= MOST
    for i, argument in enumerate(arguments):
        given[i] = <char*>_lasting(argument)
    for i, judge in enumerate(judges):
        _names[i] = _lasting(judge.__name__)
    atexit(_tell)
    return LLVMFuzzerRunDriver(&count, &given, _once)
