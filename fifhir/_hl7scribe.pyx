# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Bytes to an event's JSON in one call: opened, named, looked up and written.

What it does is specified by `_hl7scribe_py.py`.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint32_t
from libc.string cimport memchr, memcmp

from fifhir._hl7json cimport Plans, written
from fifhir._hl7parse cimport Table, Tokens, packed, uuid_text

from fifhir.errors import MessageError

cdef extern from "Python.h":
    int PyBUF_READ

cdef uint32_t _MSH = packed(b"MSH", 3)
cdef uint32_t[4] _ENVELOPES = [
    packed(b"FHS", 3), packed(b"BHS", 3), packed(b"BTS", 3), packed(b"FTS", 3)
]


cdef bint _is_single(const Table* t) noexcept nogil:
    """Whether there is one MSH, and no envelope around it."""
    cdef Py_ssize_t at
    cdef int i, headers = 0
    for at in range(t.count):
        headers += t.segments[at].name == _MSH
        for i in range(4):
            if t.segments[at].name == _ENVELOPES[i]:
                return False
    return headers == 1


cdef bint _is_bare(const Table* t, Py_ssize_t size) noexcept nogil:
    """Whether no byte of MLLP is among these."""
    return memchr(t.base, 11, size) == NULL and memchr(t.base, 28, size) == NULL


cdef class Scribe:
    """Writes the events of one source; see the specification."""

    cdef Plans plans
    cdef object begun, zone
    cdef tuple given

    def __init__(self, Plans plans not None, begun, tuple given not None, zone not None):
        self.plans, self.begun, self.given, self.zone = plans, begun, given, zone

    def write(self, bytes data not None, received_at not None, Py_ssize_t start=0):
        cdef Tokens tokens
        cdef Table* t
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - start
        if start < 0 or size < 3 or memcmp(<const char*>data + start, b"MSH", 3) != 0:
            return None
        tokens = Tokens.__new__(Tokens)
        t = &tokens.table
        try:
            tokens.open(data, start, b"")
        except MessageError:
            return None
        if not t.ascii or t.hexed or not _is_single(t) or not _is_bare(t, size):
            return None
        known = self.plans.entry(tokens)
        if known is None:
            return None
        given = (self.identity(t), received_at, *self.given)
        text, unread = written(known[1], tokens, given, tokens.sent_offset() or self.zone)
        return None if unread else (known[0], text)

    cdef object identity(self, Table* t):
        named = self.begun.copy()
        named.update(PyMemoryView_FromMemory(<char*>t.base, t.size, PyBUF_READ))
        return uuid_text(named.digest())
