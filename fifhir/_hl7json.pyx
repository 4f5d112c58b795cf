# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The structs of plans as JSON, straight from a message's bytes: no object is made on the way.

What it does is specified by `_hl7json_py.py`: byte for byte what msgspec makes of the struct.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcpy

from fifhir._hl7parse cimport (
    BRIEF,
    Bytes,
    PyDict_GetItemWithError,
    Table,
    Tokens,
    hex_digit,
    is_special,
    replaced,
    sought,
    text_of,
)
from fifhir._hl7plan cimport (
    ANY,
    CONSTANT,
    DATE,
    EACH,
    EXACT,
    FIRST,
    GIVEN,
    GUARD,
    HEAD,
    INSTANT,
    IS,
    JOIN,
    JOINED,
    KINDS,
    KNOWN,
    LINES,
    MAP,
    MUST,
    NUMBER,
    ORDINAL,
    PICK,
    REPEAT,
    REST,
    SHORT,
    SLOTS,
    SOME,
    STRUCT,
    SUM,
    TEXT,
    TIME,
    TUPLE,
    UNLESS,
    WHOLE,
    Entry,
    Frame,
    Node,
    Plan,
    Run,
    Tour,
    Walk,
    enter_field,
    entry_of,
    fifhir_failed,
    has_word,
    is_wanted,
    locate,
    locate_whole,
    lowest,
    next_item,
    plain_date,
    rare_date,
    step,
    value_of,
    walk,
    walk_on,
    worthwhile,
)

from fifhir import nm

cdef extern from "Python.h":
    PyObject* PyBytes_New "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size)
    int _PyBytes_Resize(PyObject** data, Py_ssize_t size)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    void Py_XDECREF(PyObject* object)

cdef struct Page:       # what one walk writes
    Run run
    PyObject* out           # the JSON written so far: a bytes object with room to spare
    char* text              # its bytes
    Py_ssize_t used, room
    const char* limit       # behind the last byte of what the message lies in

cdef unsigned char _LETTERS[128]
for _plain_octet, _letter in zip(b'"\\\b\f\n\r\t', b'"\\bfnrt'):
    _LETTERS[_plain_octet] = _letter


# Bytes onto the page.

cdef int _reserve(Page* p, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = max(2 * p.room, p.used + more)
    if p.used + more > p.room:
        if _PyBytes_Resize(&p.out, room) < 0:
            p.out = NULL
            return fifhir_failed()
        p.text, p.room = PyBytes_AS_STRING(<object>p.out), room
    return 0


cdef inline char* _here(Page* p) noexcept:
    return p.text + p.used


cdef inline void _copy(char* out, const char* at, Py_ssize_t size, const char* limit) noexcept:
    """Copy `size` bytes; few as whole blocks, which reach no further than the source's `limit`."""
    if size <= SHORT:
        if limit - at >= SHORT:
            memcpy(out, at, SHORT)
        else:
            memcpy(out, at, size)
    elif size <= 2 * SHORT:
        memcpy(out, at, SHORT)
        memcpy(out + size - SHORT, at + size - SHORT, SHORT)
    else:
        memcpy(out, at, size)


cdef inline int _put(Page* p, const char* at, Py_ssize_t size) except -1:
    if p.used + size > p.room:
        _reserve(p, size)
    memcpy(_here(p), at, size)
    p.used += size
    return 1


cdef inline int _put_short(Page* p, const char* at, Py_ssize_t size) except -1:
    """The same of what has a whole block to copy from."""
    if p.used + size + SHORT > p.room:
        _reserve(p, size + SHORT)
    _copy(_here(p), at, size, at + SHORT)
    p.used += size
    return 1


cdef inline int _put_key(Page* p, Node* kid) except -1:
    if p.used + kid.key.size + 2 * SHORT > p.room:
        _reserve(p, kid.key.size + 2 * SHORT)
    if kid.key.size <= 2 * SHORT:
        memcpy(_here(p), kid.key.at, 2 * SHORT)
    else:
        memcpy(_here(p), kid.key.at, kid.key.size)
    p.used += kid.key.size
    return 1


cdef int _put_escaped(Page* p, Bytes at, Py_ssize_t size) except -1:
    """A JSON string (RFC 8259, 7) of UTF-8 bytes."""
    cdef char* out
    cdef char* begin
    cdef Py_ssize_t i
    _reserve(p, 6 * size + 2)
    begin = out = _here(p)
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
            out[4], out[5] = hex_digit(at[i] >> 4), hex_digit(at[i] & 15)
            out += 6
    out[0] = 34
    p.used += out + 1 - begin
    return 1


cdef int _put_object(Page* p, object text) except -1:
    """A str or None that has been made already; an empty one counts as absent."""
    cdef Py_ssize_t size
    cdef const char* at
    if text is None:
        return _put(p, b"null", 4)
    at = PyUnicode_AsUTF8AndSize(text, &size)
    return _put_escaped(p, <Bytes>at, size) if size else 0


cdef int _put_special(Page* p, Bytes at, Py_ssize_t size) except -1:
    """A text that may be null, or hold escapes or what JSON does not hold as it is."""
    cdef Table* t = p.run.table
    cdef unsigned char plain[BRIEF]
    cdef Py_ssize_t n = -1
    if size == 2 and at[0] == 34 and at[1] == 34:
        return _put(p, b"null", 4)
    if memchr(at, t.escape, size) == NULL:
        return _put_escaped(p, at, size)
    if size <= BRIEF:
        n = replaced(t, at, size, plain)
    if n >= 0:
        return _put_escaped(p, plain, n)
    return _put_object(p, text_of(t, p.run.tokens, at, at + size))


cdef inline int _put_text(Page* p, Bytes at, Bytes end) except -1:
    cdef Table* t = p.run.table
    cdef Py_ssize_t size = end - at
    cdef char* out
    if at - t.base < t.opened or is_special(t, at, end):
        return _put_special(p, at, size)
    if p.used + size + 2 + SHORT > p.room:
        _reserve(p, size + 2 + SHORT)
    out = _here(p)
    out[0] = 34
    _copy(out + 1, <const char*>at, size, p.limit)
    out[size + 1] = 34
    p.used += size + 2
    return 1


# A writer for each kind of node. It returns 1 if it wrote something, a value or its default, and
# 0 if it wrote nothing; `valued` tells values from defaults.

ctypedef int (*Writer)(Page*, Frame*, Node*) except -1
cdef Writer _writers[KINDS]


cdef int _write(Page* p, Frame* f, Node* node) except -1:
    return _writers[node.kind](p, f, node)


cdef int _write_text(Page* p, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    if not locate(&p.run, f, node, &at, &end):
        return 0
    p.run.valued += 1
    return _put_text(p, at, end)


cdef int _write_whole(Page* p, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    if not locate_whole(&p.run, f, node, &at, &end):
        return 0
    p.run.valued += 1
    return _put_text(p, at, end)


cdef int _write_built(Page* p, Frame* f, Node* node) except -1:
    """By way of the object: for what is rare, or there already."""
    return _put_object(p, value_of(&p.run, f, node))


cdef int _write_guarded(Page* p, Frame* f, Node* node) except -1:
    return _write(p, f, node.kids) if is_wanted(&p.run, f, node) else 0


cdef int _write_unless(Page* p, Frame* f, Node* node) except -1:
    return 0 if is_wanted(&p.run, f, node) else _write(p, f, node.kids)


cdef int _write_any(Page* p, Frame* f, Node* node) except -1:
    return _put(p, b"true", 4) if has_word(&p.run, f, node) else _put(p, b"false", 5)


cdef int _write_is(Page* p, Frame* f, Node* node) except -1:
    return _put(p, b"true", 4) if is_wanted(&p.run, f, node) else 0


cdef int _write_ordinal(Page* p, Frame* f, Node* node) except -1:
    found = value_of(&p.run, f, node)
    if found is <object>node.default:
        return 0
    return _put_count(p, found)


cdef int _put_count(Page* p, Py_ssize_t count) except -1:
    cdef char digits[20]
    cdef int n = 20
    while n == 20 or count:
        n -= 1
        digits[n] = 48 + count % 10
        count //= 10
    return _put(p, digits + n, 20 - n)


cdef Py_ssize_t _plain_number(Bytes at, Py_ssize_t size) noexcept nogil:
    """How much of a number in its common form, `-12.50`, JSON has too; 0 for rarer forms."""
    cdef Py_ssize_t i = 0, whole, digits
    if size and at[0] == 45:
        i = 1
    whole = i
    while i < size and 48 <= at[i] <= 57:
        i += 1
    digits = i - whole
    if not 1 <= digits <= 15 or (at[whole] == 48 and digits > 1):
        return 0
    if i == size:
        return 0 if at[0] == 45 and at[whole] == 48 else size
    if at[i] != 46 or i + 1 == size or size - whole > 16:
        return 0
    if at[whole] == 48 and at[i + 1] == 48:  # it may be too small to be written so
        return 0
    for digits in range(i + 1, size):
        if not 48 <= at[digits] <= 57:
            return 0
    while at[size - 1] == 48 and size > i + 2:
        size -= 1
    return size


cdef int _write_number(Page* p, Frame* f, Node* node) except -1:
    """What is no number is text."""
    cdef Bytes at, end
    cdef Py_ssize_t plain
    if node.kind != SUM and locate(&p.run, f, node, &at, &end):
        plain = _plain_number(at, end - at)
        if plain:
            p.run.valued += 1
            return _put(p, <const char*>at, plain)
    found = value_of(&p.run, f, node)
    if found is <object>node.default:
        return 0
    if found is None or isinstance(found, str):
        return _put_object(p, found)
    digits = <bytes>nm.encoded(found)
    return _put(p, PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))


cdef int _write_constant(Page* p, Frame* f, Node* node) except -1:
    return _put(p, node.absent.at, node.absent.size)


cdef int _write_date(Page* p, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    cdef char plain[48]
    cdef Py_ssize_t size
    if not locate(&p.run, f, node, &at, &end):
        return 0
    size = plain_date(&p.run, node.kind, at, end - at, plain + 1)
    if size == 0:
        found = rare_date(&p.run, f, node, at, end)
        return _put_object(p, found)
    p.run.valued += 1
    plain[0] = plain[size + 1] = 34
    return _put(p, plain, size + 2)


cdef int _write_joined(Page* p, Frame* f, Node* node) except -1:
    cdef Table* t = p.run.table
    cdef Py_ssize_t before = p.run.valued, start = p.used
    cdef Bytes at, end
    cdef int i
    _put(p, b'"', 1)
    for i in range(node.n):
        if not locate(&p.run, f, &node.kids[i], &at, &end):
            continue
        if is_special(t, at, end):
            p.used, p.run.valued = start, before
            return _write_built(p, f, node)
        p.run.valued += 1
        if p.used > start + 1:
            _put(p, b" ", 1)
        _put(p, node.entries[i].sent.at, node.entries[i].sent.size)
        _put(p, <const char*>at, end - at)
    if p.used == start + 1:
        p.used = start
        return 0
    return _put(p, b'"', 1)


cdef int _write_first(Page* p, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = p.run.valued, start = p.used
    cdef int i, wrote
    for i in range(node.n):
        if node.kids[i].kind == TEXT:
            wrote = _write_text(p, f, &node.kids[i])
        else:
            wrote = _write(p, f, &node.kids[i])
        if p.run.valued > before:
            return wrote
        p.used = start  # a default is no value
    return 0


cdef int _write_pick(Page* p, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = p.run.valued, start = p.used
    cdef Walk w
    cdef Frame inner
    cdef int wrote
    if walk(&p.run, f, node, &w):
        while step(p.run.table, f, &w, &inner):
            wrote = _write(p, &inner, node.kids)
            if p.run.valued > before:
                return wrote
            p.used = start
    return 0


cdef int _write_must(Page* p, Frame* f, Node* node) except -1:
    cdef Py_ssize_t before = p.run.valued
    cdef int wrote = _write(p, f, node.kids)
    if p.run.valued == before:
        (<list>p.run.unread).append((-1, 0))
    return wrote


cdef int _write_mapped(Page* p, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    cdef Entry* entry
    if not locate(&p.run, f, node, &at, &end):
        return _put(p, node.absent.at, node.absent.size) if node.absent.size > 2 else 0
    if is_special(p.run.table, at, end):  # a code is looked up as it reads, not as it was sent
        return _write_built(p, f, node)
    p.run.valued += 1
    entry = entry_of(node, at, end - at)
    if entry == NULL:
        return _put_text(p, at, end)
    return _put_short(p, entry.meant.at, entry.meant.size)


cdef int _write_known(Page* p, Frame* f, Node* node) except -1:
    cdef Bytes at, end
    cdef Entry* entry
    if not locate(&p.run, f, node, &at, &end):
        return 0
    if is_special(p.run.table, at, end):
        return _write_built(p, f, node)
    entry = entry_of(node, at, end - at)
    if entry == NULL:
        return 0
    p.run.valued += 1
    return _put_short(p, entry.meant.at, entry.meant.size)


cdef int _write_struct(Page* p, Frame* f, Node* node) except -1:
    cdef Frame inner
    cdef int base = f.base, wrote
    if not node.placed:
        return _write_fields(p, f, node)
    if node.field == 0:
        if f.value == f.value_end:
            return 0
        f.base = node.base
        wrote = _write_fields(p, f, node)
        f.base = base
        return wrote
    return _write_fields(p, &inner, node) if enter_field(&p.run, f, node, &inner) else 0


cdef int _write_fields(Page* p, Frame* f, Node* node) except -1:
    """Each key comes with a comma before it; the first one's is where the brace belongs."""
    cdef Py_ssize_t before = p.run.valued, start = p.used, at
    cdef uint64_t todo = worthwhile(&p.run, f, node.shape)
    cdef Bytes text, end
    cdef Node* kid
    if node.opening.size:
        _put(p, node.opening.at, node.opening.size)
    while todo:
        kid = &node.kids[lowest(todo)]
        todo &= todo - 1
        at = p.used
        if kid.kind == TEXT:
            if locate(&p.run, f, kid, &text, &end):
                p.run.valued += 1
                _put_key(p, kid)
                if _put_text(p, text, end):
                    continue
            elif kid.absent.size == 0:
                continue
            else:
                _put_key(p, kid)
        else:
            _put_key(p, kid)
            if _write(p, f, kid):
                continue
        if kid.absent.size:
            _put(p, kid.absent.at, kid.absent.size)
        else:
            p.used = at
    if p.run.valued == before and not node.bare:
        p.used = start
        return 0
    if p.used == start:
        return _put(p, b"{}", 2)
    p.text[start] = 123
    return _put(p, b"}", 1)


cdef int _write_array(Page* p, Frame* f, Node* node) except -1:
    cdef Py_ssize_t start = p.used
    cdef Walk w
    cdef Tour tour
    cdef Frame inner
    cdef int i
    _put(p, b"[", 1)
    if node.kind == TUPLE:
        for i in range(node.n):
            _write_item(p, f, &node.kids[i], False)
    elif node.kind == REST:
        if walk_on(&p.run, f, node, &w):
            while step(p.run.table, f, &w, &inner):
                _write_item(p, &inner, node.kids, False)
    elif node.kind == REPEAT:
        if walk(&p.run, f, node, &w):
            while step(p.run.table, f, &w, &inner):
                _write_item(p, &inner, node.kids, False)
    else:
        tour.at = -1
        while next_item(&p.run, f, node.group, &tour, &inner):
            _write_item(p, &inner, node.kids, node.kind == EACH)
    if p.used == start + 1:
        p.used = start
        return 0
    p.used -= 1
    return _put(p, b"]", 1)


cdef int _write_item(Page* p, Frame* f, Node* node, bint always) except -1:
    cdef Py_ssize_t before = p.run.valued, start = p.used
    cdef int wrote = _write(p, f, node)
    if p.run.valued == before and not always:
        p.used = start
        return 0
    if not wrote:
        _put(p, b'""', 2)
    return _put(p, b",", 1)


cdef int _write_head(Page* p, Frame* f, Node* node) except -1:
    cdef Tour tour
    cdef Frame inner
    tour.at = -1
    return _write(p, &inner, node.kids) if next_item(&p.run, f, node.group, &tour, &inner) else 0


_writers[TEXT], _writers[WHOLE] = _write_text, _write_whole
_writers[DATE] = _writers[TIME] = _writers[INSTANT] = _write_date
_writers[MAP], _writers[JOIN], _writers[GUARD] = _write_mapped, _write_joined, _write_guarded
_writers[FIRST], _writers[PICK], _writers[MUST] = _write_first, _write_pick, _write_must
_writers[KNOWN], _writers[UNLESS] = _write_known, _write_unless
_writers[REPEAT] = _writers[REST] = _writers[TUPLE] = _writers[EACH] = _writers[SOME] = _write_array
_writers[STRUCT], _writers[HEAD] = _write_struct, _write_head
_writers[ORDINAL], _writers[ANY], _writers[IS] = _write_ordinal, _write_any, _write_is
_writers[NUMBER] = _writers[EXACT] = _writers[SUM] = _write_number
_writers[CONSTANT] = _write_constant
_writers[LINES] = _writers[GIVEN] = _writers[JOINED] = _write_built


# Whole structs.

cdef tuple written(Plan plan, Tokens tokens, tuple given, zone):
    cdef Page page
    cdef Frame frame
    cdef Py_ssize_t slots[SLOTS]
    unread = []
    plan.begin(&page.run, &frame, slots, tokens, given, zone, unread)
    page.used, page.room = 0, 2 * tokens.table.size + 1024
    page.limit = PyBytes_AS_STRING(tokens.data) + PyBytes_GET_SIZE(tokens.data)
    page.out = PyBytes_New(NULL, page.room)
    if page.out == NULL:
        raise MemoryError
    page.text = PyBytes_AS_STRING(<object>page.out)
    try:
        _write(&page, &frame, plan.root)
        if _PyBytes_Resize(&page.out, page.used) < 0:
            page.out = NULL
            fifhir_failed()
        return <object>page.out, unread
    finally:
        Py_XDECREF(page.out)


def write(Plan plan not None, Tokens tokens not None, tuple given not None, zone not None):
    return written(plan, tokens, given, zone)


cdef class Plans:
    """Cases by message type; see the specification."""

    def __init__(self, dict cases not None):
        self.cases = dict(cases)

    def write(self, Tokens tokens not None, tuple given not None, zone not None):
        known = self.entry(tokens)
        if known is None:
            return None
        text, unread = written(known[1], tokens, given, tokens.sent_offset() or zone)
        return None if unread else (known[0], text)

    cdef tuple entry(self, Tokens tokens):
        """The case a message is; None to look closer."""
        cdef Bytes at, end
        cdef PyObject* known
        cdef Py_ssize_t count
        cdef tuple case
        cdef bytes name
        if tokens.table.odd or tokens.liberties or tokens.table.component != 94:
            return None
        if _has_own(&tokens.table):
            return None
        tokens.place(&at, &end, 0, 9, 1, 0, 0)
        kind = PyBytes_FromStringAndSize(<const char*>at, _second(at, end) - at)
        known = PyDict_GetItemWithError(self.cases, kind)
        if known == NULL:
            return None
        for case in <tuple>known:
            if case[3] is None or _applies(tokens, <tuple>case[3]):
                break
        else:
            return None
        for name in <tuple>case[2]:
            count = tokens.tally(name)
            if count == 0 or (count > 1 and name == b"PID"):
                return None
        return case


cdef bint _applies(Tokens tokens, tuple condition) except -1:
    at = tokens.find(condition[0])
    return (tokens.cut(at, condition[1], 1, 1) if at >= 0 else b"") in <tuple>condition[2]


cdef inline bint _has_own(const Table* t) noexcept:
    """Whether a segment is the sender's own: its name begins with Z."""
    cdef Py_ssize_t at
    for at in range(t.count):
        if t.base[t.segments[at].start] == 90:
            return True
    return False


cdef inline Bytes _second(Bytes at, Bytes end) noexcept:
    """Where the second component ends."""
    cdef Bytes first = sought(at, end, 94)
    return end if first == end else sought(first + 1, end, 94)
