# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""A compiled plan, and where the values it asks for lie in a message.

`_hl7plan` makes structs of them and `_hl7json` writes them: both walk the same nodes by the same
steps. A `Frame` is where a walk stands. It keeps the components of the field that was asked for
last, so that a field is cut once for all its values.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from fifhir._hl7parse cimport Bytes, Segment, Table, Tokens, find_field

cdef extern from *:
    """
    static inline int fifhir_failed(void) { return -1; }
    """
    int fifhir_failed() except -1  # raises what is already set

cdef enum:
    CUTS = 32     # components of a repetition whose places are kept; later ones are searched
    SLOTS = 32    # segments one frame may name, followers and inherited ones of one `each`
    WIDTH = 64    # fields a struct may have
    SHORT = 16    # bytes that are copied without asking how many

cdef enum:  # kinds of nodes
    TEXT, WHOLE, LINES, DATE, TIME, INSTANT, MAP, KNOWN, JOIN, GUARD, UNLESS, FIRST, PICK, MUST
    STRUCT, REPEAT, REST, TUPLE, EACH, SOME, HEAD, JOINED, ORDINAL, ANY, IS, NUMBER, EXACT
    SUM, CONSTANT, GIVEN
    KINDS  # how many there are

cdef struct Names:
    uint32_t name[SLOTS]
    int n

cdef struct Group:      # what an `each` or `head` gathers, or where an `any` looks
    Names names         # the segments an item may begin with, and go on with in this order
    Names followers, inherits, behind, until, slots, ahead
    bint apart, single  # how far an item reaches

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
    bint direct         # its value lies in the segment at its slot, so that may tell it lacks
    short run           # how many kids from here on lack too where its segment is too short
    bint shared         # its kids are not its own
    bint firm           # what is said where nothing was sent is not the default of its field
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
    Py_ssize_t floor            # nothing before this one is looked at
    Bytes value, value_end      # the repetition at hand, and the first stop in it
    Py_ssize_t value_stop
    int base                    # after which of its components addresses begin
    int cut_slot, cut_field     # which field the cuts are of; field 0 is the repetition at hand
    int n
    Bytes cuts[CUTS]            # where components begin
    Bytes heads[CUTS]           # where the first subcomponent of each ends
    Bytes end

cdef struct Run:        # one walk over a plan
    Table* table
    PyObject* tokens
    PyObject* given
    PyObject* zone
    PyObject* unread
    Py_ssize_t valued       # values found so far
    Chars suffix            # the zone, if it is the same at all times

cdef struct Walk:       # over the repetitions of a field
    Bytes at, end
    Py_ssize_t ahead

cdef struct Tour:       # over the segments an `each` gathers
    Py_ssize_t at
    Py_ssize_t reached      # where the last item ends
    Py_ssize_t seen[SLOTS]
    Py_ssize_t slots[SLOTS]

cdef class Plan:
    cdef Node* root
    cdef Names names
    cdef readonly tuple slots
    cdef readonly tuple node
    cdef list kept                  # what the nodes point to

    cdef void begin(
        self, Run* run, Frame* frame, Py_ssize_t* slots, Tokens tokens, tuple given, zone, unread
    )

# A field is entered, and where a node's bytes are is found.
cdef bint open_field(Run* r, Frame* f, Node* node) noexcept nogil
cdef bint enter_field(Run* r, Frame* f, Node* node, Frame* inner) noexcept nogil
cdef bint locate_rarely(
    Table* t, Frame* f, Node* node, int n, Bytes* at, Bytes* end
) noexcept nogil
cdef bint walk(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil
cdef bint walk_on(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil
cdef bint step(Table* t, Frame* f, Walk* w, Frame* inner) noexcept nogil
cdef bint next_item(Run* r, Frame* f, Group* g, Tour* tour, Frame* inner) noexcept nogil

# What stands there.
cdef bint is_wanted(Run* r, Frame* f, Node* node) except -1
cdef bint has_word(Run* r, Frame* f, Node* node) noexcept nogil
cdef Py_ssize_t plain_date(
    Run* r, int kind, Bytes at, Py_ssize_t size, char* out
) noexcept nogil
cdef object rare_date(Run* r, Frame* f, Node* node, Bytes at, Bytes end)
cdef object value_of(Run* r, Frame* f, Node* node)


cdef inline bint locate(Run* r, Frame* f, Node* node, Bytes* at, Bytes* end) noexcept nogil:
    """Whether there are bytes at a node's address, and where."""
    cdef int n = node.component - 1
    if f.cut_field != node.field or f.cut_slot != node.slot:
        if not open_field(r, f, node):
            return False
    if node.field == 0:
        n += f.base
    if node.subcomponent == 1 and n >= 0:
        if n < f.n:
            at[0], end[0] = f.cuts[n], f.heads[n]
            return at[0] < end[0]
        if f.n < CUTS:
            return False
    return locate_rarely(r.table, f, node, n, at, end)


cdef inline int lacking(Run* r, Frame* f, Node* node) noexcept nogil:
    """How many kids from this direct one on have no value, told without entering their fields."""
    cdef Py_ssize_t at = f.slots[node.slot], n = node.field
    cdef Segment* s
    if at < 0:
        return node.run
    s = &r.table.segments[at]
    if s.header:
        if n <= 2:
            return 0
        n -= 1
    if n >= s.count:
        return node.run
    at = r.table.stops[r.table.fields[s.first + n]] + 1
    return at == (r.table.stops[r.table.fields[s.first + n + 1]] if n + 1 < s.count else s.end)


cdef inline bint locate_whole(Run* r, Frame* f, Node* node, Bytes* at, Bytes* end) noexcept nogil:
    if f.slots[node.slot] < 0:
        return False
    return find_field(r.table, &r.table.segments[f.slots[node.slot]], node.field, at, end)


cdef inline void enter(
    Frame* inner, Frame* f, Py_ssize_t ahead, Bytes at, Bytes end
) noexcept nogil:
    """A frame in the same segments, whose repetition at hand is this one."""
    inner.slots, inner.start, inner.stop, inner.floor = f.slots, f.start, f.stop, f.floor
    inner.value, inner.value_end, inner.value_stop = at, end, ahead
    inner.base, inner.cut_field = 0, -1
