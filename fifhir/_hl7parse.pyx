# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""HL7 v2 bytes to offsets: where the segments and fields of a message lie.

What every call here returns is specified by `_hl7parse_py.py`. One pass over the bytes, without
the GIL, writes where delimiters stand and where segments and fields begin. Bounds are established
there: every later read stays between two offsets of that table, and no object is made that the
caller did not ask for. The table and its readers are in `_hl7parse.pxd`.
"""

from cython cimport no_gc

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from fifhir import dtm, escape, path
from fifhir.errors import MessageError

cdef extern from "_hl7look.h":
    ctypedef struct fifhir_block:
        uint64_t stops, ends, fields, special, high
    ctypedef void (*fifhir_looker)(
        const unsigned char* at, size_t blocks, const unsigned char* delimiters, fifhir_block* found
    ) noexcept nogil
    fifhir_looker fifhir_look
    fifhir_looker fifhir_widest() nogil
    int fifhir_lowest(uint64_t mask) nogil

cdef extern from *:
    """
    /* The arena of the message that went last, for the next one; taken and given by one exchange,
       so that no two threads can have it. Not under AddressSanitizer: it would see less. */
    #include <stdlib.h>
    #if defined(__SANITIZE_ADDRESS__)
    #define FIFHIR_SPARE 0
    #elif defined(__has_feature)
    #if __has_feature(address_sanitizer)
    #define FIFHIR_SPARE 0
    #endif
    #endif
    #ifndef FIFHIR_SPARE
    #define FIFHIR_SPARE 32768
    #endif
    static char *fifhir_spare = NULL;
    static inline char *fifhir_take(size_t size) {
        char *arena = NULL;
        if (size > FIFHIR_SPARE) return (char *)malloc(size);
        arena = __atomic_exchange_n(&fifhir_spare, arena, __ATOMIC_ACQ_REL);
        return arena ? arena : (char *)malloc(FIFHIR_SPARE);
    }
    static inline void fifhir_give(char *arena, size_t size) {
        if (size <= FIFHIR_SPARE)
            arena = __atomic_exchange_n(&fifhir_spare, arena, __ATOMIC_ACQ_REL);
        free(arena);
    }
    """
    char* fifhir_take(size_t size) nogil
    void fifhir_give(char* arena, size_t size) nogil

cdef enum:
    BLOCK = 64    # bytes the scan has a bit each for
    TOGETHER = 16  # blocks it looks at before it notes what they hold
    UNHURRIED = 65536  # bytes from which on a scan lets other threads run meanwhile
    MSH = 0x48534D
    BHS = 0x534842
    FHS = 0x534846

MESSAGE_LIMIT = 64 * 1024 * 1024  # bytes
FIELD_LIMIT = 1_000_000  # delimiters, escapes and line ends
cdef Py_ssize_t _MESSAGE_LIMIT = MESSAGE_LIMIT
cdef Py_ssize_t _FIELD_LIMIT = FIELD_LIMIT
cdef bytes _BEFORE = b"\xef\xbb\xbf \t\r\n\x0b\x00"
cdef bytes _STANDARD = b"|^~\\&"
cdef bytes _AFTER = b"\r\n\x1c\x00"

fifhir_look = fifhir_widest()


# The scan: bytes to offsets.

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
    t.arena = fifhir_take(size)
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
    s.name = packed(t.base + start, (t.stops[t.fields[first + 1]] if s.count > 1 else end) - start)
    s.header = s.name == MSH or s.name == BHS or s.name == FHS
    s.filled = 0
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
    cdef uint64_t left = found.stops, ends = found.ends, begins = ends | found.fields
    cdef int fault, bit
    while left:
        bit = fifhir_lowest(left)
        left &= left - 1
        stops[stopped] = at + bit
        if ends >> bit & 1:
            t.used = used
            fault = _end(t, first[0], at + bit)
            if fault:
                return fault
            first[0] = used = t.used
        fields[used] = stopped  # written each time, counted where a field begins: no branch
        used += begins >> bit & 1
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


cdef Py_ssize_t _look(
    Bytes at, Py_ssize_t size, const unsigned char* delimiters, fifhir_block* found
) noexcept nogil:
    """How many blocks were looked at; blanks stand where less than a block is left."""
    cdef unsigned char tail[BLOCK]
    cdef Py_ssize_t blocks = min(size // BLOCK, TOGETHER)
    if blocks:
        fifhir_look(at, blocks, delimiters, found)
        return blocks
    memset(tail, 32, BLOCK)
    memcpy(tail, at, size)
    fifhir_look(tail, 1, delimiters, found)
    return 1


cdef inline int _take(
    Table* t, Py_ssize_t* first, Py_ssize_t at, const fifhir_block* found, Py_ssize_t size
) noexcept nogil:
    """Note all that a block holds."""
    cdef int fault = 0
    if found.special:
        t.escapes += _escapes(t, at, found.special, size)
    if found.stops:
        fault = _make_room(t)
        if not fault:
            fault = _note(t, first, at, found)
    return fault


cdef int _scan(Table* t, const unsigned char* delimiters, Py_ssize_t size) noexcept nogil:
    """Fill the table from `size` bytes that begin with MSH; 0, or a fault of `_grow`."""
    cdef Py_ssize_t at = 4, first = 0, i, blocks
    cdef fifhir_block found[TOGETHER]
    cdef uint64_t high = 0
    cdef int fault
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
        blocks = _look(t.base + at, size - at, delimiters, found)
        for i in range(blocks):
            high |= found[i].high
            fault = _take(t, &first, at, &found[i], size)
            if fault:
                return fault
            at += BLOCK
    t.ascii = not high and not t.shifts
    fault = _end(t, first, size)
    t.stops[t.stopped] = size
    return fault if fault else 2 if t.stopped - 2 + t.escapes > _FIELD_LIMIT else 0


# The table, asked from Python.

cdef inline bint _is_called(Table* t, Py_ssize_t segment, bytes name) noexcept:
    cdef Bytes at, end
    cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
    find_field(t, &t.segments[segment], 0, &at, &end)
    return end - at == size and memcmp(at, PyBytes_AS_STRING(name), size) == 0


@no_gc  # it holds bytes and texts, so nothing it is part of can be a circle
cdef class Tokens:
    """Where the segments and fields of one message lie; see the specification."""

    def __init__(self, bytes data not None, bytes delimiters not None=b""):
        self.open(data, 0, delimiters)

    cdef int open(self, bytes data, Py_ssize_t start, bytes delimiters) except -1:
        """Make the table of what begins at `start`, which lies in the bytes or at their end."""
        cdef Table* t = &self.table
        cdef int fault
        if t.fields != NULL:
            raise TypeError("a message is read-only")
        if PyBytes_GET_SIZE(data) - start > _MESSAGE_LIMIT:
            raise _refused("message_too_large", "message is larger than the limit")
        self.charset = "utf-8"
        self.liberties = ()
        self.data = data
        t.base = <Bytes>PyBytes_AS_STRING(data) + start
        t.size = PyBytes_GET_SIZE(data) - start
        _trim(t)
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
        return 0

    def __dealloc__(self):
        cdef Table* t = &self.table
        if not _is_in_arena(t, t.segments):
            free(t.segments)
        if not _is_in_arena(t, t.fields):
            free(t.fields)
        if not _is_in_arena(t, t.stops):
            free(t.stops)
        if t.arena != NULL:
            fifhir_give(t.arena, t.arena_end - t.arena)

    def __len__(self):
        return self.table.count

    @property
    def raw(self):
        if self.trimmed is None:
            if self.table.size == PyBytes_GET_SIZE(self.data):
                self.trimmed = self.data
            else:
                self.trimmed = PyBytes_FromStringAndSize(
                    <const char*>self.table.base, self.table.size
                )
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

    cdef Segment* segment(self, Py_ssize_t n) except NULL:
        if not 0 <= n < self.table.count:
            raise IndexError("segment")
        return &self.table.segments[n]

    def name(self, Py_ssize_t segment):
        cdef Bytes at, end
        find_field(&self.table, self.segment(segment), 0, &at, &end)
        return PyBytes_FromStringAndSize(<const char*>at, end - at)

    def span(self, Py_ssize_t segment):
        cdef Segment* s = self.segment(segment)
        return s.start, s.end

    def find(self, bytes name not None, Py_ssize_t start=0):
        cdef Py_ssize_t n
        for n in range(max(start, 0), self.table.count):
            if _is_called(&self.table, n, name):
                return n
        return -1

    @property
    def offset(self):
        return self.sent_offset()

    cdef object sent_offset(self):
        cdef Bytes at, end
        cdef PyObject* known
        self.place(&at, &end, 0, 7, 1, 1, 1)
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
        return tuple([self.tally(name) for name in names])

    cdef Py_ssize_t tally(self, bytes name):
        cdef Py_ssize_t n, found = 0
        cdef uint32_t wanted = packed(<Bytes>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        for n in range(self.table.count):
            if wanted:
                found += self.table.segments[n].name == wanted
            else:
                found += _is_called(&self.table, n, name)
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
                    return self.text_at(
                        at, place.field, place.repetition, place.component, place.subcomponent
                    )
        return ""

    def fields(self, Py_ssize_t segment):
        cdef Segment* s = self.segment(segment)
        return s.count - (0 if s.header else 1)

    def repetitions(self, Py_ssize_t segment, Py_ssize_t field):
        cdef Bytes at, end
        cdef Py_ssize_t n = 1
        cdef Segment* s = self.segment(segment)
        if not find_field(&self.table, s, field, &at, &end):
            return 0
        if s.header and field <= 2:
            return 1
        while True:
            at = sought(at, end, self.table.repetition)
            if at == end:
                return n
            n += 1
            at += 1

    cdef bint place(
        self, Bytes* at, Bytes* end, Py_ssize_t segment, Py_ssize_t field,
        Py_ssize_t repetition, Py_ssize_t component, Py_ssize_t subcomponent,
    ) except -1:
        """Where the bytes at an address are; whether they are verbatim: no text, no parts."""
        cdef Table* t = &self.table
        cdef Segment* s = self.segment(segment)
        find_field(t, s, field, at, end)
        if min(repetition, component, subcomponent) < 0:
            at[0] = end[0]
        elif s.header and field <= 2:
            if max(repetition, component, subcomponent) > 1:
                at[0] = end[0]
            return True
        else:
            narrow(at, end, t.repetition, repetition)
            narrow(at, end, t.component, component)
            narrow(at, end, t.subcomponent, subcomponent)
        return False

    def cut(
        self, Py_ssize_t segment, Py_ssize_t field, Py_ssize_t repetition=1,
        Py_ssize_t component=0, Py_ssize_t subcomponent=0,
    ):
        cdef Bytes at, end
        self.place(&at, &end, segment, field, repetition, component, subcomponent)
        return PyBytes_FromStringAndSize(<const char*>at, end - at)

    def text(
        self, Py_ssize_t segment, Py_ssize_t field, Py_ssize_t repetition=1,
        Py_ssize_t component=1, Py_ssize_t subcomponent=1,
    ):
        return self.text_at(segment, field, repetition, component, subcomponent)

    cdef object text_at(
        self, Py_ssize_t segment, Py_ssize_t field, Py_ssize_t repetition,
        Py_ssize_t component, Py_ssize_t subcomponent,
    ):
        cdef Bytes at, end
        if self.place(&at, &end, segment, field, repetition, component, subcomponent):
            return plain_text(&self.table, at, end - at)
        return text_of(&self.table, <PyObject*>self, at, end)

    def decoded(self, bytes value not None):
        if value == b'""':
            return None
        if self.delimiters[3] in value:
            return escape.decode(value, self.delimiters, self.charset)
        return value.decode()


cdef inline unsigned char _delimiter(Table* t, unsigned char letter) noexcept nogil:
    """The delimiter that stands for this letter between escape characters; 0 for any other."""
    if letter == 70:  # F
        return t.field
    if letter == 83:  # S
        return t.component
    if letter == 82:  # R
        return t.repetition
    if letter == 69:  # E
        return t.escape
    return t.subcomponent if letter == 84 else 0  # T


cdef Py_ssize_t replaced(Table* t, Bytes at, Py_ssize_t size, unsigned char* out) noexcept nogil:
    """Copy a range with its delimiters in place of their escapes; -1 if there are others in it."""
    cdef Bytes end = at + size
    cdef unsigned char* begin = out
    while at < end:
        out[0] = at[0]
        if at[0] == t.escape:
            if end - at < 3 or at[2] != t.escape:
                return -1
            out[0] = _delimiter(t, at[1])
            if out[0] == 0:
                return -1
            at += 2
        at += 1
        out += 1
    return out - begin


cdef object unescaped(Table* t, Tokens tokens, Bytes at, Py_ssize_t size):
    cdef unsigned char plain[BRIEF]
    cdef Py_ssize_t n = -1
    if memchr(at, t.escape, size) == NULL:
        return plain_text(t, at, size)
    if size <= BRIEF:
        n = replaced(t, at, size, plain)
    if n >= 0:
        return PyUnicode_DecodeUTF8(<const char*>plain, n, NULL)
    raw = PyBytes_FromStringAndSize(<const char*>at, size)
    return escape.decode(raw, tokens.delimiters, tokens.charset)


cpdef object uuid_text(bytes digest):
    cdef Bytes at = <Bytes>PyBytes_AS_STRING(digest)
    cdef unsigned char out[36]
    cdef int i, n = 0
    if digest is None or PyBytes_GET_SIZE(digest) < 16:
        raise ValueError("a UUID needs 16 bytes")
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            out[n] = 45
            n += 1
        out[n], out[n + 1] = hex_digit(at[i] >> 4), hex_digit(at[i] & 15)
        n += 2
    out[14], out[19] = 56, hex_digit(8 | at[8] >> 4 & 3)
    return ascii_text(<const char*>out, 36)


cdef class _Place:
    """A path, ready to be looked up; what it leaves open is the first."""

    cdef uint32_t name
    cdef Py_ssize_t occurrence, field, repetition, component, subcomponent


cdef dict _places = {}
cdef dict _offsets = {}


cdef _Place _placed(str where):
    found = path.read(where)
    cdef _Place place = _Place()
    place.name = packed(<Bytes>PyBytes_AS_STRING(found.segment), 3)
    place.occurrence, place.field = found.occurrence, found.field
    place.repetition, place.component = found.repetition or 1, found.component or 1
    place.subcomponent = found.subcomponent or 1
    if len(_places) >= 4096:
        _places.clear()
    _places[where] = place
    return place


# Bytes before they are a message.

cdef object _refused(str reason, str text, str location="MSH"):
    return MessageError(reason, text, location=location)


cdef inline bint _is_one_of(unsigned char octet, bytes octets):
    return memchr(PyBytes_AS_STRING(octets), octet, PyBytes_GET_SIZE(octets)) != NULL


cdef void _trim(Table* t):
    """Leave out what may stand before a message and behind it."""
    while t.size and _is_one_of(t.base[0], _BEFORE):
        t.base += 1
        t.size -= 1
    while t.size and _is_one_of(t.base[t.size - 1], _AFTER):
        t.size -= 1


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
