# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""What the tokenizer shares with the compiled modules above it: its table, and how that is read.

A reader stays between two offsets of the table, so none of them checks a bound of its own.
"""

from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcpy

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)
    object PyUnicode_FromKindAndData(int kind, const void* data, Py_ssize_t size)
    PyObject* PyDict_GetItemWithError(object table, object key) except? NULL

ctypedef const unsigned char* Bytes

cdef enum:
    BRIEF = 512  # bytes of text whose escapes are replaced on the stack

cdef struct Segment:
    Py_ssize_t start      # its first byte
    Py_ssize_t end        # behind its last byte
    Py_ssize_t first      # its name's place among the fields
    Py_ssize_t count      # its fields, the name counted
    uint32_t name         # its name, if that has three letters
    bint header           # MSH, BHS, FHS: field 1 is the delimiter itself
    uint64_t filled       # what `filled_fields` tells, once it has been asked

cdef struct Table:
    Bytes base
    Py_ssize_t size
    char* arena             # what the three begin in; one that has grown out of it is its own
    char* arena_end
    Segment* segments
    Py_ssize_t* stops       # where delimiters and line ends are; one more, at the end
    Py_ssize_t* fields      # which stop each field begins behind
    Py_ssize_t count, room      # segments held, and how many fit
    Py_ssize_t used, fits       # fields held, and how many fit
    Py_ssize_t stopped, stays   # stops held, and how many fit
    unsigned char field, component, repetition, escape, subcomponent
    Py_ssize_t odd              # segments whose name is not one
    Py_ssize_t special, special_end  # nothing special stands before or behind these
    Py_ssize_t opened           # where MSH-2 ends, which is outside all that
    Py_ssize_t escapes          # delimiters that escape
    bint ascii, hexed, shifts


cdef class Tokens:
    cdef bytes data                 # what the message lies in
    cdef bytes trimmed              # the message alone, once it has been asked for
    cdef readonly bytes delimiters
    cdef public object charset
    cdef public tuple liberties
    cdef Table table

    cdef int open(self, bytes data, Py_ssize_t start, bytes delimiters) except -1
    cdef Segment* segment(self, Py_ssize_t n) except NULL
    cdef object sent_offset(self)
    cdef Py_ssize_t tally(self, bytes name)
    cdef bint place(
        self, Bytes* at, Bytes* end, Py_ssize_t segment, Py_ssize_t field,
        Py_ssize_t repetition, Py_ssize_t component, Py_ssize_t subcomponent,
    ) except -1
    cdef object text_at(
        self, Py_ssize_t segment, Py_ssize_t field, Py_ssize_t repetition,
        Py_ssize_t component, Py_ssize_t subcomponent,
    )

cpdef object uuid_text(bytes digest)
cdef object unescaped(Table* t, Tokens tokens, Bytes at, Py_ssize_t size)
cdef Py_ssize_t replaced(Table* t, Bytes at, Py_ssize_t size, unsigned char* out) noexcept nogil


cdef inline uint32_t packed(Bytes at, Py_ssize_t size) noexcept nogil:
    return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 if size == 3 else 0


cdef inline bint find_field(
    Table* t, Segment* s, Py_ssize_t n, Bytes* at, Bytes* end
) noexcept nogil:
    """Whether the segment has a field `n` with bytes in it, and where they are."""
    at[0] = end[0] = t.base
    if s.header and n > 0:
        if n == 1:
            at[0], end[0] = t.base + 3, t.base + 4
            return True
        n -= 1
    if n < 0 or n >= s.count:
        return False
    at[0] = t.base + t.stops[t.fields[s.first + n]] + 1
    end[0] = t.base + (t.stops[t.fields[s.first + n + 1]] if n + 1 < s.count else s.end)
    return at[0] < end[0]


cdef inline Py_ssize_t first_stop(Table* t, Segment* s, Py_ssize_t n) noexcept nogil:
    """Which stop comes first behind the beginning of a field that `_field` found."""
    return t.fields[s.first + n - s.header] + 1


cdef inline uint64_t filled_fields(Table* t, Segment* s) noexcept nogil:
    """Bits of the fields that have bytes in them; 0 is the name, and 63 all from there on."""
    cdef Py_ssize_t n, at, end
    if s.filled:
        return s.filled
    s.filled = 7 if s.header else 1
    at = t.stops[t.fields[s.first + 1]] if s.count > 1 else s.end
    for n in range(1, s.count):
        end = t.stops[t.fields[s.first + n + 1]] if n + 1 < s.count else s.end
        if at + 1 < end:
            s.filled |= <uint64_t>1 << min(n + s.header, 63)
        at = end
    return s.filled


cdef inline Bytes sought(Bytes at, Bytes end, unsigned char delimiter) noexcept nogil:
    """Where the delimiter next stands, or `end`."""
    if end - at > 32:
        at = <Bytes>memchr(at, delimiter, end - at)
        return end if at == NULL else at
    while at < end and at[0] != delimiter:
        at += 1
    return at


cdef inline void narrow(
    Bytes* at, Bytes* end, unsigned char delimiter, Py_ssize_t n
) noexcept nogil:
    """Narrow a range to its part `n`, from 1; 0 leaves it undivided."""
    cdef Bytes stop
    if n == 0:
        return
    stop = sought(at[0], end[0], delimiter)
    while n > 1 and stop < end[0]:
        at[0] = stop + 1
        stop = sought(at[0], end[0], delimiter)
        n -= 1
    if n > 1:
        at[0] = end[0]
    end[0] = stop


cdef inline object ascii_text(const char* at, Py_ssize_t size):
    text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), at, size)
    return text


cdef inline object plain_text(Table* t, Bytes at, Py_ssize_t size):
    if not t.ascii:
        return PyUnicode_DecodeUTF8(<const char*>at, size, NULL)
    if size == 1:
        return PyUnicode_FromKindAndData(1, at, 1)  # the interpreter keeps those
    return ascii_text(<const char*>at, size)


cdef inline unsigned char hex_digit(int n) noexcept nogil:
    return n + (48 if n < 10 else 87)


cdef inline bint is_special(Table* t, Bytes at, Bytes end) noexcept nogil:
    """Whether the range may hold an escape or what JSON text may not hold unchanged."""
    return end - t.base > t.special and at - t.base < t.special_end


cdef inline object text_of(Table* t, PyObject* tokens, Bytes at, Bytes end):
    """The decoded text of a range that is not empty; None for an HL7 null."""
    cdef Py_ssize_t size = end - at
    if size == 2 and at[0] == 34 and at[1] == 34:
        return None
    if is_special(t, at, end):
        return unescaped(t, <Tokens>tokens, at, size)
    return plain_text(t, at, size)
