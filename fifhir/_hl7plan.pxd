# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""A compiled plan, and where the values it asks for lie in a message.

`_hl7plan` makes structs of them and `_hl7json` writes them: both walk the same nodes by the same
steps. A `Frame` is where a walk stands. It keeps the components of the field that was asked for
last, so that a field is cut once for all its values.
"""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from fifhir._hl7parse cimport Bytes, Segment, Table, Tokens, filled_fields, find_field

cdef extern from *:
    """
    static inline int fifhir_failed(void) { return -1; }
    static inline int fifhir_first(unsigned long long bits) { return __builtin_ctzll(bits); }
    """
    int fifhir_failed() except -1  # raises what is already set
    int lowest "fifhir_first"(uint64_t bits) nogil

cdef enum:
    CUTS = 32     # components of a repetition whose places are kept; later ones are searched
    SLOTS = 32    # segments one frame may name, followers and inherited ones of one `each`
    WIDTH = 64    # fields a struct may have
    SHORT = 16    # bytes that are copied without asking how many
    HERE = -1     # a lane of the components of the repetition at hand
    PRESENT = -2  # a lane of the segments a message has

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

cdef struct Lane:       # what may give the kids of a struct a value: fields of one segment
    short slot          # HERE and PRESENT: components, and segments by `mark`
    uint64_t fields     # those that any kid needs one of
    uint64_t* kids      # for each field, the kids that need it

cdef struct Shape:      # of a struct: which of its kids are worth a look
    uint64_t always     # those that say something whatever was sent, or may
    int n
    Lane* lanes

cdef struct Node:       # small: a plan is walked once a message and should stay in the cache
    short kind, slot, component, subcomponent
    int field
    short n             # how many kids; which argument
    short known         # how many entries
    short least         # how many fields a struct cannot be made without
    short base          # a placed struct: after which component its own begin
    bint placed         # a struct that stands at an address of its own
    bint shared         # its kids and shape are not its own
    bint bare           # a struct that is there even if nothing in it is
    bint leading        # at the first component of the first repetition of a field
    bint firm           # what is said where nothing was sent is not the default of its field
    Node* kids
    Shape* shape
    Group* group
    Entry* entries
    PyObject* object    # type, table or marks
    PyObject* default
    Chars key           # `,"name":`, as a field of its struct, padded to blocks
    Chars absent        # the default as JSON; empty if the field is left out then
    Chars opening       # a struct: `{` and its tag, if it has one

cdef struct Frame:
    Py_ssize_t* slots
    Py_ssize_t start, stop      # its segments
    Py_ssize_t floor            # nothing before this one is looked at
    Bytes value, value_end      # the repetition at hand, and the first stop in it
    Py_ssize_t value_stop
    int base                    # after which of its components addresses begin
    int cut_slot, cut_field     # which field the cuts are of; field 0 is the repetition at hand
    int n
    uint64_t filled             # bits of the components that have bytes in them, from 1
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
    uint64_t present        # the marks of all segments

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
cdef void open_here(Run* r, Frame* f) noexcept nogil
cdef bint enter_field(Run* r, Frame* f, Node* node, Frame* inner) noexcept nogil
cdef bint locate_rarely(
    Table* t, Frame* f, Node* node, int n, Bytes* at, Bytes* end
) noexcept nogil
cdef bint walk(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil
cdef bint walk_on(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil
cdef bint step(Table* t, Frame* f, Walk* w, Frame* inner) noexcept nogil
cdef bint next_item(Run* r, Frame* f, Group* g, Tour* tour, Frame* inner) noexcept nogil

# What stands there.
cdef bint is_wanted(Run* r, Frame* f, Node* node) noexcept nogil
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
        if node.leading:
            return locate_leading(r, f, node, at, end)
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


cdef inline bint locate_leading(
    Run* r, Frame* f, Node* node, Bytes* at, Bytes* end
) noexcept nogil:
    """The same for what a field begins with, which ends at its first delimiter of any kind."""
    cdef Py_ssize_t n = node.field
    cdef Segment* s
    if f.slots[node.slot] < 0:
        return False
    s = &r.table.segments[f.slots[node.slot]]
    if s.header:
        if n <= 2:
            return find_field(r.table, s, n, at, end)
        n -= 1
    if n >= s.count:
        return False
    n = r.table.fields[s.first + n]
    at[0], end[0] = r.table.base + r.table.stops[n] + 1, r.table.base + r.table.stops[n + 1]
    return at[0] < end[0]


cdef inline int mark(uint32_t name) noexcept nogil:
    """One of 64 bits for a segment's name: none of a name's is set where that is missing."""
    return (name * <uint32_t>0x9E3779B1) >> 26


cdef inline uint64_t worthwhile(Run* r, Frame* f, Shape* shape) noexcept nogil:
    """Which kids of a struct may say something, told by what fields have bytes in them."""
    cdef uint64_t found = shape.always, filled
    cdef Lane* lane
    cdef int i
    for i in range(shape.n):
        lane = &shape.lanes[i]
        if lane.slot >= 0:
            if f.slots[lane.slot] < 0:
                continue
            filled = filled_fields(r.table, &r.table.segments[f.slots[lane.slot]])
        elif lane.slot == HERE:
            if f.cut_field != 0:
                open_here(r, f)
            filled = f.filled >> f.base & ~<uint64_t>1
        else:
            filled = r.present
        filled &= lane.fields
        while filled:
            found |= lane.kids[lowest(filled)]
            filled &= filled - 1
    return found


cdef inline Entry* entry_of(Node* node, Bytes at, Py_ssize_t size) noexcept nogil:
    """Which of a node's entries these bytes are; NULL for none."""
    cdef int i
    for i in range(node.known):
        if node.entries[i].sent.size == size:
            if size == 0 or <unsigned char>node.entries[i].sent.at[0] == at[0]:
                if memcmp(node.entries[i].sent.at, at, size) == 0:
                    return &node.entries[i]
    return NULL


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
