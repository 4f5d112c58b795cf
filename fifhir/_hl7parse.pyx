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
from libc.stdint cimport uint32_t, uint64_t
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
    PyObject* PyBytes_New "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size)
    int _PyBytes_Resize(PyObject** data, Py_ssize_t size)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    void Py_XDECREF(PyObject* object)

cdef extern from *:
    """
    #include <stdint.h>
    /* What 64 bytes hold, a bit each: `stops` are delimiters, CR and LF, among them the line
       `ends` and the `fields` delimiters; `special` is what text may not hold unchanged (escape
       delimiters, quotes, backslashes, control characters); `high` is what is not ASCII. */
    typedef struct { uint64_t stops, ends, fields, special, high; } fifhir_block;
    #if defined(__SSE2__)
    #include <emmintrin.h>
    typedef struct { __m128i field, component, repetition, escape, subcomponent; } fifhir_wanted;
    #define FIFHIR_ALL(c) _mm_set1_epi8((char)(c))
    #define FIFHIR_IS(c) _mm_cmpeq_epi8(block, c)
    #define FIFHIR_OR(a, b) _mm_or_si128(a, b)
    #define FIFHIR_MASK(m) ((uint64_t)(uint32_t)_mm_movemask_epi8(m) << shift)
    static inline fifhir_wanted fifhir_want(const unsigned char *d) {
        fifhir_wanted w = {FIFHIR_ALL(d[0]), FIFHIR_ALL(d[1]), FIFHIR_ALL(d[2]),
                           FIFHIR_ALL(d[3]), FIFHIR_ALL(d[4])};
        return w;
    }
    static inline fifhir_block fifhir_look(const unsigned char *at, const fifhir_wanted *w) {
        fifhir_block found = {0, 0, 0, 0, 0};
        for (int shift = 0; shift < 64; shift += 16) {
            __m128i block = _mm_loadu_si128((const __m128i *)(at + shift));
            __m128i ends = FIFHIR_OR(FIFHIR_IS(FIFHIR_ALL(13)), FIFHIR_IS(FIFHIR_ALL(10)));
            __m128i fields = FIFHIR_IS(w->field);
            __m128i outer = FIFHIR_OR(fields, FIFHIR_IS(w->component));
            __m128i inner = FIFHIR_OR(FIFHIR_IS(w->repetition), FIFHIR_IS(w->subcomponent));
            __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, FIFHIR_ALL(31)), block);
            __m128i quotes = FIFHIR_OR(FIFHIR_IS(FIFHIR_ALL(34)), FIFHIR_IS(FIFHIR_ALL(92)));
            __m128i special = FIFHIR_OR(FIFHIR_IS(w->escape), _mm_andnot_si128(ends, control));
            found.ends |= FIFHIR_MASK(ends);
            found.fields |= FIFHIR_MASK(fields);
            found.special |= FIFHIR_MASK(FIFHIR_OR(special, quotes));
            found.high |= FIFHIR_MASK(block);
            found.stops |= FIFHIR_MASK(FIFHIR_OR(ends, FIFHIR_OR(outer, inner)));
        }
        return found;
    }
    #else
    typedef const unsigned char *fifhir_wanted;
    static inline fifhir_wanted fifhir_want(const unsigned char *d) { return d; }
    static inline fifhir_block fifhir_look(const unsigned char *at, const fifhir_wanted *w) {
        fifhir_block found = {0, 0, 0, 0, 0};
        const unsigned char *d = *w;
        for (int i = 0; i < 64; i++) {
            unsigned char c = at[i];
            uint64_t bit = (uint64_t)1 << i;
            int end = c == 13 || c == 10;
            if (end) found.ends |= bit;
            if (c == d[0]) found.fields |= bit;
            if (end || c == d[0] || c == d[1] || c == d[2] || c == d[4]) found.stops |= bit;
            if (c == d[3] || c == 34 || c == 92 || (c < 32 && !end)) found.special |= bit;
            if (c > 127) found.high |= bit;
        }
        return found;
    }
    #endif
    static inline int fifhir_lowest(uint64_t mask) { return __builtin_ctzll(mask); }
    static inline int fifhir_failed(void) { return -1; }
    """
    ctypedef struct fifhir_block:
        uint64_t stops, ends, fields, special, high
    ctypedef struct fifhir_wanted:
        pass
    fifhir_wanted fifhir_want(const unsigned char* delimiters) nogil
    fifhir_block fifhir_look(const unsigned char* at, const fifhir_wanted* wanted) nogil
    int fifhir_lowest(uint64_t mask) nogil
    int fifhir_failed() except -1  # raises what is already set

ctypedef const unsigned char* Bytes
cdef const char* _HEX = b"0123456789abcdef"

cdef enum:
    CUTS = 32     # components of a repetition whose places are kept; later ones are searched
    SLOTS = 16    # segments one frame may name, followers and inherited ones of one `each`
    WIDTH = 64    # fields a struct may have
    BLOCK = 64    # bytes the scan looks at together
    SHORT = 16    # bytes that are copied without asking how many
    UNHURRIED = 65536  # bytes from which on a scan lets other threads run meanwhile

cdef struct Segment:
    Py_ssize_t start      # its first byte
    Py_ssize_t end        # behind its last byte
    Py_ssize_t first      # its name's place among the fields
    Py_ssize_t count      # its fields, the name counted
    uint32_t name         # its name, if that has three letters
    bint header           # MSH, BHS, FHS: field 1 is the delimiter itself

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
    bint ascii, hexed, shifts

MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes
FIELD_LIMIT = 1_000_000  # delimiters, escapes and line ends
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


cdef int _grow(Table* t, void** array, Py_ssize_t* room, size_t size) noexcept nogil:
    """Double the room of an array; 1 if there is no memory, 2 if it holds too much already."""
    cdef bint own = not _is_in_arena(t, array[0])
    cdef void* grown
    if room[0] > 2 * _FIELD_LIMIT:
        return 2
    grown = realloc(array[0] if own else NULL, 2 * room[0] * size)
    if grown == NULL:
        return 1
    if not own:
        memcpy(grown, array[0], room[0] * size)
    array[0], room[0] = grown, 2 * room[0]
    return 0


cdef inline bint _is_in_arena(Table* t, void* array) noexcept nogil:
    return t.arena <= <char*>array < t.arena_end


cdef int _furnish(Table* t) noexcept nogil:
    """Room for what a message of this size usually holds, in one piece; 1 if there is none."""
    cdef size_t size
    t.fits, t.stays = min(max(t.size // 8, 64), 4096), min(max(t.size // 4, 128), 4096)
    t.room = min(max(t.size // 32, 16), 1024)
    size = t.room * sizeof(Segment) + (t.fits + t.stays) * sizeof(Py_ssize_t)
    t.arena = <char*>malloc(size)
    if t.arena == NULL:
        return 1
    t.arena_end = t.arena + size
    t.segments = <Segment*>t.arena
    t.stops = <Py_ssize_t*>(t.arena + t.room * sizeof(Segment))
    t.fields = t.stops + t.stays
    return 0


cdef inline int _make_room(Table* t) noexcept nogil:
    """Room for all that one block can hold."""
    cdef int fault = 0
    if t.used + BLOCK >= t.fits:
        fault = _grow(t, <void**>&t.fields, &t.fits, sizeof(Py_ssize_t))
    if t.stopped + BLOCK >= t.stays and not fault:
        fault = _grow(t, <void**>&t.stops, &t.stays, sizeof(Py_ssize_t))
    return fault


cdef int _end(Table* t, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Note that the segment whose name is field `first` ends; drop it if it is blank."""
    cdef Segment* s
    cdef int fault
    cdef Py_ssize_t start = t.stops[t.fields[first]] + 1
    if _is_blank(t.base + start, t.base + end):
        t.used = first
        return 0
    if t.count == t.room:
        fault = _grow(t, <void**>&t.segments, &t.room, sizeof(Segment))
        if fault:
            return fault
    s = &t.segments[t.count]
    s.start, s.end, s.first, s.count = start, end, first, t.used - first
    s.name = _packed(t.base + start, (t.stops[t.fields[first + 1]] if s.count > 1 else end) - start)
    s.header = s.name == MSH or s.name == BHS or s.name == FHS
    t.odd += not (s.name and _is_name(t.base + start))
    t.count += 1
    return 0


cdef inline int _note(
    Table* t, Py_ssize_t* first, Py_ssize_t at, const fifhir_block* found
) noexcept nogil:
    """Note the delimiters and line ends of a block; `first` is the name of its segment."""
    cdef Py_ssize_t* fields = t.fields
    cdef Py_ssize_t* stops = t.stops
    cdef Py_ssize_t used = t.used, stopped = t.stopped
    cdef uint64_t left = found.stops
    cdef int fault, bit
    while left:
        bit = fifhir_lowest(left)
        left &= left - 1
        stops[stopped] = at + bit
        if found.ends >> bit & 1:
            t.used = used
            fault = _end(t, first[0], at + bit)
            if fault:
                return fault
            first[0] = used = t.used
        fields[used] = stopped  # written each time, counted where a field begins: no branch
        used += (found.fields | found.ends) >> bit & 1
        stopped += 1
    t.used, t.stopped = used, stopped
    return 0


cdef Py_ssize_t _escapes(Table* t, Py_ssize_t at, uint64_t special, Py_ssize_t size) noexcept nogil:
    """How many escapes a block holds; noted are hexadecimal ones, and shifts (ESC)."""
    cdef Py_ssize_t place, escapes = 0
    t.special = min(t.special, at)
    t.special_end = at + BLOCK
    while special:
        place = at + fifhir_lowest(special)
        special &= special - 1
        if t.base[place] == t.escape:
            escapes += 1
            t.hexed = t.hexed or (place + 1 < size and t.base[place + 1] == 88)
        elif t.base[place] == 27:
            t.shifts = True
    return escapes


cdef int _scan(Table* t, const unsigned char* delimiters, Py_ssize_t size) noexcept nogil:
    """Fill the table from `size` bytes that begin with MSH; 0, or a fault of `_grow`."""
    cdef Py_ssize_t at = 4, first = 0, escapes = 0
    cdef fifhir_wanted wanted = fifhir_want(delimiters)
    cdef fifhir_block found
    cdef uint64_t high = 0
    cdef unsigned char tail[BLOCK]
    cdef int fault, i
    if _furnish(t):
        return 1
    t.fields[0], t.fields[1], t.used = 0, 1, 2
    t.stops[0], t.stops[1], t.stopped = -1, 3, 2
    t.special, t.special_end = size, 0
    while at < size and t.base[at] != t.field and t.base[at] != 13 and t.base[at] != 10:
        high |= t.base[at] >> 7  # MSH-2 holds every delimiter; it says nothing of the others' use
        at += 1
    t.opened = at
    while at < size:
        if size - at >= BLOCK:
            found = fifhir_look(t.base + at, &wanted)
        else:
            memcpy(tail, t.base + at, size - at)
            for i in range(size - at, BLOCK):
                tail[i] = 32
            found = fifhir_look(tail, &wanted)
        high |= found.high
        if found.special:
            escapes += _escapes(t, at, found.special, size)
        if found.stops:
            fault = _make_room(t)
            if not fault:
                fault = _note(t, &first, at, &found)
            if fault:
                return fault
        at += BLOCK
    t.ascii = not high and not t.shifts
    fault = _end(t, first, size)
    t.stops[t.stopped] = size
    return fault if fault else 2 if t.stopped - 2 + escapes > _FIELD_LIMIT else 0


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
    at[0] = t.base + t.stops[t.fields[s.first + n]] + 1
    end[0] = t.base + (t.stops[t.fields[s.first + n + 1]] if n + 1 < s.count else s.end)
    return at[0] < end[0]


cdef inline Py_ssize_t _first_stop(Table* t, Segment* s, Py_ssize_t n) noexcept nogil:
    """Which stop comes first behind the beginning of a field that `_field` found."""
    return t.fields[s.first + n - s.header] + 1


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

    cdef bytes data                 # the message, what ends it perhaps behind it
    cdef bytes trimmed              # the message alone, once it has been asked for
    cdef readonly bytes delimiters
    cdef public object charset
    cdef public tuple liberties
    cdef Table table

    def __init__(self, bytes data not None, bytes delimiters not None=b""):
        cdef Table* t = &self.table
        cdef int fault
        if t.fields != NULL:
            raise TypeError("a message is read-only")
        if PyBytes_GET_SIZE(data) > _MESSAGE_LIMIT:
            raise _refused("message_too_large", "message is larger than the limit")
        self.charset = "utf-8"
        self.liberties = ()
        self.data = _begun(data)
        t.base = <Bytes>PyBytes_AS_STRING(self.data)
        t.size = _trimmed(t.base, PyBytes_GET_SIZE(self.data))
        self.delimiters = _delimiters(t.base, t.size, delimiters)
        cdef Bytes found = <Bytes>PyBytes_AS_STRING(self.delimiters)
        t.field, t.component, t.repetition = found[0], found[1], found[2]
        t.escape, t.subcomponent = found[3], found[4]
        if t.size < UNHURRIED:
            fault = _scan(t, found, t.size)
        else:
            with nogil:
                fault = _scan(t, found, t.size)
        if fault == 1:
            raise MemoryError
        if fault == 2 or not t.ascii:
            _check_utf8(self.raw)
        if fault == 2:
            raise _refused("too_many_fields", "message has more delimiters than the limit")

    def __dealloc__(self):
        cdef Table* t = &self.table
        if not _is_in_arena(t, t.segments):
            free(t.segments)
        if not _is_in_arena(t, t.fields):
            free(t.fields)
        if not _is_in_arena(t, t.stops):
            free(t.stops)
        free(t.arena)

    def __len__(self):
        return self.table.count

    @property
    def raw(self):
        if self.trimmed is None:
            if self.table.size == PyBytes_GET_SIZE(self.data):
                self.trimmed = self.data
            else:
                self.trimmed = self.data[:self.table.size]
        return self.trimmed

    @property
    def odd(self):
        return self.table.odd

    @property
    def ascii(self):
        return self.table.ascii

    @property
    def hexed(self):
        return self.table.hexed

    @property
    def plain(self):
        return self.table.special_end == 0

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

    @property
    def offset(self):
        cdef Bytes at, end
        cdef PyObject* known
        self._cut(&at, &end, 0, 7, 1, 1, 1)
        if end - at <= 14 or ((end - 5)[0] != 43 and (end - 5)[0] != 45):
            return ""
        tail = PyBytes_FromStringAndSize(<const char*>end - 5, 5)
        known = PyDict_GetItemWithError(_offsets, tail)
        if known != NULL:
            return <object>known
        if len(_offsets) >= 4096:
            _offsets.clear()
        return _offsets.setdefault(tail, dtm.offset(tail.decode()))

    def census(self, tuple names not None):
        cdef bytes name
        return tuple([self._tally(name) for name in names])

    cdef Py_ssize_t _tally(self, bytes name):
        cdef Bytes at, end
        cdef Py_ssize_t n, found = 0, size = PyBytes_GET_SIZE(name)
        for n in range(self.table.count):
            _field(&self.table, &self.table.segments[n], 0, &at, &end)
            found += end - at == size and memcmp(at, PyBytes_AS_STRING(name), size) == 0
        return found

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
    if end - t.base > t.special and at - t.base < t.special_end:
        return _unescaped(t, <Tokens>tokens, at, size)
    return _plain(t, at, size)


cdef object _unescaped(Table* t, Tokens tokens, Bytes at, Py_ssize_t size):
    if memchr(at, t.escape, size) == NULL:
        return _plain(t, at, size)
    raw = PyBytes_FromStringAndSize(<const char*>at, size)
    return escape.decode(raw, tokens.delimiters, tokens.charset)


def uuid_text(bytes digest not None):
    cdef Bytes at = <Bytes>PyBytes_AS_STRING(digest)
    cdef unsigned char out[36]
    cdef int i, n = 0
    if PyBytes_GET_SIZE(digest) < 16:
        raise ValueError("a UUID needs 16 bytes")
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            out[n] = 45
            n += 1
        out[n], out[n + 1] = _HEX[at[i] >> 4], _HEX[at[i] & 15]
        n += 2
    out[14], out[19] = 56, _HEX[8 | at[8] >> 4 & 3]
    return _ascii(<const char*>out, 36)


cdef class _Place:
    """A path, ready to be looked up; what it leaves open is the first."""

    cdef uint32_t name
    cdef Py_ssize_t occurrence, field, repetition, component, subcomponent


cdef dict _places = {}
cdef dict _offsets = {}


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


cdef inline bint _is_one_of(unsigned char octet, bytes octets):
    return memchr(PyBytes_AS_STRING(octets), octet, PyBytes_GET_SIZE(octets)) != NULL


cdef bytes _begun(bytes data):
    """The bytes from the message's first on."""
    cdef Bytes start = <Bytes>PyBytes_AS_STRING(data), at = start
    cdef Bytes end = at + PyBytes_GET_SIZE(data)
    while at < end and _is_one_of(at[0], _BEFORE):
        at += 1
    return data if at == start else PyBytes_FromStringAndSize(<const char*>at, end - at)


cdef Py_ssize_t _trimmed(Bytes base, Py_ssize_t size):
    """How long the message is without what may stand behind it."""
    while size and _is_one_of(base[size - 1], _AFTER):
        size -= 1
    return size


cdef bytes _delimiters(Bytes at, Py_ssize_t size, bytes believed):
    cdef Py_ssize_t end = 4
    if size > 8 and not believed and memcmp(at, b"MSH|^~\\&|", 9) == 0:
        return _STANDARD
    if size < 3 or memcmp(at, b"MSH", 3) != 0:
        raise _refused("no_msh", "message does not begin with an MSH segment")
    if size < 8:
        raise _refused("short_msh", "MSH segment ends before its delimiters")
    while end < size and at[end] != at[3] and at[end] != 13 and at[end] != 10:
        end += 1
    sent = PyBytes_FromStringAndSize(<const char*>at + 3, end - 3)
    cdef bytes found = sent[:1] + (believed[1:] or sent[1:])
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
    TEXT, WHOLE, LINES, DATE, TIME, INSTANT, MAP, JOIN, GUARD, FIRST, PICK, MUST, STRUCT, REPEAT
    TUPLE, EACH, HEAD, ORDINAL, ANY, GIVEN

cdef dict _KINDS = {
    "text": TEXT, "whole": WHOLE, "lines": LINES, "date": DATE, "time": TIME, "instant": INSTANT,
    "map": MAP, "join": JOIN, "guard": GUARD, "first": FIRST, "pick": PICK, "must": MUST,
    "struct": STRUCT, "repeat": REPEAT, "tuple": TUPLE, "each": EACH, "head": HEAD,
    "ordinal": ORDINAL, "any": ANY, "given": GIVEN,
}
cdef tuple _DATED = (dtm.date, dtm.time, dtm.instant)

cdef struct Names:
    uint32_t name[SLOTS]
    int n

cdef struct Group:      # what an `each` or `head` gathers, or where an `any` looks
    uint32_t name       # the segment an item begins with
    Names followers, inherits, slots

cdef struct Chars:
    const char* at
    Py_ssize_t size

cdef struct Entry:      # of a code map: what is sent, and what it means as JSON
    Chars sent, meant

cdef struct Node:       # small: a plan is walked once a message and should stay in the cache
    short kind, slot, component, subcomponent
    int field
    short n             # how many kids or entries; which argument
    short least         # how many fields a struct cannot be made without
    short base          # a placed struct: after which component its own begin
    bint placed         # a struct that stands at an address of its own
    Node* kids
    Group* group
    Entry* entries
    PyObject* object    # type, table, marks or wanted bytes
    PyObject* default
    Chars key           # `"name":`, as a field of its struct, padded to a block
    short key_room
    Chars absent        # the default as JSON; empty if the field is left out then
    Chars opening       # a struct: `{`, its tag behind it

cdef struct Frame:
    Py_ssize_t* slots
    Py_ssize_t start, stop      # its segments
    Bytes value, value_end      # the repetition at hand, and the first stop in it
    Py_ssize_t value_stop
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
    Chars suffix            # the zone, if it is the same at all times
    PyObject* out           # the JSON written so far: a bytes object with room to spare
    Py_ssize_t used, room
    const char* limit       # behind the message's last byte


cdef void _split(Table* t, Frame* f, Py_ssize_t ahead, Bytes at, Bytes end) noexcept nogil:
    """Cut the first repetition of what lies before `end` into components."""
    cdef Bytes place
    cdef unsigned char found
    f.cuts[0], f.heads[0], f.end, f.n = at, NULL, end, 1
    while ahead < t.stopped:
        place = t.base + t.stops[ahead]
        if place >= end:
            break
        ahead += 1
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
    cdef Py_ssize_t ahead = f.value_stop
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
            _split(r.table, f, r.table.stopped, at, end)
            return node.component <= 1 and node.subcomponent <= 1
        f.cut_field = node.field
        ahead = _first_stop(r.table, s, node.field)
    _split(r.table, f, ahead, at, end)
    return True


cdef inline bint _locate(Run* r, Frame* f, Node* node, Bytes* at, Bytes* end) noexcept nogil:
    """Whether there are bytes at a node's address, and where."""
    cdef int n = node.component - 1
    if f.cut_field != node.field or f.cut_slot != node.slot:
        if not _open(r, f, node):
            return False
    if node.field == 0:
        n += f.base
    if node.subcomponent == 1 and n >= 0:
        if n < f.n:
            at[0], end[0] = f.cuts[n], f.heads[n]
            return at[0] < end[0]
        if f.n < CUTS:
            return False
    return _locate_rarely(r.table, f, node, n, at, end)


cdef bint _locate_rarely(
    Table* t, Frame* f, Node* node, int n, Bytes* at, Bytes* end
) noexcept nogil:
    """The same for undivided values, later subcomponents and far components."""
    at[0], end[0] = f.cuts[0], f.end
    if node.component and f.cut_field >= 0:  # not the delimiters themselves
        at[0] = f.cuts[min(n, f.n - 1)]
        _part(at, end, t.component, max(n - f.n + 1, 0) + 1)
        _part(at, end, t.subcomponent, node.subcomponent)
    return at[0] < end[0]


cdef inline bint _locate_whole(Run* r, Frame* f, Node* node, Bytes* at, Bytes* end) noexcept nogil:
    if f.slots[node.slot] < 0:
        return False
    return _field(r.table, &r.table.segments[f.slots[node.slot]], node.field, at, end)


cdef inline void _enter(
    Frame* inner, Frame* f, Py_ssize_t ahead, Bytes at, Bytes end
) noexcept nogil:
    """A frame in the same segments, whose repetition at hand is this one."""
    inner.slots, inner.start, inner.stop = f.slots, f.start, f.stop
    inner.value, inner.value_end, inner.value_stop = at, end, ahead
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
    elif kind == PICK:
        return _pick(r, f, node)
    elif kind == MAP:
        return _mapped(r, f, node)
    elif kind == GUARD:
        return _value(r, f, node.kids) if _is_wanted(r, f, node) else <object>node.default
    elif kind == REPEAT:
        return _repeat(r, f, node)
    elif kind == TUPLE:
        return _tuple(r, f, node)
    elif kind == EACH:
        return _each(r, f, node)
    elif kind == HEAD:
        return _head(r, f, node)
    elif kind == WHOLE:
        return _whole(r, f, node)
    elif kind == LINES:
        return _lines(r, f, node)
    elif kind == JOIN:
        return _joined(r, f, node)
    elif kind == ANY:
        return _any(r, f, node)
    elif kind == GIVEN:
        return (<tuple>r.given)[node.n]
    elif kind == ORDINAL:
        return _ordinal(r, f, node)
    return _must(r, f, node)


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


cdef object _must(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    found = _value(r, f, node.kids)
    if r.valued == before:
        (<list>r.unread).append((-1, 0))
    return found


cdef bint _is_wanted(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    cdef bytes wanted
    if not _locate(r, f, node, &at, &end):
        at = end = r.table.base
    for wanted in <tuple>node.object:
        if end - at == PyBytes_GET_SIZE(wanted):
            if memcmp(at, PyBytes_AS_STRING(wanted), end - at) == 0:
                return True
    return False


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


cdef bint _enter_field(Run* r, Frame* f, Node* node, Frame* inner) noexcept nogil:
    """Enter the first repetition of the field a struct stands at, if it is not empty."""
    _enter(inner, f, 0, NULL, NULL)
    if not _open(r, inner, node) or inner.cuts[0] == inner.end:
        return False
    inner.value, inner.value_end = inner.cuts[0], inner.end
    inner.cut_slot, inner.cut_field = 0, 0
    inner.value_stop = _first_stop(r.table, &r.table.segments[f.slots[node.slot]], node.field)
    return True


cdef object _struct(Run* r, Frame* f, Node* node):
    cdef Frame inner
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
    return _fields(r, &inner, node) if _enter_field(r, f, node, &inner) else <object>node.default


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
        return PyObject_Vectorcall(<object>node.object, values, used, NULL)
    finally:
        for i in range(made):
            Py_DECREF(<object>values[i])


cdef struct Walk:       # over the repetitions of a field
    Bytes at, end
    Py_ssize_t ahead


cdef bint _walk(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil:
    """Whether the field of a node's address has repetitions to walk over."""
    if not _locate_whole(r, f, node, &w.at, &w.end):
        return False
    w.ahead = _first_stop(r.table, &r.table.segments[f.slots[node.slot]], node.field)
    return True


cdef bint _step(Table* t, Frame* f, Walk* w, Frame* inner) noexcept nogil:
    """Enter the next repetition that is not empty; False behind the last."""
    while w.at <= w.end:
        _enter(inner, f, w.ahead, w.at, w.end)
        _split(t, inner, w.ahead, w.at, w.end)
        inner.value_end, inner.cut_slot, inner.cut_field = inner.end, 0, 0
        while w.ahead < t.stopped and t.base + t.stops[w.ahead] <= inner.end:
            w.ahead += 1
        w.at = inner.end + 1
        if inner.value < inner.value_end:
            return True
    return False


cdef object _repeat(Run* r, Frame* f, Node* node):
    cdef Walk w
    cdef Frame inner
    cdef Py_ssize_t before
    items = None
    if not _walk(r, f, node, &w):
        return ()
    while _step(r.table, f, &w, &inner):
        before = r.valued
        value = _value(r, &inner, node.kids)
        if r.valued == before:
            continue
        if w.at > w.end and items is None:
            return (value,)
        if items is None:
            items = []
        (<list>items).append(value)
    return () if items is None else tuple(<list>items)


cdef object _pick(Run* r, Frame* f, Node* node):
    cdef Walk w
    cdef Frame inner
    cdef Py_ssize_t before = r.valued
    if _walk(r, f, node, &w):
        while _step(r.table, f, &w, &inner):
            value = _value(r, &inner, node.kids)
            if r.valued > before:
                return value
    return <object>node.default


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


cdef struct Tour:       # over the segments an `each` gathers
    Py_ssize_t at
    Py_ssize_t seen[SLOTS]
    Py_ssize_t slots[SLOTS]


cdef bint _next(Run* r, Frame* f, Group* g, Tour* tour, Frame* inner) noexcept nogil:
    """Enter the frame of the next item; False behind the last. A tour begins `at` -1."""
    cdef Segment* segments = r.table.segments
    cdef int i
    if tour.at < 0:
        tour.at = f.start - 1
        for i in range(g.inherits.n):
            tour.seen[i] = -1
    while tour.at + 1 < f.stop:
        tour.at += 1
        for i in range(g.inherits.n):
            if segments[tour.at].name == g.inherits.name[i]:
                tour.seen[i] = tour.at
        if segments[tour.at].name == g.name:
            break
    else:
        return False
    _enter(inner, f, 0, NULL, NULL)
    inner.slots, inner.start, inner.stop = tour.slots, tour.at + 1, tour.at + 1
    while inner.stop < f.stop and _is_in(&g.followers, segments[inner.stop].name):
        inner.stop += 1
    for i in range(g.slots.n):
        tour.slots[i] = _place(segments, inner, g, tour.seen, g.slots.name[i])
    return True


cdef object _each(Run* r, Frame* f, Node* node):
    cdef Tour tour
    cdef Frame inner
    cdef Py_ssize_t n = 0, made = 0, at
    for at in range(f.start, f.stop):
        n += r.table.segments[at].name == node.group.name
    if n == 0:
        return ()
    items = PyTuple_New(n)
    tour.at = -1
    while _next(r, f, node.group, &tour, &inner):
        value = _value(r, &inner, node.kids)
        Py_INCREF(value)
        PyTuple_SET_ITEM(items, made, value)
        made += 1
    return items


cdef object _head(Run* r, Frame* f, Node* node):
    cdef Tour tour
    cdef Frame inner
    tour.at = -1
    if _next(r, f, node.group, &tour, &inner):
        return _value(r, &inner, node.kids)
    return <object>node.default


cdef bint _any(Run* r, Frame* f, Node* node) noexcept:
    """Whether a word of such a field is wanted, in whatever case."""
    cdef Bytes at, end, stop
    cdef Py_ssize_t i
    for i in range(f.start, f.stop):
        if r.table.segments[i].name != node.group.name:
            continue
        _field(r.table, &r.table.segments[i], node.field, &at, &end)
        while at < end:
            stop = at
            while stop < end and not _parts_words(r.table, stop[0]):
                stop += 1
            if stop > at and _is_word(node, at, stop - at):
                return True
            at = stop + 1
    return False


cdef inline bint _parts_words(Table* t, unsigned char c) noexcept nogil:
    return c == t.component or c == t.repetition or c == t.subcomponent or c == 32


cdef bint _is_word(Node* node, Bytes at, Py_ssize_t size) noexcept nogil:
    cdef Chars word
    cdef Py_ssize_t i, j
    for i in range(node.n):
        word = node.entries[i].sent
        j = 0
        while word.size == size and j < size and _upper(at[j]) == <unsigned char>word.at[j]:
            j += 1
        if j == size:
            return True
    return False


cdef inline unsigned char _upper(unsigned char c) noexcept nogil:
    return c & 0xDF if 97 <= c <= 122 else c


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
    cdef char plain[48]
    cdef Py_ssize_t size
    if not _locate(r, f, node, &at, &end):
        return <object>node.default
    size = _plain_date(r, node.kind, at, end - at, plain)
    if size:
        r.valued += 1
        return _ascii(plain, size)
    return _rare_date(r, f, node, at, end)


cdef object _rare_date(Run* r, Frame* f, Node* node, Bytes at, Bytes end):
    text = _decoded(r.table, r.tokens, at, end)
    if text is not None:
        text = _DATED[node.kind - DATE](text, <object>r.zone)
        if text is None:
            (<list>r.unread).append((f.slots[node.slot], node.field))
            return <object>node.default
    r.valued += 1
    return text


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


cdef Py_ssize_t _plain_date(
    Run* r, int kind, Bytes at, Py_ssize_t size, char* out
) noexcept nogil:
    """Write YYYYMMDD[HHMM[SS[.F]]][+ZZZZ] as ISO 8601; 0 for rarer forms, which `dtm` reads."""
    cdef Py_ssize_t digits = _digits(at, size), fraction = 0, n = 19
    cdef int minutes
    if not _is_moment(at, digits):
        return 0
    if digits == 14 and size > 14 and at[14] == 46:
        fraction = _digits(at + 15, size - 15) + 1
        if not 2 <= fraction <= 10:
            return 0
    size -= digits + fraction
    if size and (size != 5 or digits == 8 or _digits(at + digits + fraction + 1, 4) != 4):
        return 0
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
            return 0
        if at[fraction] != 43 and at[fraction] != 45:
            return 0
    if kind == DATE or (kind == TIME and digits == 8):
        return 10
    memcpy(out + n, at, fraction)
    n += fraction
    if size:
        memcpy(out + n, at + fraction, 3)
        out[n + 3] = 58
        memcpy(out + n + 4, at + fraction + 3, 2)
        return n + 6
    if r.suffix.size == 0:
        return 0
    memcpy(out + n, r.suffix.at, r.suffix.size)
    return n + r.suffix.size


cdef inline object _ascii(const char* at, Py_ssize_t size):
    text = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), at, size)
    return text


# The same plans, written as JSON: no object is made on the way. A writer returns 1 if it wrote a
# value, 0 if there is none, having written nothing.

cdef int _reserve(Run* r, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = max(2 * r.room, r.used + more)
    if r.used + more > r.room:
        if _PyBytes_Resize(&r.out, room) < 0:
            r.out = NULL
            return fifhir_failed()
        r.room = room
    return 0


cdef inline char* _here(Run* r) noexcept:
    return PyBytes_AS_STRING(<object>r.out) + r.used


cdef inline void _copy(char* out, const char* at, Py_ssize_t size, const char* limit) noexcept:
    """Copy `size` bytes; short ones as a whole block, where the source has one before `limit`."""
    if size <= SHORT and limit - at >= SHORT:
        memcpy(out, at, SHORT)
    else:
        memcpy(out, at, size)


cdef inline int _put(Run* r, const char* at, Py_ssize_t size) except -1:
    if r.used + size > r.room:
        _reserve(r, size)
    memcpy(_here(r), at, size)
    r.used += size
    return 1


cdef inline int _put_key(Run* r, Node* kid) except -1:
    if r.used + kid.key.size + SHORT > r.room:
        _reserve(r, kid.key.size + SHORT)
    _copy(_here(r), kid.key.at, kid.key.size, kid.key.at + kid.key_room)
    r.used += kid.key.size
    return 1


cdef int _put_escaped(Run* r, Bytes at, Py_ssize_t size) except -1:
    """A JSON string (RFC 8259, 7) of UTF-8 bytes."""
    cdef char* out
    cdef char* begin
    cdef Py_ssize_t i
    _reserve(r, 6 * size + 2)
    begin = out = _here(r)
    out[0] = 34
    out += 1
    for i in range(size):
        if at[i] >= 32 and at[i] != 34 and at[i] != 92:
            out[0] = at[i]
            out += 1
        elif _LETTERS[at[i]]:
            out[0], out[1] = 92, _LETTERS[at[i]]
            out += 2
        else:
            memcpy(out, b"\\u00", 4)
            out[4], out[5] = _HEX[at[i] >> 4], _HEX[at[i] & 15]
            out += 6
    out[0] = 34
    r.used += out + 1 - begin
    return 1


cdef unsigned char _LETTERS[128]
for _plain_octet, _letter in zip(b'"\\\b\f\n\r\t', b'"\\bfnrt'):
    _LETTERS[_plain_octet] = _letter


cdef int _put_object(Run* r, object text) except -1:
    """A str or None that has been made already; an empty one counts as absent."""
    cdef Py_ssize_t size
    cdef const char* at
    if text is None:
        return _put(r, b"null", 4)
    at = PyUnicode_AsUTF8AndSize(text, &size)
    return _put_escaped(r, <Bytes>at, size) if size else 0


cdef inline int _put_text(Run* r, Bytes at, Bytes end) except -1:
    cdef Table* t = r.table
    cdef Py_ssize_t size = end - at
    cdef char* out
    if at - t.base < t.opened or (end - t.base > t.special and at - t.base < t.special_end):
        if memchr(at, t.escape, size) != NULL or (size == 2 and at[0] == 34 and at[1] == 34):
            return _put_object(r, _decoded(t, r.tokens, at, end))
        return _put_escaped(r, at, size)
    if r.used + size + 2 + SHORT > r.room:
        _reserve(r, size + 2 + SHORT)
    out = _here(r)
    out[0] = 34
    _copy(out + 1, <const char*>at, size, r.limit)
    out[size + 1] = 34
    r.used += size + 2
    return 1


cdef int _write(Run* r, Frame* f, Node* node) except -1:
    cdef int kind = node.kind
    cdef Bytes at, end
    if kind == TEXT or kind == WHOLE:
        if not (_locate if kind == TEXT else _locate_whole)(r, f, node, &at, &end):
            return 0
        r.valued += 1
        return _put_text(r, at, end)
    elif kind == DATE or kind == TIME or kind == INSTANT:
        return _write_date(r, f, node)
    elif kind == STRUCT:
        return _write_struct(r, f, node)
    elif kind == FIRST:
        return _write_first(r, f, node)
    elif kind == PICK:
        return _write_pick(r, f, node)
    elif kind == MAP:
        return _write_mapped(r, f, node)
    elif kind == GUARD:
        return _write(r, f, node.kids) if _is_wanted(r, f, node) else 0
    elif kind == REPEAT or kind == TUPLE or kind == EACH:
        return _write_array(r, f, node)
    elif kind == HEAD:
        return _write_head(r, f, node)
    elif kind == ANY:
        return _put(r, b"true", 4) if _any(r, f, node) else _put(r, b"false", 5)
    elif kind == ORDINAL:
        return _write_ordinal(r, f, node)
    elif kind == MUST:
        return _write_must(r, f, node)
    elif kind == JOIN:
        return _write_joined(r, f, node)
    return _put_object(r, _value(r, f, node))


cdef int _write_date(Run* r, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    cdef char plain[48]
    cdef Py_ssize_t size
    if not _locate(r, f, node, &at, &end):
        return 0
    size = _plain_date(r, node.kind, at, end - at, plain + 1)
    if size == 0:
        found = _rare_date(r, f, node, at, end)
        return _put_object(r, found)
    r.valued += 1
    plain[0] = plain[size + 1] = 34
    return _put(r, plain, size + 2)


cdef int _write_joined(Run* r, Frame* f, Node* node) except -1:
    cdef Table* t = r.table
    cdef Py_ssize_t before = r.valued, start = r.used
    cdef Bytes at, end
    cdef int i
    _put(r, b'"', 1)
    for i in range(node.n):
        if not _locate(r, f, &node.kids[i], &at, &end):
            continue
        if end - t.base > t.special and at - t.base < t.special_end:
            r.used, r.valued = start, before
            return _put_object(r, _joined(r, f, node))
        r.valued += 1
        if r.used > start + 1:
            _put(r, b" ", 1)
        _put(r, node.entries[i].sent.at, node.entries[i].sent.size)
        _put(r, <const char*>at, end - at)
    if r.used == start + 1:
        r.used = start
        return 0
    return _put(r, b'"', 1)


cdef int _write_first(Run* r, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = r.valued, start = r.used
    cdef int i, wrote
    for i in range(node.n):
        wrote = _write(r, f, &node.kids[i])
        if r.valued > before:
            return wrote
        r.used = start  # a default is no value
    return 0


cdef int _write_pick(Run* r, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = r.valued, start = r.used
    cdef Walk w
    cdef Frame inner
    cdef int wrote
    if _walk(r, f, node, &w):
        while _step(r.table, f, &w, &inner):
            wrote = _write(r, &inner, node.kids)
            if r.valued > before:
                return wrote
            r.used = start
    return 0


cdef int _write_must(Run* r, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = r.valued
    cdef int wrote = _write(r, f, node.kids)
    if r.valued == before:
        (<list>r.unread).append((-1, 0))
    return wrote


cdef int _write_mapped(Run* r, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    cdef Entry* entry
    cdef int i
    if not _locate(r, f, node, &at, &end):
        return _put(r, node.absent.at, node.absent.size) if node.absent.size > 2 else 0
    r.valued += 1
    for i in range(node.n):
        entry = &node.entries[i]
        if entry.sent.size == end - at and memcmp(entry.sent.at, at, end - at) == 0:
            return _put(r, entry.meant.at, entry.meant.size)
    return _put_text(r, at, end)


cdef int _write_struct(Run* r, Frame* f, Node* node) except -1:
    cdef Frame inner
    cdef int base = f.base, wrote
    if not node.placed:
        return _write_fields(r, f, node)
    if node.field == 0:
        if f.value == f.value_end:
            return 0
        f.base = node.base
        wrote = _write_fields(r, f, node)
        f.base = base
        return wrote
    return _write_fields(r, &inner, node) if _enter_field(r, f, node, &inner) else 0


cdef int _write_fields(Run* r, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = r.valued, start = r.used, at
    cdef Bytes text, end
    cdef Node* kid
    cdef int i, wrote
    _put(r, node.opening.at, node.opening.size)
    for i in range(node.n):
        kid = &node.kids[i]
        at = r.used
        if kid.kind == TEXT:
            if _locate(r, f, kid, &text, &end):
                r.valued += 1
                _put_key(r, kid)
                wrote = _put_text(r, text, end)
            elif kid.absent.size:
                _put_key(r, kid)
                wrote = 0
            else:
                continue
        else:
            _put_key(r, kid)
            wrote = _write(r, f, kid)
        if not wrote:
            if kid.absent.size == 0:
                r.used = at
                continue
            _put(r, kid.absent.at, kid.absent.size)
        _put(r, b",", 1)
    if r.valued == before and <object>node.default is not None:
        r.used = start
        return 0
    if (_here(r) - 1)[0] == 44:
        r.used -= 1
    return _put(r, b"}", 1)


cdef int _write_array(Run* r, Frame* f, Node* node) except -1:
    cdef Py_ssize_t start = r.used
    cdef Walk w
    cdef Tour tour
    cdef Frame inner
    cdef int i
    _put(r, b"[", 1)
    if node.kind == TUPLE:
        for i in range(node.n):
            _write_item(r, f, &node.kids[i], False)
    elif node.kind == REPEAT:
        if _walk(r, f, node, &w):
            while _step(r.table, f, &w, &inner):
                _write_item(r, &inner, node.kids, False)
    else:
        tour.at = -1
        while _next(r, f, node.group, &tour, &inner):
            _write_item(r, &inner, node.kids, True)
    if r.used == start + 1:
        r.used = start
        return 0
    r.used -= 1
    return _put(r, b"]", 1)


cdef int _write_item(Run* r, Frame* f, Node* node, bint always) except -1:
    cdef Py_ssize_t before = r.valued, start = r.used
    cdef int wrote = _write(r, f, node)
    if r.valued == before and not always:
        r.used = start
        return 0
    if not wrote:
        _put(r, b'""', 2)
    return _put(r, b",", 1)


cdef int _write_head(Run* r, Frame* f, Node* node) except -1:
    cdef Tour tour
    cdef Frame inner
    tour.at = -1
    return _write(r, &inner, node.kids) if _next(r, f, node.group, &tour, &inner) else 0


cdef int _write_ordinal(Run* r, Frame* f, Node* node) except -1:
    found = _ordinal(r, f, node)
    if found is <object>node.default:
        return 0
    digits = str(found).encode()
    return _put(r, PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))


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
        unread = []
        self._start(&run, &frame, slots, tokens, given, zone, unread)
        return _value(&run, &frame, self.root), unread

    def write(self, Tokens tokens not None, tuple given not None, zone not None):
        cdef Run run
        cdef Frame frame
        cdef Py_ssize_t slots[SLOTS]
        unread = []
        self._start(&run, &frame, slots, tokens, given, zone, unread)
        run.used, run.room = 0, 2 * tokens.table.size + 1024
        run.limit = <const char*>tokens.table.base + PyBytes_GET_SIZE(tokens.data)
        run.out = PyBytes_New(NULL, run.room)
        if run.out == NULL:
            raise MemoryError
        try:
            _write(&run, &frame, self.root)
            if _PyBytes_Resize(&run.out, run.used) < 0:
                run.out = NULL
                fifhir_failed()
            return <object>run.out, unread
        finally:
            Py_XDECREF(run.out)

    cdef void _start(
        self, Run* run, Frame* frame, Py_ssize_t* slots, Tokens tokens, tuple given, zone, unread
    ):
        cdef Py_ssize_t at
        cdef int i
        run.table, run.tokens, run.given = &tokens.table, <PyObject*>tokens, <PyObject*>given
        run.zone, run.unread, run.valued = <PyObject*>zone, <PyObject*>unread, 0
        run.suffix.size = 0
        if isinstance(zone, str) and len(<str>zone) <= 6 and (<str>zone).isascii():
            run.suffix.at, run.suffix.size = <const char*>PyUnicode_DATA(zone), len(<str>zone)
        frame.slots, frame.start, frame.stop = slots, 0, tokens.table.count
        frame.value, frame.value_end, frame.value_stop = NULL, NULL, 0
        frame.base, frame.cut_field = 0, -1
        for i in range(self.slots_.n):
            slots[i] = -1
            for at in range(tokens.table.count):
                if tokens.table.segments[at].name == self.slots_.name[i]:
                    slots[i] = at
                    break

    cdef PyObject* _keep(self, object value):
        self.kept.append(value)
        return <PyObject*>value

    cdef Chars _chars(self, bytes text):
        cdef Chars found
        self.kept.append(text)
        found.at, found.size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        return found

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

    cdef _entries(self, Node* into, list pairs):
        into.n = <short>len(pairs)
        into.entries = <Entry*>calloc(max(into.n, 1), sizeof(Entry))
        if into.entries == NULL:
            raise MemoryError
        for i, (sent, meant) in enumerate(pairs):
            into.entries[i].sent = self._chars(sent)
            into.entries[i].meant = self._chars(meant)

    cdef _group(self, Node* into, tuple group):
        cdef Names own
        name, followers, inherits, slots = group
        into.group = <Group*>calloc(1, sizeof(Group))
        if into.group == NULL:
            raise MemoryError
        self._names(&own, (name,))
        into.group.name = own.name[0]
        self._names(&into.group.followers, followers)
        self._names(&into.group.inherits, inherits)
        self._names(&into.group.slots, slots)

    cdef _compile(self, Node* into, tuple node):
        cdef int kind = _KINDS[node[0]]
        into.kind = kind
        into.default = self._keep(node[len(node) - 1])
        if kind in (TEXT, WHOLE, LINES, DATE, TIME, INSTANT):
            self._address(into, node[1])
        elif kind == MAP:
            self._address(into, node[1])
            into.object = self._keep(dict(node[2]))
            self._entries(into, [(s.encode(), _quoted(m)) for s, m in node[2].items()])
            into.absent = self._chars(_quoted(node[3]) if node[3] else b"")
        elif kind == JOIN:
            self._kids(into, [("text", address, "") for address in node[1]])
            into.object = self._keep(tuple(node[2]))
            self._entries(into, [(each.encode(), b"") for each in node[2]])
        elif kind == GUARD:
            self._address(into, node[1])
            into.object = self._keep(tuple(node[2]))
            self._kids(into, (node[3],))
        elif kind == FIRST:
            self._kids(into, node[1])
        elif kind == PICK:
            self._address(into, node[1])
            self._kids(into, (node[2],))
        elif kind == MUST:
            self._kids(into, (node[1],))
            into.default = into.kids.default
        elif kind == STRUCT:
            self._compile_struct(into, node)
        elif kind == REPEAT:
            self._address(into, node[1])
            self._kids(into, (node[2],))
            into.default = self._keep(())
        elif kind == TUPLE:
            self._kids(into, node[1])
            into.default = self._keep(())
        elif kind == EACH or kind == HEAD:
            self._group(into, node[1])
            self._kids(into, (node[2],))
            if kind == EACH:
                into.default = self._keep(())
        elif kind == ANY:
            self._group(into, (node[1], (), (), ()))
            into.field = node[2]
            self._entries(into, [(word, b"") for word in node[3]])
        elif kind == ORDINAL:
            into.slot = node[1]
        else:
            into.n = node[1]

    cdef _compile_struct(self, Node* into, tuple node):
        cls = node[1]
        names = getattr(cls, "__struct_encode_fields__", [""] * len(node[2]))
        config = getattr(cls, "__struct_config__", None)
        tag = getattr(config, "tag", None)
        opening = b"{" if tag is None else b'{"%s":%s,' % (config.tag_field.encode(), _quoted(tag))
        into.object = self._keep(cls)
        into.opening = self._chars(opening)
        self._kids(into, node[2])
        into.least = <short>max(into.n - len(getattr(cls, "__struct_defaults__", ())), 0)
        for i, name in enumerate(names):
            key = b"%s:" % _quoted(name)
            into.kids[i].key = self._chars(key.ljust(SHORT))
            into.kids[i].key_room = <short>into.kids[i].key.size
            into.kids[i].key.size = len(key)
            if i < into.least and into.kids[i].absent.size == 0:
                into.kids[i].absent = self._chars(_absent(<object>into.kids[i].default))
        if node[3] is not None:
            self._address(into, (node[3][0], node[3][1], 0, 0))
            into.placed = True
            into.base = node[3][2]


cdef class Plans:
    """Plans by message type; see the specification."""

    cdef dict plans

    def __init__(self, dict plans not None):
        self.plans = dict(plans)

    def write(self, Tokens tokens not None, tuple given not None, zone not None):
        cdef Bytes at, end
        cdef PyObject* known
        cdef bytes name
        if tokens.table.odd or tokens.liberties or tokens.table.component != 94:
            return None
        tokens._cut(&at, &end, 0, 9, 1, 0, 0)
        kind = PyBytes_FromStringAndSize(<const char*>at, _second(at, end) - at)
        known = PyDict_GetItemWithError(self.plans, kind)
        if known == NULL:
            return None
        for name in <tuple>(<tuple>known)[2]:
            if tokens._tally(name) != 1:
                return None
        text, unread = (<Plan>(<tuple>known)[1]).write(tokens, given, tokens.offset or zone)
        return None if unread else ((<tuple>known)[0], text)


cdef inline Bytes _second(Bytes at, Bytes end) noexcept:
    """Where the second component ends."""
    cdef Bytes first = _sought(at, end, 94)
    return end if first == end else _sought(first + 1, end, 94)


cdef bytes _absent(default):
    """What JSON holds of a field that is always there and has no value."""
    return b"null" if default is None else b"[]" if default == () else b'""'


cdef bytes _quoted(str text):
    """A JSON string of a text that needs no escaping."""
    return b'"%s"' % text.encode()


cdef void _release(Node* node) noexcept:
    cdef int i
    if node.kids != NULL:
        for i in range(node.n):
            _release(&node.kids[i])
    free(node.kids)
    free(node.group)
    free(node.entries)
