# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""HL7 v2 bytes to offsets, and offsets to structs: the hot path.

What every call here returns is specified by `_hl7parse_py.py`. One pass over the bytes, without
the GIL, writes where segments and fields begin. Bounds are established there: every later read
stays between two offsets of that table. A field is cut into components once, when the first of
its values is asked for, and no object is made that the caller did not ask for.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy

from fifhir import dtm, escape, path
from fifhir.errors import MessageError

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)
    object PyUnicode_FromKindAndData(int kind, const void* data, Py_ssize_t size)
    object PyObject_Vectorcall(object call, PyObject** args, size_t n, PyObject* names)
    PyObject* PyDict_GetItemWithError(object table, object key) except? NULL

cdef extern from *:
    """
    #include <stdint.h>
    /* Which of 16 bytes are delimiters, CR or LF; `escapes` and `high` become non-zero where one
       of them is the escape delimiter, or is not ASCII or shifts to what is not (ESC). */
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #define FIFHIR_IS(c) _mm_cmpeq_epi8(block, _mm_set1_epi8((char)(c)))
    #define FIFHIR_OR(a, b) _mm_or_si128(a, b)
    #define FIFHIR_MASK(m) ((uint32_t)_mm_movemask_epi8(m))
    static inline uint32_t fifhir_stops(const unsigned char *at, const unsigned char *delimiters,
                                        uint32_t *escapes, uint32_t *high) {
        __m128i block = _mm_loadu_si128((const __m128i *)at);
        __m128i ends = FIFHIR_OR(FIFHIR_IS('\\r'), FIFHIR_IS('\\n'));
        __m128i outer = FIFHIR_OR(FIFHIR_IS(delimiters[0]), FIFHIR_IS(delimiters[1]));
        __m128i inner = FIFHIR_OR(FIFHIR_IS(delimiters[2]), FIFHIR_IS(delimiters[4]));
        *escapes |= FIFHIR_MASK(FIFHIR_IS(delimiters[3]));
        *high |= FIFHIR_MASK(FIFHIR_OR(block, FIFHIR_IS(27)));
        return FIFHIR_MASK(FIFHIR_OR(ends, FIFHIR_OR(outer, inner)));
    }
    #else
    static inline uint32_t fifhir_stops(const unsigned char *at, const unsigned char *delimiters,
                                        uint32_t *escapes, uint32_t *high) {
        uint32_t stops = 0;
        for (int i = 0; i < 16; i++) {
            unsigned char c = at[i];
            stops |= (uint32_t)(c == delimiters[0] || c == delimiters[1] || c == delimiters[2] ||
                                c == delimiters[4] || c == '\\r' || c == '\\n') << i;
            *escapes |= (uint32_t)(c == delimiters[3]);
            *high |= (uint32_t)(c >> 7 || c == 27);
        }
        return stops;
    }
    #endif
    static inline int fifhir_lowest(uint32_t mask) { return __builtin_ctz(mask); }
    static inline int fifhir_failed(void) { return -1; }
    """
    uint32_t fifhir_stops(const unsigned char* at, const unsigned char* delimiters,
                          uint32_t* escapes, uint32_t* high) nogil
    int fifhir_lowest(uint32_t mask) nogil
    int fifhir_failed() except -1  # raises what is already set

ctypedef const unsigned char* Bytes

cdef enum:
    CUTS = 32     # components of a repetition whose places are kept; later ones are searched
    SLOTS = 16    # segments one frame may name, followers and inherited ones of one `each`
    WIDTH = 64    # fields a struct may have
    BLOCK = 16    # bytes the scan looks at together

cdef struct Segment:
    Py_ssize_t start      # its first byte
    Py_ssize_t end        # behind its last byte
    Py_ssize_t first      # its name's place among the fields
    Py_ssize_t count      # its fields, the name counted
    uint32_t name         # its name, if that has three letters
    bint header           # MSH, BHS, FHS: field 1 is the delimiter itself

cdef struct Field:
    Py_ssize_t at         # its first byte
    Py_ssize_t mark       # which is the first mark in it

cdef struct Table:
    Bytes base
    Segment* segments
    Field* fields                   # one more than there are: where the next would begin
    Py_ssize_t* marks               # where component, repetition and subcomponent delimiters stand
    Py_ssize_t count, room          # segments held, and how many fit
    Py_ssize_t used, fits           # fields held, and how many fit
    Py_ssize_t marked, markable     # marks held, and how many fit
    unsigned char field, component, repetition, escape, subcomponent
    Py_ssize_t odd                  # segments whose name is not one
    Py_ssize_t escapes, escapes_end # no escape delimiter stands before or behind these
    bint ascii

MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes
FIELD_LIMIT = 1_000_000  # fields and their parts
cdef Py_ssize_t _MESSAGE_LIMIT = MESSAGE_LIMIT
cdef Py_ssize_t _FIELD_LIMIT = FIELD_LIMIT
cdef bytes _BEFORE = b"\xef\xbb\xbf \t\r\n\x0b\x00"
cdef bytes _STANDARD = b"|^~\\&"
cdef bytes _AFTER = b"\r\n\x1c\x00"
cdef enum:
    MSH = 0x48534D
    BHS = 0x534842
    FHS = 0x534846


# The scan: bytes to offsets.

cdef inline uint32_t _packed(Bytes at, Py_ssize_t size) noexcept nogil:
    return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 if size == 3 else 0


cdef inline bint _is_name(Bytes at) noexcept nogil:
    cdef int i
    for i in range(1, 3):
        if not (65 <= at[i] <= 90 or 48 <= at[i] <= 57):
            return False
    return 65 <= at[0] <= 90


cdef inline bint _is_blank(Bytes at, Bytes end) noexcept nogil:
    while at < end and (at[0] == 32 or at[0] == 9):
        at += 1
    return at == end


cdef int _grow(void** array, Py_ssize_t* room, size_t size) noexcept nogil:
    """Double the room of an array; 1 if there is no memory, 2 if it holds too much already."""
    cdef void* grown
    if room[0] > 2 * _FIELD_LIMIT:
        return 2
    grown = realloc(array[0], 2 * room[0] * size)
    if grown == NULL:
        return 1
    array[0], room[0] = grown, 2 * room[0]
    return 0


cdef inline int _make_room(Table* t) noexcept nogil:
    """Room for all that one block can hold, and the field behind the last."""
    cdef int fault = 0
    if t.used + BLOCK + 1 >= t.fits:
        fault = _grow(<void**>&t.fields, &t.fits, sizeof(Field))
    if t.marked + BLOCK >= t.markable and not fault:
        fault = _grow(<void**>&t.marks, &t.markable, sizeof(Py_ssize_t))
    return fault


cdef inline void _begin(Table* t, Py_ssize_t at) noexcept nogil:
    t.fields[t.used].at, t.fields[t.used].mark = at, t.marked
    t.used += 1


cdef int _end(Table* t, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Note that the segment whose name is field `first` ends; drop it if it is blank."""
    cdef Segment* s
    cdef int fault
    cdef Py_ssize_t start = t.fields[first].at
    if _is_blank(t.base + start, t.base + end):
        t.used = first
        return 0
    if t.count == t.room:
        fault = _grow(<void**>&t.segments, &t.room, sizeof(Segment))
        if fault:
            return fault
    s = &t.segments[t.count]
    s.start, s.end, s.first, s.count = start, end, first, t.used - first
    s.name = _packed(t.base + start, (t.fields[first + 1].at - 1 if s.count > 1 else end) - start)
    s.header = s.name == MSH or s.name == BHS or s.name == FHS
    t.odd += not (s.name and _is_name(t.base + start))
    t.count += 1
    return 0


cdef int _note(Table* t, Py_ssize_t* first, Py_ssize_t at, uint32_t stops) noexcept nogil:
    """Note the delimiters and line ends of a block; `first` is the name of its segment."""
    cdef Field* fields = t.fields
    cdef Py_ssize_t* marks = t.marks
    cdef Py_ssize_t used = t.used, marked = t.marked, stop
    cdef unsigned char found, delimiter = t.field
    cdef int fault
    while stops:
        stop = at + fifhir_lowest(stops)
        stops &= stops - 1
        found = t.base[stop]
        if found == delimiter:
            fields[used].at, fields[used].mark = stop + 1, marked
            used += 1
        elif found != 13 and found != 10:
            marks[marked] = stop
            marked += 1
        else:
            t.used = used
            fault = _end(t, first[0], stop)
            if fault:
                return fault
            first[0] = used = t.used
            fields[used].at, fields[used].mark = stop + 1, marked
            used += 1
    t.used, t.marked = used, marked
    return 0


cdef int _scan(Table* t, const unsigned char* delimiters, Py_ssize_t size) noexcept nogil:
    """Fill the table from `size` bytes that begin with MSH; 0, or a fault of `_grow`."""
    cdef Py_ssize_t at = 4, first = 0
    cdef uint32_t stops, escapes, high = 0
    cdef unsigned char tail[BLOCK]
    cdef Bytes block
    cdef int fault, i
    t.fits = t.markable = min(max(size // 8, 64), 4096)
    t.room = min(max(size // 32, 16), 1024)
    t.fields = <Field*>malloc(t.fits * sizeof(Field))
    t.marks = <Py_ssize_t*>malloc(t.markable * sizeof(Py_ssize_t))
    t.segments = <Segment*>malloc(t.room * sizeof(Segment))
    if t.fields == NULL or t.marks == NULL or t.segments == NULL:
        return 1
    _begin(t, 0)
    _begin(t, 4)
    t.escapes, t.escapes_end = size, 0
    while at < size and t.base[at] != t.field and t.base[at] != 13 and t.base[at] != 10:
        at += 1  # MSH-2 holds every delimiter; it says nothing of the others' use
    while at < size:
        block = t.base + at
        if size - at < BLOCK:
            memcpy(tail, block, size - at)
            for i in range(size - at, BLOCK):
                tail[i] = 0
            block = tail
        escapes = 0
        stops = fifhir_stops(block, delimiters, &escapes, &high)
        if escapes:
            t.escapes = min(t.escapes, at)
            t.escapes_end = at + BLOCK
        if stops:
            fault = _make_room(t)
            if not fault:
                fault = _note(t, &first, at, stops)
            if fault:
                return fault
        at += BLOCK
    t.ascii = not high
    fault = _end(t, first, size)
    t.fields[t.used].at, t.fields[t.used].mark = size + 1, t.marked
    return fault if fault else 2 if t.used + t.marked > _FIELD_LIMIT else 0


# Reading the table.

cdef inline bint _field(Table* t, Segment* s, Py_ssize_t n, Bytes* at, Bytes* end) noexcept nogil:
    """Whether the segment has a field `n` with bytes in it, and where they are."""
    at[0] = end[0] = t.base
    if s.header and n > 0:
        if n == 1:
            at[0], end[0] = t.base + 3, t.base + 4
            return True
        n -= 1
    if n < 0 or n >= s.count:
        return False
    at[0] = t.base + t.fields[s.first + n].at
    end[0] = t.base + (t.fields[s.first + n + 1].at - 1 if n + 1 < s.count else s.end)
    return at[0] < end[0]


cdef inline Py_ssize_t _first_mark(Table* t, Segment* s, Py_ssize_t n) noexcept nogil:
    """Which is the first mark in a field that `_field` found."""
    return t.fields[s.first + n - s.header].mark


cdef inline Bytes _sought(Bytes at, Bytes end, unsigned char delimiter) noexcept nogil:
    """Where the delimiter next stands, or `end`."""
    if end - at > 32:
        at = <Bytes>memchr(at, delimiter, end - at)
        return end if at == NULL else at
    while at < end and at[0] != delimiter:
        at += 1
    return at


cdef inline void _part(Bytes* at, Bytes* end, unsigned char delimiter, Py_ssize_t n) noexcept nogil:
    """Narrow a range to its part `n`, from 1; 0 leaves it undivided."""
    cdef Bytes stop
    if n == 0:
        return
    stop = _sought(at[0], end[0], delimiter)
    while n > 1 and stop < end[0]:
        at[0] = stop + 1
        stop = _sought(at[0], end[0], delimiter)
        n -= 1
    if n > 1:
        at[0] = end[0]
    end[0] = stop


cdef inline object _plain(Table* t, Bytes at, Py_ssize_t size):
    cdef object text
    if not t.ascii:
        return PyUnicode_DecodeUTF8(<const char*>at, size, NULL)
    if size == 1:
        return PyUnicode_FromKindAndData(1, at, 1)  # the interpreter keeps those
    text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), at, size)
    return text


cdef class Tokens:
    """Where the segments and fields of one message lie; see the specification."""

    cdef readonly bytes raw
    cdef readonly bytes delimiters
    cdef public object charset
    cdef Table table

    def __init__(self, bytes data not None, bytes delimiters not None=b""):
        cdef Table* t = &self.table
        cdef int fault
        if t.fields != NULL:
            raise TypeError("a message is read-only")
        if PyBytes_GET_SIZE(data) > _MESSAGE_LIMIT:
            raise _refused("message_too_large", "message is larger than the limit")
        self.charset = "utf-8"
        self.raw = _stripped(data)
        self.delimiters = _delimiters(self.raw, delimiters)
        cdef Bytes found = <Bytes>PyBytes_AS_STRING(self.delimiters)
        t.base = <Bytes>PyBytes_AS_STRING(self.raw)
        t.field, t.component, t.repetition = found[0], found[1], found[2]
        t.escape, t.subcomponent = found[3], found[4]
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.raw)
        with nogil:
            fault = _scan(t, found, size)
        if fault == 1:
            raise MemoryError
        if fault == 2 or not t.ascii:
            _check_utf8(self.raw)
        if fault == 2:
            raise _refused("too_many_fields", "message has more delimiters than the limit")

    def __dealloc__(self):
        free(self.table.segments)
        free(self.table.fields)
        free(self.table.marks)

    def __len__(self):
        return self.table.count

    @property
    def odd(self):
        return self.table.odd

    @property
    def ascii(self):
        return self.table.ascii

    @property
    def escaped(self):
        return self.table.escapes_end > 0

    cdef Segment* _segment(self, Py_ssize_t n) except NULL:
        if not 0 <= n < self.table.count:
            raise IndexError("segment")
        return &self.table.segments[n]

    def name(self, Py_ssize_t segment):
        cdef Bytes at, end
        _field(&self.table, self._segment(segment), 0, &at, &end)
        return PyBytes_FromStringAndSize(<const char*>at, end - at)

    def span(self, Py_ssize_t segment):
        cdef Segment* s = self._segment(segment)
        return s.start, s.end

    def find(self, bytes name not None, Py_ssize_t start=0):
        cdef Bytes at, end
        cdef Py_ssize_t n, size = PyBytes_GET_SIZE(name)
        for n in range(max(start, 0), self.table.count):
            _field(&self.table, &self.table.segments[n], 0, &at, &end)
            if end - at == size and memcmp(at, PyBytes_AS_STRING(name), size) == 0:
                return n
        return -1

    def tally(self, bytes name not None):
        cdef Bytes at, end
        cdef Py_ssize_t n, found = 0, size = PyBytes_GET_SIZE(name)
        for n in range(self.table.count):
            _field(&self.table, &self.table.segments[n], 0, &at, &end)
            found += end - at == size and memcmp(at, PyBytes_AS_STRING(name), size) == 0
        return found

    def lacks(self, tuple names not None):
        cdef bytes name
        return tuple([name for name in names if self.find(name) < 0]) if names else ()

    def get(self, str where not None):
        cdef _Place place
        cdef Py_ssize_t at, occurrence
        cdef PyObject* known = PyDict_GetItemWithError(_places, where)
        place = <_Place>known if known != NULL else _placed(where)
        occurrence = place.occurrence
        for at in range(self.table.count):
            if self.table.segments[at].name == place.name:
                occurrence -= 1
                if occurrence <= 0:
                    return self.text(
                        at, place.field, place.repetition, place.component, place.subcomponent
                    )
        return ""

    def fields(self, Py_ssize_t segment):
        cdef Segment* s = self._segment(segment)
        return s.count - (0 if s.header else 1)

    def repetitions(self, Py_ssize_t segment, Py_ssize_t field):
        cdef Bytes at, end
        cdef Py_ssize_t n = 1
        cdef Segment* s = self._segment(segment)
        if not _field(&self.table, s, field, &at, &end):
            return 0
        if s.header and field <= 2:
            return 1
        while True:
            at = _sought(at, end, self.table.repetition)
            if at == end:
                return n
            n += 1
            at += 1

    cdef bint _cut(
        self, Bytes* at, Bytes* end, Py_ssize_t segment, Py_ssize_t field,
        Py_ssize_t repetition, Py_ssize_t component, Py_ssize_t subcomponent,
    ) except -1:
        """Where the bytes at an address are; whether they are verbatim: no text, no parts."""
        cdef Table* t = &self.table
        cdef Segment* s = self._segment(segment)
        _field(t, s, field, at, end)
        if min(repetition, component, subcomponent) < 0:
            at[0] = end[0]
        elif s.header and field <= 2:
            if max(repetition, component, subcomponent) > 1:
                at[0] = end[0]
            return True
        else:
            _part(at, end, t.repetition, repetition)
            _part(at, end, t.component, component)
            _part(at, end, t.subcomponent, subcomponent)
        return False

    def cut(
        self, Py_ssize_t segment, Py_ssize_t field, Py_ssize_t repetition=1,
        Py_ssize_t component=0, Py_ssize_t subcomponent=0,
    ):
        cdef Bytes at, end
        self._cut(&at, &end, segment, field, repetition, component, subcomponent)
        return PyBytes_FromStringAndSize(<const char*>at, end - at)

    cpdef object text(
        self, Py_ssize_t segment, Py_ssize_t field, Py_ssize_t repetition=1,
        Py_ssize_t component=1, Py_ssize_t subcomponent=1,
    ):
        cdef Bytes at, end
        if self._cut(&at, &end, segment, field, repetition, component, subcomponent):
            return _plain(&self.table, at, end - at)
        return _decoded(&self.table, <PyObject*>self, at, end)

    def decoded(self, bytes value not None):
        if value == b'""':
            return None
        if self.delimiters[3] in value:
            return escape.decode(value, self.delimiters, self.charset)
        return value.decode()


cdef inline object _decoded(Table* t, PyObject* tokens, Bytes at, Bytes end):
    cdef Py_ssize_t size = end - at
    if size == 2 and at[0] == 34 and at[1] == 34:
        return None
    if end - t.base > t.escapes and at - t.base < t.escapes_end:
        return _unescaped(t, <Tokens>tokens, at, size)
    return _plain(t, at, size)


cdef object _unescaped(Table* t, Tokens tokens, Bytes at, Py_ssize_t size):
    if memchr(at, t.escape, size) == NULL:
        return _plain(t, at, size)
    raw = PyBytes_FromStringAndSize(<const char*>at, size)
    return escape.decode(raw, tokens.delimiters, tokens.charset)


cdef class _Place:
    """A path, ready to be looked up; what it leaves open is the first."""

    cdef uint32_t name
    cdef Py_ssize_t occurrence, field, repetition, component, subcomponent


cdef dict _places = {}


cdef _Place _placed(str where):
    found = path.read(where)
    cdef _Place place = _Place()
    place.name = _packed(<Bytes>PyBytes_AS_STRING(found.segment), 3)
    place.occurrence, place.field = found.occurrence, found.field
    place.repetition, place.component = found.repetition or 1, found.component or 1
    place.subcomponent = found.subcomponent or 1
    if len(_places) >= 4096:
        _places.clear()
    _places[where] = place
    return place


cdef object _refused(str reason, str text, str location="MSH"):
    return MessageError(reason, text, location=location)


cdef bytes _stripped(bytes data):
    cdef Bytes start = <Bytes>PyBytes_AS_STRING(data), at = start
    cdef Bytes end = at + PyBytes_GET_SIZE(data)
    while at < end and memchr(PyBytes_AS_STRING(_BEFORE), at[0], PyBytes_GET_SIZE(_BEFORE)) != NULL:
        at += 1
    while end > at and memchr(PyBytes_AS_STRING(_AFTER), (end - 1)[0], PyBytes_GET_SIZE(_AFTER)) != NULL:
        end -= 1
    if at == start and end - at == PyBytes_GET_SIZE(data):
        return data
    return PyBytes_FromStringAndSize(<const char*>at, end - at)


cdef bytes _delimiters(bytes raw, bytes believed):
    cdef Bytes at = <Bytes>PyBytes_AS_STRING(raw)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(raw), end = 4
    if size > 8 and not believed and memcmp(at, b"MSH|^~\\&|", 9) == 0:
        return _STANDARD
    if raw[:3] != b"MSH":
        raise _refused("no_msh", "message does not begin with an MSH segment")
    if size < 8:
        raise _refused("short_msh", "MSH segment ends before its delimiters")
    while end < size and at[end] != at[3] and at[end] != 13 and at[end] != 10:
        end += 1
    cdef bytes found = raw[3:4] + (believed[1:] or raw[4:end])
    if not 5 <= len(found) <= 6:
        raise _refused("bad_delimiters", "MSH-2 does not hold 4 or 5 delimiters", "MSH-2")
    if len(set(found)) != len(found):
        raise _refused("bad_delimiters", "MSH-1 and MSH-2 name a delimiter twice", "MSH-2")
    for octet in found:
        if not 0x21 <= octet <= 0x7E or octet == 0x22 or chr(octet).isalnum():
            raise _refused("bad_delimiters", "a delimiter is not ASCII punctuation", "MSH-2")
    return found


cdef _check_utf8(bytes raw):
    try:
        raw.decode()
    except UnicodeDecodeError as fault:
        raise _refused("bad_encoding", "message is not valid UTF-8", "MSH-18") from fault


# Plans: offsets to structs.

cdef enum Kind:
    TEXT, WHOLE, LINES, DATE, TIME, INSTANT, MAP, CALL, GUARD, FIRST, STRUCT, REPEAT, TUPLE
    EACH, ORDINAL, GIVEN, DERIVE, JOIN

cdef dict _KINDS = {
    "text": TEXT, "whole": WHOLE, "lines": LINES, "date": DATE, "time": TIME, "instant": INSTANT,
    "map": MAP, "call": CALL, "guard": GUARD, "first": FIRST, "struct": STRUCT, "repeat": REPEAT,
    "tuple": TUPLE, "each": EACH, "ordinal": ORDINAL, "given": GIVEN, "derive": DERIVE,
    "join": JOIN,
}
cdef tuple _DATED = (dtm.date, dtm.time, dtm.instant)

cdef struct Names:
    uint32_t name[SLOTS]
    int n

cdef struct Group:      # what an `each` gathers
    uint32_t name       # the segment an item begins with
    Names followers, inherits, slots

cdef struct Node:       # small: a plan is walked once a message and should stay in the cache
    short kind, slot, component, subcomponent
    int field
    short n             # how many kids; which argument, or which field to derive from
    short least         # how many fields a struct cannot be made without
    short base          # a placed struct: after which component its own begin
    bint placed         # a struct that stands at an address of its own
    bint derives        # a struct with fields that wait for their siblings
    Node* kids
    Group* group
    PyObject* object    # type, function, table or wanted bytes
    PyObject* default

cdef struct Frame:
    Py_ssize_t* slots
    Py_ssize_t start, stop      # its segments
    Bytes value, value_end      # the repetition at hand, and the first mark in it
    Py_ssize_t value_mark
    int base                    # after which of its components addresses begin
    int cut_slot, cut_field     # which field the cuts are of; field 0 is the repetition at hand
    int n
    Bytes cuts[CUTS]            # where components begin
    Bytes heads[CUTS]           # where the first subcomponent of each ends
    Bytes end

cdef struct Run:
    Table* table
    PyObject* tokens
    PyObject* given
    PyObject* zone
    PyObject* unread
    Py_ssize_t valued


cdef void _split(Table* t, Frame* f, Py_ssize_t mark, Bytes at, Bytes end) noexcept nogil:
    """Cut the first repetition of what lies before `end` into components."""
    cdef Bytes place
    cdef unsigned char found
    f.cuts[0], f.heads[0], f.end, f.n = at, NULL, end, 1
    while mark < t.marked:
        place = t.base + t.marks[mark]
        if place >= end:
            break
        mark += 1
        found = place[0]
        if found == t.repetition:
            f.end = place
            break
        if f.heads[f.n - 1] == NULL:
            f.heads[f.n - 1] = place
        if found == t.component and f.n < CUTS:
            f.cuts[f.n], f.heads[f.n] = place + 1, NULL
            f.n += 1
    if f.heads[f.n - 1] == NULL:
        f.heads[f.n - 1] = f.end


cdef bint _open(Run* r, Frame* f, Node* node) noexcept nogil:
    """Whether the field of a node's address is cut into components now."""
    cdef Bytes at = f.value, end = f.value_end
    cdef Py_ssize_t mark = f.value_mark
    cdef Segment* s
    f.cut_slot, f.cut_field = node.slot, node.field
    if node.field:
        f.cut_field = -1
        if f.slots[node.slot] < 0:
            return False
        s = &r.table.segments[f.slots[node.slot]]
        if not _field(r.table, s, node.field, &at, &end):
            return False
        if s.header and node.field <= 2:  # the delimiters themselves have no parts
            _split(r.table, f, r.table.marked, at, end)
            return node.component <= 1 and node.subcomponent <= 1
        f.cut_field = node.field
        mark = _first_mark(r.table, s, node.field)
    _split(r.table, f, mark, at, end)
    return True


cdef bint _locate(Run* r, Frame* f, Node* node, Bytes* at, Bytes* end) noexcept nogil:
    """Whether there are bytes at a node's address, and where."""
    cdef Table* t = r.table
    cdef int n
    if f.cut_field != node.field or (node.field and f.cut_slot != node.slot):
        if not _open(r, f, node):
            return False
    if node.component == 0:
        at[0], end[0] = f.cuts[0], f.end
        return at[0] < end[0]
    n = node.component - 1 + (0 if node.field else f.base)
    if n >= f.n and f.n < CUTS:
        return False
    if n < f.n and node.subcomponent == 1:
        at[0], end[0] = f.cuts[n], f.heads[n]
        return at[0] < end[0]
    at[0], end[0] = f.cuts[min(n, f.n - 1)], f.end
    _part(at, end, t.component, max(n - f.n + 1, 0) + 1)
    _part(at, end, t.subcomponent, node.subcomponent)
    return at[0] < end[0]


cdef inline bint _locate_whole(Run* r, Frame* f, Node* node, Bytes* at, Bytes* end) noexcept nogil:
    if f.slots[node.slot] < 0:
        return False
    return _field(r.table, &r.table.segments[f.slots[node.slot]], node.field, at, end)


cdef inline void _enter(Frame* inner, Frame* f, Py_ssize_t mark, Bytes at, Bytes end) noexcept nogil:
    """A frame in the same segments, whose repetition at hand is this one."""
    inner.slots, inner.start, inner.stop = f.slots, f.start, f.stop
    inner.value, inner.value_end, inner.value_mark = at, end, mark
    inner.base, inner.cut_field = 0, -1


cdef object _value(Run* r, Frame* f, Node* node):
    cdef int kind = node.kind
    if kind == TEXT:
        return _text(r, f, node)
    elif kind == DATE or kind == TIME or kind == INSTANT:
        return _dated(r, f, node)
    elif kind == STRUCT:
        return _struct(r, f, node)
    elif kind == FIRST:
        return _first(r, f, node)
    elif kind == MAP:
        return _mapped(r, f, node)
    elif kind == GUARD:
        return _guarded(r, f, node)
    elif kind == REPEAT:
        return _repeat(r, f, node)
    elif kind == TUPLE:
        return _tuple(r, f, node)
    elif kind == EACH:
        return _each(r, f, node)
    elif kind == WHOLE:
        return _whole(r, f, node)
    elif kind == LINES:
        return _lines(r, f, node)
    elif kind == CALL:
        return _call(r, f, node)
    elif kind == JOIN:
        return _joined(r, f, node)
    elif kind == GIVEN:
        return (<tuple>r.given)[node.n]
    elif kind == ORDINAL:
        return _ordinal(r, f, node)
    return None  # a derived field waits for its siblings


# The same functions, the references they return not counted by Cython.
ctypedef PyObject* (*Reader)(Run*, Frame*, Node*) noexcept
ctypedef PyObject* (*Decoder)(Table*, PyObject*, Bytes, Bytes) noexcept
cdef Reader _read = <Reader>_value
cdef Decoder _decode = <Decoder>_decoded


cdef object _text(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    if not _locate(r, f, node, &at, &end):
        return <object>node.default
    r.valued += 1
    return _decoded(r.table, r.tokens, at, end)


cdef object _whole(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    if not _locate_whole(r, f, node, &at, &end):
        return <object>node.default
    r.valued += 1
    return _decoded(r.table, r.tokens, at, end)


cdef object _mapped(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    cdef PyObject* found
    text = _text(r, f, node)
    if r.valued == before:
        return text
    found = PyDict_GetItemWithError(<object>node.object, text)
    return text if found == NULL else <object>found


cdef object _first(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    cdef int i
    for i in range(node.n):
        found = _value(r, f, &node.kids[i])
        if r.valued > before:
            return found
    return <object>node.default


cdef object _guarded(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    cdef bytes wanted
    if _locate(r, f, node, &at, &end):
        for wanted in <tuple>node.object:
            if end - at == PyBytes_GET_SIZE(wanted):
                if memcmp(at, PyBytes_AS_STRING(wanted), end - at) == 0:
                    return _value(r, f, node.kids)
    return <object>node.default


cdef object _lines(Run* r, Frame* f, Node* node):
    cdef Bytes at, end, stop
    if not _locate_whole(r, f, node, &at, &end):
        return <object>node.default
    r.valued += 1
    if _sought(at, end, r.table.repetition) == end:
        return _decoded(r.table, r.tokens, at, end)
    lines = []
    while True:
        stop = _sought(at, end, r.table.repetition)
        lines.append(_decoded(r.table, r.tokens, at, stop) or "")
        if stop == end:
            return "\n".join(lines)
        at = stop + 1


cdef object _joined(Run* r, Frame* f, Node* node):
    cdef int i
    parts = []
    for i in range(node.n):
        text = _value(r, f, &node.kids[i])
        if text:
            parts.append((<tuple>node.object)[i] + text)
    return " ".join(parts) if parts else <object>node.default


cdef object _call(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    cdef int i
    texts = [_value(r, f, &node.kids[i]) for i in range(node.n)]
    return (<object>node.object)(*texts) if r.valued > before else <object>node.default


cdef object _struct(Run* r, Frame* f, Node* node):
    cdef Frame inner
    cdef Bytes at, end
    cdef int base = f.base
    if not node.placed:
        return _fields(r, f, node)
    if node.field == 0:
        if f.value == f.value_end:
            return <object>node.default
        f.base = node.base
        value = _fields(r, f, node)
        f.base = base
        return value
    _enter(&inner, f, 0, NULL, NULL)
    if not _open(r, &inner, node) or inner.cuts[0] == inner.end:
        return <object>node.default
    inner.value, inner.value_end, inner.cut_field = inner.cuts[0], inner.end, 0
    inner.value_mark = _first_mark(r.table, &r.table.segments[f.slots[node.slot]], node.field)
    return _fields(r, &inner, node)


cdef object _fields(Run* r, Frame* f, Node* node):
    """The struct of a node's kids, called with what is left after its trailing defaults."""
    cdef PyObject* values[WIDTH]
    cdef Py_ssize_t before = r.valued
    cdef int i, made = 0, n = node.n, used = node.least
    cdef Bytes at, end
    cdef Node* kid
    cdef PyObject* value
    try:
        while made < n:
            kid = &node.kids[made]
            if kid.kind != TEXT:
                value = _read(r, f, kid)
            elif _locate(r, f, kid, &at, &end):
                r.valued += 1
                value = _decode(r.table, r.tokens, at, end)
            else:
                value = kid.default
                Py_INCREF(<object>value)
            if value == NULL:
                fifhir_failed()
            values[made] = value
            made += 1
            if value != kid.default and made > used:
                used = made
        if r.valued == before and <object>node.default is not None:
            return <object>node.default
        if node.derives:
            _derive(node, values)
        return PyObject_Vectorcall(<object>node.object, values, used, NULL)
    finally:
        for i in range(made):
            Py_DECREF(<object>values[i])


cdef _derive(Node* node, PyObject** values):
    cdef Node* kid
    cdef PyObject* waiting
    cdef int i
    for i in range(node.n):
        kid = &node.kids[i]
        if kid.kind == DERIVE:
            found = (<object>kid.object)(<object>values[kid.n])
            waiting = values[i]
            Py_INCREF(found)
            values[i] = <PyObject*>found
            Py_DECREF(<object>waiting)


cdef object _repeat(Run* r, Frame* f, Node* node):
    cdef Table* t = r.table
    cdef Bytes at, end, stop
    cdef Frame inner
    cdef Py_ssize_t before, mark
    if not _locate_whole(r, f, node, &at, &end):
        return ()
    mark = _first_mark(t, &t.segments[f.slots[node.slot]], node.field)
    items = None
    while True:
        _enter(&inner, f, mark, at, end)
        _split(t, &inner, mark, at, end)
        stop = inner.value_end = inner.end
        inner.cut_field = 0
        while mark < t.marked and t.base + t.marks[mark] <= stop:
            mark += 1
        if stop > at:
            before = r.valued
            value = _value(r, &inner, node.kids)
            if r.valued > before:
                if stop == end and items is None:
                    return (value,)
                if items is None:
                    items = []
                (<list>items).append(value)
        if stop == end:
            return () if items is None else tuple(<list>items)
        at = stop + 1


cdef object _tuple(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before
    cdef int i, found = 0
    only = items = None
    for i in range(node.n):
        before = r.valued
        value = _value(r, f, &node.kids[i])
        if r.valued > before:
            found += 1
            if found == 1:
                only = value
            elif found == 2:
                items = [only, value]
            else:
                (<list>items).append(value)
    if found > 1:
        return tuple(<list>items)
    return (only,) if found else ()


cdef object _each(Run* r, Frame* f, Node* node):
    cdef Group* g = node.group
    cdef Segment* segments = r.table.segments
    cdef Py_ssize_t seen[SLOTS]
    cdef Py_ssize_t slots[SLOTS]
    cdef Py_ssize_t n = 0, made = 0, at
    cdef Frame inner
    cdef int i
    for at in range(f.start, f.stop):
        n += segments[at].name == g.name
    if n == 0:
        return ()
    items = PyTuple_New(n)
    for i in range(g.inherits.n):
        seen[i] = -1
    for at in range(f.start, f.stop):
        for i in range(g.inherits.n):
            if segments[at].name == g.inherits.name[i]:
                seen[i] = at
        if segments[at].name != g.name:
            continue
        _enter(&inner, f, 0, NULL, NULL)
        inner.slots, inner.start, inner.stop = slots, at + 1, at + 1
        while inner.stop < f.stop and _is_in(&g.followers, segments[inner.stop].name):
            inner.stop += 1
        for i in range(g.slots.n):
            slots[i] = _place(segments, &inner, g, seen, g.slots.name[i])
        value = _value(r, &inner, node.kids)
        Py_INCREF(value)
        PyTuple_SET_ITEM(items, made, value)
        made += 1
    return items


cdef bint _is_in(Names* names, uint32_t name) noexcept nogil:
    cdef int i
    for i in range(names.n):
        if names.name[i] == name:
            return True
    return False


cdef Py_ssize_t _place(
    Segment* segments, Frame* f, Group* g, Py_ssize_t* seen, uint32_t name
) noexcept nogil:
    """Which segment a slot of an `each` means: itself, the inherited one, the first follower."""
    cdef Py_ssize_t at
    cdef int i
    if name == g.name:
        return f.start - 1
    for i in range(g.inherits.n):
        if g.inherits.name[i] == name and seen[i] >= 0:
            return seen[i]
    for at in range(f.start, f.stop):
        if segments[at].name == name:
            return at
    return -1


cdef object _ordinal(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t at = f.slots[node.slot], i, n = 0
    if at < 0:
        return <object>node.default
    for i in range(at):
        n += r.table.segments[i].name == r.table.segments[at].name
    return n


cdef object _dated(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    cdef object found, text
    if not _locate(r, f, node, &at, &end):
        return <object>node.default
    found = _plain_date(r, node.kind, at, end - at)
    if found is None:
        text = _decoded(r.table, r.tokens, at, end)
        if text is not None:
            found = _DATED[node.kind - DATE](text, <object>r.zone)
            if found is None:
                (<list>r.unread).append((f.slots[node.slot], node.field))
                return <object>node.default
    r.valued += 1
    return found


cdef inline int _number(Bytes at, int digits) noexcept nogil:
    cdef int n = 0
    while digits:
        n, at, digits = n * 10 + at[0] - 48, at + 1, digits - 1
    return n


cdef inline Py_ssize_t _digits(Bytes at, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t n = 0
    while n < size and 48 <= at[n] <= 57:
        n += 1
    return n


cdef inline bint _is_moment(Bytes at, Py_ssize_t digits) noexcept nogil:
    """Whether 8, 12 or 14 digits are a date (the last days of months aside) and a time."""
    cdef int month, day
    if digits != 8 and digits != 12 and digits != 14:
        return False
    month, day = _number(at + 4, 2), _number(at + 6, 2)
    if at[0] == 48 or not 1 <= month <= 12 or not 1 <= day <= (30 if month != 2 else 28):
        return False
    if digits > 8 and (_number(at + 8, 2) > 23 or _number(at + 10, 2) > 59):
        return False
    return digits < 14 or _number(at + 12, 2) <= 59


cdef object _plain_date(Run* r, int kind, Bytes at, Py_ssize_t size):
    """YYYYMMDD[HHMM[SS[.F]]][+ZZZZ] as ISO 8601; None for every rarer form, which `dtm` reads."""
    cdef char out[48]
    cdef Py_ssize_t digits = _digits(at, size), fraction = 0, n = 19, zone_size
    cdef int minutes
    if not _is_moment(at, digits):
        return None
    if digits == 14 and size > 14 and at[14] == 46:
        fraction = _digits(at + 15, size - 15) + 1
        if not 2 <= fraction <= 10:
            return None
    size -= digits + fraction
    if size and (size != 5 or digits == 8 or _digits(at + digits + fraction + 1, 4) != 4):
        return None
    memcpy(out, b"YYYY-MM-DDT00:00:00", 19)
    memcpy(out, at, 4)
    memcpy(out + 5, at + 4, 2)
    memcpy(out + 8, at + 6, 2)
    if digits > 8:
        memcpy(out + 11, at + 8, 2)
        memcpy(out + 14, at + 10, 2)
    if digits == 14:
        memcpy(out + 17, at + 12, 2)
    at += digits
    if size:
        minutes = _number(at + fraction + 1, 2) * 60 + _number(at + fraction + 3, 2)
        if minutes == 0 or minutes > 840 or at[fraction + 3] > 53:
            return None
        if at[fraction] != 43 and at[fraction] != 45:
            return None
    if kind == DATE or (kind == TIME and digits == 8):
        return _ascii(out, 10)
    memcpy(out + n, at, fraction)
    n += fraction
    if size:
        memcpy(out + n, at + fraction, 3)
        out[n + 3] = 58
        memcpy(out + n + 4, at + fraction + 3, 2)
        return _ascii(out, n + 6)
    if not isinstance(<object>r.zone, str):
        return None
    zone_size = len(<str>r.zone)
    if zone_size > 6 or not (<str>r.zone).isascii():
        return None
    memcpy(out + n, PyUnicode_DATA(<object>r.zone), zone_size)
    return _ascii(out, n + zone_size)


cdef inline object _ascii(const char* at, Py_ssize_t size):
    text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), at, size)
    return text


cdef class Plan:
    """A compiled description of one struct; see the specification."""

    cdef Node* root
    cdef Names slots_
    cdef readonly tuple slots
    cdef readonly tuple node
    cdef list kept

    def __cinit__(self, tuple slots not None, tuple node not None):
        self.slots = slots
        self.node = node
        self.kept = []
        self.root = <Node*>calloc(1, sizeof(Node))
        if self.root == NULL:
            raise MemoryError
        self._names(&self.slots_, slots)
        self._compile(self.root, node)

    def __dealloc__(self):
        if self.root != NULL:
            _release(self.root)
            free(self.root)

    def build(self, Tokens tokens not None, tuple given not None, zone not None):
        cdef Run run
        cdef Frame frame
        cdef Py_ssize_t slots[SLOTS]
        cdef Py_ssize_t at
        cdef int i
        unread = []
        run.table, run.tokens, run.given = &tokens.table, <PyObject*>tokens, <PyObject*>given
        run.zone, run.unread, run.valued = <PyObject*>zone, <PyObject*>unread, 0
        frame.slots, frame.start, frame.stop = slots, 0, tokens.table.count
        frame.value, frame.value_end, frame.value_mark = NULL, NULL, 0
        frame.base, frame.cut_field = 0, -1
        for i in range(self.slots_.n):
            slots[i] = -1
            for at in range(tokens.table.count):
                if tokens.table.segments[at].name == self.slots_.name[i]:
                    slots[i] = at
                    break
        return _value(&run, &frame, self.root), unread

    cdef PyObject* _keep(self, object value):
        self.kept.append(value)
        return <PyObject*>value

    cdef _names(self, Names* into, tuple names):
        cdef bytes name
        if len(names) > SLOTS:
            raise ValueError("a frame names too many segments")
        into.n = <int>len(names)
        for i, name in enumerate(names):
            if len(name) != 3:
                raise ValueError("a segment name has three letters")
            into.name[i] = _packed(<Bytes>PyBytes_AS_STRING(name), 3)

    cdef _address(self, Node* into, tuple address):
        into.slot, into.field, into.component, into.subcomponent = address

    cdef _kids(self, Node* into, object nodes):
        if len(nodes) > WIDTH:
            raise ValueError("a struct has too many fields")
        into.n = <short>len(nodes)
        into.kids = <Node*>calloc(max(into.n, 1), sizeof(Node))
        if into.kids == NULL:
            raise MemoryError
        for i, node in enumerate(nodes):
            self._compile(&into.kids[i], node)

    cdef _compile(self, Node* into, tuple node):
        cdef int kind = _KINDS[node[0]]
        into.kind = kind
        into.default = self._keep(node[len(node) - 1])
        if kind in (TEXT, WHOLE, LINES, DATE, TIME, INSTANT):
            self._address(into, node[1])
        elif kind == MAP:
            self._address(into, node[1])
            into.object = self._keep(dict(node[2]))
        elif kind == CALL:
            self._kids(into, [("text", address, "") for address in node[1]])
            into.object = self._keep(node[2])
        elif kind == JOIN:
            self._kids(into, [("text", address, "") for address in node[1]])
            into.object = self._keep(tuple(node[2]))
        elif kind == GUARD:
            self._address(into, node[1])
            into.object = self._keep(tuple(node[2]))
            self._kids(into, (node[3],))
        elif kind == FIRST:
            self._kids(into, node[1])
        elif kind == STRUCT:
            into.object = self._keep(node[1])
            self._kids(into, node[2])
            optional = len(getattr(node[1], "__struct_defaults__", ()))
            into.derives = any(kid[0] == "derive" for kid in node[2])
            into.least = <short>max(into.n - optional, 0)
            if node[3] is not None:
                self._address(into, (node[3][0], node[3][1], 0, 0))
                into.placed = True
                into.base = node[3][2]
        elif kind == REPEAT:
            self._address(into, node[1])
            self._kids(into, (node[2],))
            into.default = self._keep(())
        elif kind == TUPLE:
            self._kids(into, node[1])
            into.default = self._keep(())
        elif kind == EACH:
            self._names_of_each(into, node)
        elif kind == ORDINAL:
            into.slot = node[1]
        elif kind == GIVEN:
            into.n = node[1]
        else:
            into.object = self._keep(node[1])
            into.n = node[2]

    cdef _names_of_each(self, Node* into, tuple node):
        cdef Names name
        into.group = <Group*>calloc(1, sizeof(Group))
        if into.group == NULL:
            raise MemoryError
        self._names(&name, (node[1],))
        into.group.name = name.name[0]
        self._names(&into.group.followers, node[2])
        self._names(&into.group.inherits, node[3])
        self._names(&into.group.slots, node[4])
        self._kids(into, (node[5],))
        into.default = self._keep(())


cdef void _release(Node* node) noexcept:
    cdef int i
    if node.kids != NULL:
        for i in range(node.n):
            _release(&node.kids[i])
    free(node.kids)
    free(node.group)
