# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Plans: a description compiled to nodes, and offsets to structs by them.

What it does is specified by `_hl7plan_py.py`. Nodes, and how a walk finds what they ask for, are
in `_hl7plan.pxd`. A node also carries what JSON holds of it whatever the message.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.weakref cimport PyWeakref_NewRef
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fifhir._hl7parse cimport (
    Bytes,
    PyDict_GetItemWithError,
    PyUnicode_DATA,
    Segment,
    Table,
    Tokens,
    ascii_text,
    find_field,
    first_stop,
    narrow,
    packed,
    sought,
    text_of,
)

from fifhir import dtm, nm

cdef extern from "Python.h":
    object PyObject_Vectorcall(object call, PyObject** args, size_t n, PyObject* names)

cdef dict _KINDS = {
    "text": TEXT, "whole": WHOLE, "lines": LINES, "date": DATE, "time": TIME, "instant": INSTANT,
    "map": MAP, "known": KNOWN, "join": JOIN, "guard": GUARD, "unless": UNLESS, "first": FIRST,
    "pick": PICK, "must": MUST, "struct": STRUCT, "repeat": REPEAT, "rest": REST, "tuple": TUPLE,
    "each": EACH, "some": SOME, "head": HEAD,
    "joined": JOINED, "ordinal": ORDINAL, "any": ANY, "is": IS, "number": NUMBER,
    "exact": EXACT, "sum": SUM, "constant": CONSTANT, "given": GIVEN,
}
cdef tuple _DATED = (dtm.date, dtm.time, dtm.instant)


# Descriptions to nodes.

cdef class _Compiler:
    """Descriptions to nodes; `kept` holds what the nodes point to."""

    cdef list kept

    def __cinit__(self):
        self.kept = []

    cdef PyObject* _keep(self, object value):
        self.kept.append(value)
        return <PyObject*>value

    cdef Chars _chars(self, bytes text):
        cdef Chars found
        self.kept.append(text)
        found.at, found.size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        return found

    cdef _address(self, Node* into, tuple address):
        into.slot, into.field, into.component, into.subcomponent = address
        into.leading = into.field > 0 and into.component == 1 and into.subcomponent == 1

    cdef _kids(self, Node* into, object nodes):
        if len(nodes) > WIDTH:
            raise ValueError("a struct has too many fields")
        into.n = <short>len(nodes)
        into.kids = <Node*>calloc(max(into.n, 1), sizeof(Node))
        if into.kids == NULL:
            raise MemoryError
        for i, node in enumerate(nodes):
            self.compile(&into.kids[i], node)

    cdef _entries(self, Node* into, list pairs):
        into.known = <short>len(pairs)
        into.entries = <Entry*>calloc(max(into.known, 1), sizeof(Entry))
        if into.entries == NULL:
            raise MemoryError
        for i, (sent, meant) in enumerate(pairs):
            into.entries[i].sent = self._chars(sent)
            into.entries[i].meant = self._chars(meant.ljust(SHORT))
            into.entries[i].meant.size = len(meant)

    cdef _group(self, Node* into, tuple group):
        names, followers, inherits, behind, until, slots, ahead, reach = group
        into.group = <Group*>calloc(1, sizeof(Group))
        if into.group == NULL:
            raise MemoryError
        _pack(&into.group.names, names)
        _pack(&into.group.followers, followers)
        _pack(&into.group.inherits, inherits)
        _pack(&into.group.behind, behind)
        _pack(&into.group.until, until)
        _pack(&into.group.slots, slots)
        _pack(&into.group.ahead, ahead)
        into.group.apart, into.group.single = reach == "apart", reach == "single"

    cdef compile(self, Node* into, tuple node):
        into.kind = _KINDS[node[0]]
        self._compile_node(into, into.kind, node)

    cdef _compile_node(self, Node* into, int kind, tuple node):
        into.default = self._keep(node[len(node) - 1])
        if kind in (TEXT, WHOLE, LINES, DATE, TIME, INSTANT, NUMBER, EXACT):
            self._address(into, node[1])
        elif kind == MAP or kind == KNOWN:
            self._compile_map(into, node)
        elif kind == JOIN:
            self._compile_join(into, node)
        elif kind == ORDINAL:
            into.slot = node[1]
        elif kind == IS:
            self._address(into, node[1])
            self._entries(into, [(each, b"") for each in node[2]])
        elif kind == ANY or kind == SUM:
            self._group(into, ((node[1],), (), (), (), (), (), (), ""))
            into.field = node[2]
            self._entries(into, [(word, b"") for word in node[3]] if kind == ANY else [])
        elif kind == CONSTANT:
            into.absent = self._chars(_quoted(node[1]))
        elif kind == GIVEN:
            into.n = node[1]
        else:
            self._compile_branch(into, kind, node)

    cdef _compile_branch(self, Node* into, int kind, tuple node):
        """A node that holds others; what gathers them is empty by default."""
        if kind == STRUCT:
            self._compile_struct(into, node)
        elif kind == MUST:
            self._kids(into, (node[1],))
            into.default = into.kids.default
        elif kind == FIRST or kind == TUPLE:
            self._kids(into, node[1])
        elif kind == EACH or kind == SOME or kind == HEAD or kind == JOINED:
            self._group(into, node[1])
            self._kids(into, (node[2],))
        elif kind == GUARD or kind == UNLESS:
            self._address(into, node[1])
            self._kids(into, (node[3],))
            self._entries(into, [(each, b"") for each in node[2]])
        else:  # PICK, REPEAT, REST
            self._address(into, node[1])
            self._kids(into, (node[2],))
        if kind in (TUPLE, REPEAT, REST, EACH, SOME):
            into.default = self._keep(())

    cdef _compile_map(self, Node* into, tuple node):
        self._address(into, node[1])
        into.object = self._keep(dict(node[2]))
        self._entries(into, [(s.encode(), _quoted(m)) for s, m in node[2].items()])
        into.absent = self._chars(_quoted(node[3]) if node[3] and node[0] == "map" else b"")

    cdef _compile_join(self, Node* into, tuple node):
        self._kids(into, [("text", address, "") for address in node[1]])
        into.object = self._keep(tuple(node[2]))
        self._entries(into, [(each.encode(), b"") for each in node[2]])

    cdef _compile_struct(self, Node* into, tuple node):
        cdef _Fields fields = _fields_of(node[1], node[2])
        self.kept.append(fields)
        into.object = self._keep(node[1])
        into.kids, into.n, into.shared = fields.root.kids, fields.root.n, True
        into.shape, into.least = fields.root.shape, fields.root.least
        into.opening, into.bare = fields.root.opening, node[4] is None
        if node[3] is not None:
            self._address(into, (node[3][0], node[3][1], 0, 0))
            into.placed = True
            into.base = node[3][2]

    cdef _compile_fields(self, Node* into, cls, tuple nodes):
        self._kids(into, nodes)
        into.least = <short>max(into.n - len(getattr(cls, "__struct_defaults__", ())), 0)
        into.opening = self._chars(_opening(cls))
        names = getattr(cls, "__struct_encode_fields__", ("",) * into.n)
        for i, name in zip(range(into.n), names):
            self._compile_key(&into.kids[i], name, i < into.least)
            if i >= into.least:
                default = cls.__struct_defaults__[i - into.least]
                into.kids[i].firm = <object>into.kids[i].default is not default

    cdef _compile_shape(self, Node* into, tuple needs):
        """Sort the kids by what they need; see `_needs`."""
        cdef Shape* shape = <Shape*>calloc(1, sizeof(Shape))
        if shape == NULL:
            raise MemoryError
        into.shape = shape
        lanes = sorted({slot for each in needs if each for slot in each}, reverse=True)
        shape.lanes = <Lane*>calloc(max(len(lanes), 1), sizeof(Lane))
        if shape.lanes == NULL:
            raise MemoryError
        for slot in lanes:
            fields = [(each or {}).get(slot, 0) for each in needs]
            _compile_lane(&shape.lanes[shape.n], slot, fields)
            shape.n += 1
        for i, each in enumerate(needs):
            if each is None or into.kids[i].absent.size or into.kids[i].firm:
                shape.always |= <uint64_t>1 << <int>i

    cdef _compile_key(self, Node* kid, str name, bint needed):
        """What JSON holds of a field whatever the message: its key, and a default it must have."""
        key = b",%s:" % _quoted(name)
        kid.key = self._chars(key.ljust(2 * SHORT))
        kid.key.size = len(key)
        if needed and kid.absent.size == 0:
            kid.absent = self._chars(_absent(<object>kid.default))


cdef int _compile_lane(Lane* lane, short slot, list needs) except -1:
    cdef int i, field
    cdef uint64_t fields
    lane.slot = slot
    lane.kids = <uint64_t*>calloc(64, sizeof(uint64_t))
    if lane.kids == NULL:
        raise MemoryError
    for i in range(len(needs)):
        fields = needs[i]
        lane.fields |= fields
        for field in range(64):
            if fields >> field & 1:
                lane.kids[field] |= <uint64_t>1 << i
    return 0


cdef dict _needs(tuple node):
    """Fields by their slot, none of which has bytes where a node says nothing; None: it may say.

    Slot HERE are the components of the repetition at hand, slot PRESENT the marks of segments.
    """
    kind = node[0]
    if kind in ("first", "tuple"):
        return _any_of([_needs(each) for each in node[1]])
    if kind == "join":
        return _any_of([_place_of(address) for address in node[1]])
    if kind in ("guard", "unless"):
        return _needs(node[3])
    if kind in ("each", "some", "head", "joined"):
        return {PRESENT: _marks(node[1][0])}
    if kind == "sum":
        return {PRESENT: _marks((node[1],))}
    if kind == "struct":
        return _needs_of_struct(node)
    if kind == "ordinal":
        return {node[1]: 1}
    if kind in ("any", "constant", "given", "must"):
        return None
    if (kind == "map" and node[3]) or (kind == "is" and b"" in node[2]):
        return None
    return _place_of(node[1])


cdef dict _needs_of_struct(tuple node):
    cdef _Fields fields
    cdef uint64_t here
    cdef int n, base
    if node[4] is None:
        return None
    if node[3] is not None and node[3][1]:
        return _place_of((*node[3][:2], 0, 0))
    fields = _fields_of(node[1], node[2])
    if fields.needs is None or node[3] is None or HERE not in fields.needs:
        return fields.needs
    base, here = node[3][2], 0
    for n in range(64):
        if <uint64_t>fields.needs[HERE] >> n & 1:
            here |= _bit(n + base)
    return {**fields.needs, HERE: here}


cdef dict _place_of(tuple address):
    slot, field, component = address[:3]
    if field:
        return {slot: _bit(field)}
    return {HERE: _bit(component)} if component else None


cdef dict _any_of(list needs):
    found = {}
    for each in needs:
        if each is None:
            return None
        for slot, fields in each.items():
            found[slot] = found.get(slot, 0) | fields
    return found


cdef uint64_t _bit(int n) noexcept:
    return <uint64_t>1 << min(n, 63)


cdef uint64_t _marks(tuple names) except? 0:
    cdef bytes name
    cdef uint64_t found = 0
    for name in names:
        found |= _bit(mark(packed(<Bytes>PyBytes_AS_STRING(name), 3)))
    return found


cdef class _Fields:
    """What the nodes of one struct are compiled to; all plans share it that hold those nodes."""

    cdef object __weakref__
    cdef Node root
    cdef list kept
    cdef dict needs     # of all of them; see `_needs`

    def __cinit__(self, cls, tuple nodes not None):
        cdef _Compiler compiler = _Compiler()
        self.kept = compiler.kept
        self.kept += (cls, nodes)  # so that nothing else gets the names they go by
        compiler._compile_fields(&self.root, cls, nodes)
        needs = [_needs(each) for each in nodes]
        compiler._compile_shape(&self.root, tuple(needs))
        self.needs = _any_of(needs)

    def __dealloc__(self):
        _release(&self.root)


cdef dict _shared = {}  # weak references, by the identities of a class and of its nodes


cdef _Fields _fields_of(cls, tuple nodes):
    key = id(cls), id(nodes)
    known = _shared.get(key)
    fields = None if known is None else known()
    if fields is None:  # else both are what they were: what is shared keeps them
        fields = _Fields(cls, nodes)
        _shared[key] = PyWeakref_NewRef(fields, None)
    return fields


cdef bytes _opening(cls):
    tag = getattr(getattr(cls, "__struct_config__", None), "tag", None)
    if tag is None:
        return b""
    return b'{"%s":%s' % (cls.__struct_config__.tag_field.encode(), _quoted(tag))


cdef bytes _absent(default):
    """What JSON holds of a field that is always there and has no value."""
    return b"null" if default is None else b"[]" if default == () else b'""'


cdef bytes _quoted(str text):
    """A JSON string of a text that needs no escaping."""
    return b'"%s"' % text.encode()


cdef void _release(Node* node) noexcept:
    cdef int i
    if not node.shared:
        if node.kids != NULL:
            for i in range(node.n):
                _release(&node.kids[i])
        free(node.kids)
        if node.shape != NULL:
            for i in range(node.shape.n):
                free(node.shape.lanes[i].kids)
            free(node.shape.lanes)
        free(node.shape)
    free(node.group)
    free(node.entries)


cdef _pack(Names* into, tuple names):
    cdef bytes name
    if len(names) > SLOTS:
        raise ValueError("a frame names too many segments")
    into.n = <int>len(names)
    for i, name in enumerate(names):
        if len(name) != 3:
            raise ValueError("a segment name has three letters")
        into.name[i] = packed(<Bytes>PyBytes_AS_STRING(name), 3)


cdef class Plan:
    """A compiled description of one struct; see the specification."""

    def __cinit__(self, tuple slots not None, tuple node not None):
        self.slots = slots
        self.node = node
        self.root = <Node*>calloc(1, sizeof(Node))
        if self.root == NULL:
            raise MemoryError
        _pack(&self.names, slots)
        compiler = _Compiler()
        self.kept = compiler.kept
        compiler.compile(self.root, node)

    def __dealloc__(self):
        if self.root != NULL:
            _release(self.root)
            free(self.root)

    def build(self, Tokens tokens not None, tuple given not None, zone not None):
        cdef Run run
        cdef Frame frame
        cdef Py_ssize_t slots[SLOTS]
        unread = []
        self.begin(&run, &frame, slots, tokens, given, zone, unread)
        return value_of(&run, &frame, self.root), unread

    cdef void begin(
        self, Run* run, Frame* frame, Py_ssize_t* slots, Tokens tokens, tuple given, zone, unread
    ):
        cdef Py_ssize_t at
        cdef int i
        run.table, run.tokens, run.given = &tokens.table, <PyObject*>tokens, <PyObject*>given
        run.zone, run.unread, run.valued = <PyObject*>zone, <PyObject*>unread, 0
        run.suffix.size = 0
        if isinstance(zone, str) and len(<str>zone) <= 6 and (<str>zone).isascii():
            run.suffix.at, run.suffix.size = <const char*>PyUnicode_DATA(zone), len(<str>zone)
        frame.slots, frame.start, frame.stop, frame.floor = slots, 0, tokens.table.count, 0
        frame.value, frame.value_end, frame.value_stop = NULL, NULL, 0
        frame.base, frame.cut_field = 0, -1
        run.present = 0
        for at in range(tokens.table.count):
            run.present |= <uint64_t>1 << mark(tokens.table.segments[at].name)
        for i in range(self.names.n):
            slots[i] = -1
            for at in range(tokens.table.count):
                if tokens.table.segments[at].name == self.names.name[i]:
                    slots[i] = at
                    break


# Where a node's values lie.

cdef void _split(Table* t, Frame* f, Py_ssize_t ahead, Bytes at, Bytes end) noexcept nogil:
    """Cut the first repetition of what lies before `end` into components."""
    cdef Bytes place
    cdef unsigned char found
    f.cuts[0], f.heads[0], f.end, f.n, f.filled = at, NULL, end, 1, 0
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
            f.filled |= <uint64_t>(place > f.cuts[f.n - 1]) << f.n
            f.cuts[f.n], f.heads[f.n] = place + 1, NULL
            f.n += 1
    if f.heads[f.n - 1] == NULL:
        f.heads[f.n - 1] = f.end
    f.filled |= <uint64_t>(f.end > f.cuts[f.n - 1]) << f.n
    if f.n == CUTS:  # whatever is behind is searched
        f.filled |= ~<uint64_t>0 << CUTS


cdef void open_here(Run* r, Frame* f) noexcept nogil:
    """Cut the repetition at hand into components."""
    f.cut_slot = f.cut_field = 0
    _split(r.table, f, f.value_stop, f.value, f.value_end)


cdef bint open_field(Run* r, Frame* f, Node* node) noexcept nogil:
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
        if not find_field(r.table, s, node.field, &at, &end):
            return False
        if s.header and node.field <= 2:  # the delimiters themselves have no parts
            _split(r.table, f, r.table.stopped, at, end)
            return node.component <= 1 and node.subcomponent <= 1
        f.cut_field = node.field
        ahead = first_stop(r.table, s, node.field)
    _split(r.table, f, ahead, at, end)
    return True


cdef bint locate_rarely(
    Table* t, Frame* f, Node* node, int n, Bytes* at, Bytes* end
) noexcept nogil:
    """The same for undivided values, later subcomponents and far components."""
    at[0], end[0] = f.cuts[0], f.end
    if node.component and f.cut_field >= 0:  # not the delimiters themselves
        at[0] = f.cuts[min(n, f.n - 1)]
        narrow(at, end, t.component, max(n - f.n + 1, 0) + 1)
        narrow(at, end, t.subcomponent, node.subcomponent)
    return at[0] < end[0]


cdef bint enter_field(Run* r, Frame* f, Node* node, Frame* inner) noexcept nogil:
    """Enter the first repetition of the field a struct stands at, if it is not empty."""
    enter(inner, f, 0, NULL, NULL)
    if not open_field(r, inner, node) or inner.cuts[0] == inner.end:
        return False
    inner.value, inner.value_end = inner.cuts[0], inner.end
    inner.cut_slot, inner.cut_field = 0, 0
    inner.value_stop = first_stop(r.table, &r.table.segments[f.slots[node.slot]], node.field)
    return True


cdef bint walk(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil:
    """Whether the field of a node's address has repetitions to walk over."""
    if not locate_whole(r, f, node, &w.at, &w.end):
        return False
    w.ahead = first_stop(r.table, &r.table.segments[f.slots[node.slot]], node.field)
    return True


cdef bint walk_on(Run* r, Frame* f, Node* node, Walk* w) noexcept nogil:
    """The same for those behind the first."""
    if not walk(r, f, node, w):
        return False
    w.at = sought(w.at, w.end, r.table.repetition) + 1
    while w.ahead < r.table.stopped and r.table.base + r.table.stops[w.ahead] < w.at:
        w.ahead += 1
    return w.at <= w.end


cdef bint step(Table* t, Frame* f, Walk* w, Frame* inner) noexcept nogil:
    """Enter the next repetition that is not empty; False behind the last."""
    while w.at <= w.end:
        enter(inner, f, w.ahead, w.at, w.end)
        _split(t, inner, w.ahead, w.at, w.end)
        inner.value_end, inner.cut_slot, inner.cut_field = inner.end, 0, 0
        while w.ahead < t.stopped and t.base + t.stops[w.ahead] <= inner.end:
            w.ahead += 1
        w.at = inner.end + 1
        if inner.value < inner.value_end:
            return True
    return False


cdef bint next_item(Run* r, Frame* f, Group* g, Tour* tour, Frame* inner) noexcept nogil:
    """Enter the frame of the next item; False behind the last. A tour begins `at` -1."""
    cdef Segment* segments = r.table.segments
    cdef int i
    if tour.at < 0:
        _set_out(segments, f, g, tour)
    while tour.at + 1 < f.stop:
        tour.at += 1
        for i in range(g.inherits.n):
            if segments[tour.at].name == g.inherits.name[i]:
                tour.seen[i] = tour.at
        if g.until.n and _is_in(&g.until, segments[tour.at].name):
            return False
        if tour.at >= tour.reached and _is_in(&g.names, segments[tour.at].name):
            if g.behind.n == 0 or _stands_behind(segments, tour.at, &g.behind):
                break
    else:
        return False
    enter(inner, f, 0, NULL, NULL)
    inner.slots, inner.start = tour.slots, tour.at + 1
    inner.stop = tour.reached = _reached(segments, tour.at, g, f.stop)
    if g.apart:
        inner.floor = tour.at
    for i in range(g.slots.n):
        tour.slots[i] = _place(segments, inner, g, tour.seen, g.slots.name[i])
    return True


cdef void _set_out(Segment* segments, Frame* f, Group* g, Tour* tour) noexcept nogil:
    """Begin a tour: what stands before a frame has been seen already."""
    cdef Py_ssize_t at
    cdef int i
    tour.at, tour.reached = f.start - 1, f.start
    for i in range(g.inherits.n):
        at = f.start - 1
        while at >= f.floor and segments[at].name != g.inherits.name[i]:
            at -= 1
        tour.seen[i] = at if at >= f.floor else -1


cdef bint _stands_behind(Segment* segments, Py_ssize_t at, Names* names) noexcept nogil:
    """Whether a segment, or the run of its like it is in, stands behind one of these."""
    cdef Py_ssize_t before = at - 1
    while before >= 0 and segments[before].name == segments[at].name:
        before -= 1
    return before >= 0 and _is_in(names, segments[before].name)


cdef Py_ssize_t _reached(
    Segment* segments, Py_ssize_t at, Group* g, Py_ssize_t stop
) noexcept nogil:
    """Where the item that begins here ends: each of the names ends those before it."""
    cdef int rank = 0, i
    while g.names.name[rank] != segments[at].name:
        rank += 1
    at += 1
    if g.apart:
        while at < stop and not _is_in(&g.names, segments[at].name):
            at += 1
        return at
    if g.single:
        rank = g.names.n
    while at < stop:
        for i in range(rank + 1, g.names.n):
            if segments[at].name == g.names.name[i]:
                rank = i
                break
        else:
            if not _is_in(&g.followers, segments[at].name):
                break
        at += 1
    return at


cdef Py_ssize_t _place(
    Segment* segments, Frame* f, Group* g, Py_ssize_t* seen, uint32_t name
) noexcept nogil:
    """Which segment a slot of an `each` means: the first of the item, else the inherited one."""
    cdef Py_ssize_t at
    cdef int i
    for at in range(f.start - 1, f.stop):
        if segments[at].name == name:
            return at
    for i in range(g.inherits.n):
        if g.inherits.name[i] == name:
            return seen[i]
    if g.ahead.n and _is_in(&g.ahead, name):
        at = f.start - 2
        while at >= f.floor and not _is_in(&g.names, segments[at].name):
            if segments[at].name == name:
                return at
            at -= 1
    return -1


cdef bint _is_in(Names* names, uint32_t name) noexcept nogil:
    cdef int i
    for i in range(names.n):
        if names.name[i] == name:
            return True
    return False


# Values: a reader for each kind of node. What it returns where there is none is the default, and
# `valued` has not moved.

ctypedef object (*Reader)(Run*, Frame*, Node*)
cdef Reader _readers[KINDS]


cdef object value_of(Run* r, Frame* f, Node* node):
    return _readers[node.kind](r, f, node)


cdef object _text(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    if not locate(r, f, node, &at, &end):
        return <object>node.default
    r.valued += 1
    return text_of(r.table, r.tokens, at, end)


cdef object _whole(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    if not locate_whole(r, f, node, &at, &end):
        return <object>node.default
    r.valued += 1
    return text_of(r.table, r.tokens, at, end)


cdef object _mapped(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    cdef PyObject* found
    text = _text(r, f, node)
    if r.valued == before:
        return text
    found = PyDict_GetItemWithError(<object>node.object, text)
    return text if found == NULL else <object>found


cdef object _known(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    cdef PyObject* found
    if not locate(r, f, node, &at, &end):
        return <object>node.default
    found = PyDict_GetItemWithError(<object>node.object, text_of(r.table, r.tokens, at, end))
    if found == NULL:
        return <object>node.default
    r.valued += 1
    return <object>found


cdef object _first(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    cdef int i
    for i in range(node.n):
        found = value_of(r, f, &node.kids[i])
        if r.valued > before:
            return found
    return <object>node.default


cdef object _must(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before = r.valued
    found = value_of(r, f, node.kids)
    if r.valued == before:
        (<list>r.unread).append((-1, 0))
    return found


cdef bint is_wanted(Run* r, Frame* f, Node* node) noexcept nogil:
    """Whether the bytes at a node's address, or none, are among those it wants."""
    cdef Bytes at, end
    if not locate(r, f, node, &at, &end):
        at = end = r.table.base
    return entry_of(node, at, end - at) != NULL


cdef object _guarded(Run* r, Frame* f, Node* node):
    return value_of(r, f, node.kids) if is_wanted(r, f, node) else <object>node.default


cdef object _is(Run* r, Frame* f, Node* node):
    return True if is_wanted(r, f, node) else <object>node.default


cdef object _unless(Run* r, Frame* f, Node* node):
    return <object>node.default if is_wanted(r, f, node) else value_of(r, f, node.kids)


cdef object _any(Run* r, Frame* f, Node* node):
    return has_word(r, f, node)


cdef object _given(Run* r, Frame* f, Node* node):
    return (<tuple>r.given)[node.n]


cdef object _lines(Run* r, Frame* f, Node* node):
    cdef Bytes at, end, stop
    if not locate_whole(r, f, node, &at, &end):
        return <object>node.default
    r.valued += 1
    if sought(at, end, r.table.repetition) == end:
        return text_of(r.table, r.tokens, at, end)
    lines = []
    while True:
        stop = sought(at, end, r.table.repetition)
        lines.append(text_of(r.table, r.tokens, at, stop) or "")
        if stop == end:
            return "\n".join(lines)
        at = stop + 1


cdef object _joined(Run* r, Frame* f, Node* node):
    cdef int i
    parts = []
    for i in range(node.n):
        text = value_of(r, f, &node.kids[i])
        if text:
            parts.append((<tuple>node.object)[i] + text)
    return " ".join(parts) if parts else <object>node.default


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
    return _fields(r, &inner, node) if enter_field(r, f, node, &inner) else <object>node.default


# The same functions, the references they return not counted by Cython.
ctypedef PyObject* (*Borrower)(Run*, Frame*, Node*) noexcept
ctypedef PyObject* (*Decoder)(Table*, PyObject*, Bytes, Bytes) noexcept


cdef object _fields(Run* r, Frame* f, Node* node):
    """The struct of a node's kids, called with what is left after its trailing defaults."""
    cdef PyObject* values[WIDTH]
    cdef Py_ssize_t before = r.valued
    cdef uint64_t todo = worthwhile(r, f, node.shape)
    cdef int i, made = 0, used = node.least
    cdef Bytes at, end
    cdef Node* kid
    cdef PyObject* value
    try:
        while todo or made < node.least:
            i = lowest(todo) if todo else node.least
            while made < i:
                values[made] = node.kids[made].default
                Py_INCREF(<object>values[made])
                made += 1
            if not todo:
                break
            todo &= todo - 1
            kid = &node.kids[made]
            if kid.kind != TEXT:
                value = (<Borrower>_readers[kid.kind])(r, f, kid)
            elif locate(r, f, kid, &at, &end):
                r.valued += 1
                value = (<Decoder>text_of)(r.table, r.tokens, at, end)
            else:
                value = kid.default
                Py_INCREF(<object>value)
            if value == NULL:
                fifhir_failed()
            values[made] = value
            made += 1
            if (value != kid.default or kid.firm) and made > used:
                used = made
        if r.valued == before and not node.bare:
            return <object>node.default
        return PyObject_Vectorcall(<object>node.object, values, used, NULL)
    finally:
        for i in range(made):
            Py_DECREF(<object>values[i])


cdef object _repeat(Run* r, Frame* f, Node* node):
    cdef Walk w
    cdef Frame inner
    cdef Py_ssize_t before
    items = None
    if not (walk(r, f, node, &w) if node.kind == REPEAT else walk_on(r, f, node, &w)):
        return ()
    while step(r.table, f, &w, &inner):
        before = r.valued
        value = value_of(r, &inner, node.kids)
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
    if walk(r, f, node, &w):
        while step(r.table, f, &w, &inner):
            value = value_of(r, &inner, node.kids)
            if r.valued > before:
                return value
    return <object>node.default


cdef object _tuple(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t before
    cdef int i, found = 0
    only = items = None
    for i in range(node.n):
        before = r.valued
        value = value_of(r, f, &node.kids[i])
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
    cdef Tour tour
    cdef Frame inner
    cdef Py_ssize_t n = 0, made = 0, at, before
    for at in range(f.start, f.stop):
        n += _is_in(&node.group.names, r.table.segments[at].name)
    if n == 0:
        return ()
    items = PyTuple_New(n)
    tour.at = -1
    while next_item(r, f, node.group, &tour, &inner):
        before = r.valued
        value = value_of(r, &inner, node.kids)
        if r.valued == before and node.kind == SOME:
            continue
        Py_INCREF(value)
        PyTuple_SET_ITEM(items, made, value)
        made += 1
    return items if made == n else (<tuple>items)[:made]


cdef object _head(Run* r, Frame* f, Node* node):
    cdef Tour tour
    cdef Frame inner
    tour.at = -1
    if next_item(r, f, node.group, &tour, &inner):
        return value_of(r, &inner, node.kids)
    return <object>node.default


cdef object _joined_items(Run* r, Frame* f, Node* node):
    cdef Tour tour
    cdef Frame inner
    cdef Py_ssize_t before = r.valued
    lines = []
    tour.at = -1
    while next_item(r, f, node.group, &tour, &inner):
        text = value_of(r, &inner, node.kids)
        if text:
            lines.append(text)
    return "\n".join(lines) if lines and r.valued > before else <object>node.default


cdef object _numeral(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    if not locate(r, f, node, &at, &end):
        return <object>node.default
    found = nm.number((<const char*>at)[:end - at])
    if found is None and node.kind == EXACT:
        return <object>node.default
    r.valued += 1
    return text_of(r.table, r.tokens, at, end) if found is None else found


cdef object _sum(Run* r, Frame* f, Node* node):
    cdef Segment* s
    cdef Bytes at, end
    cdef Py_ssize_t i
    numbers = []
    for i in range(f.start, f.stop):
        s = &r.table.segments[i]
        if s.name == node.group.names.name[0] and find_field(r.table, s, node.field, &at, &end):
            narrow(&at, &end, r.table.repetition, 1)
            narrow(&at, &end, r.table.component, 1)
            narrow(&at, &end, r.table.subcomponent, 1)
            numbers.append((<const char*>at)[:end - at])
    found = nm.total(numbers)
    r.valued += found is not None
    return <object>node.default if found is None else found


cdef object _constant(Run* r, Frame* f, Node* node):
    return <object>node.default


cdef bint has_word(Run* r, Frame* f, Node* node) noexcept nogil:
    """Whether a word of such a field is wanted, in whatever case."""
    cdef Bytes at, end, stop
    cdef Py_ssize_t i
    for i in range(f.start, f.stop):
        if r.table.segments[i].name != node.group.names.name[0]:
            continue
        find_field(r.table, &r.table.segments[i], node.field, &at, &end)
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
    for i in range(node.known):
        word = node.entries[i].sent
        j = 0
        while word.size == size and j < size and _upper(at[j]) == <unsigned char>word.at[j]:
            j += 1
        if j == size:
            return True
    return False


cdef inline unsigned char _upper(unsigned char c) noexcept nogil:
    return c & 0xDF if 97 <= c <= 122 else c


cdef object _ordinal(Run* r, Frame* f, Node* node):
    cdef Py_ssize_t at = f.slots[node.slot], i, n = 0
    if at < 0:
        return <object>node.default
    for i in range(f.floor, at):
        n += r.table.segments[i].name == r.table.segments[at].name
    return n


# Dates.

cdef object _dated(Run* r, Frame* f, Node* node):
    cdef Bytes at, end
    cdef char plain[48]
    cdef Py_ssize_t size
    if not locate(r, f, node, &at, &end):
        return <object>node.default
    size = plain_date(r, node.kind, at, end - at, plain)
    if size:
        r.valued += 1
        return ascii_text(plain, size)
    return rare_date(r, f, node, at, end)


cdef object rare_date(Run* r, Frame* f, Node* node, Bytes at, Bytes end):
    text = text_of(r.table, r.tokens, at, end)
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


cdef int[13] _DAYS = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


cdef inline bint _is_moment(Bytes at, Py_ssize_t digits) noexcept nogil:
    """Whether 8, 12 or 14 digits are a date (leap days aside) and a time."""
    cdef int month, day
    if digits != 8 and digits != 12 and digits != 14:
        return False
    month, day = _number(at + 4, 2), _number(at + 6, 2)
    if at[0] == 48 or not 1 <= month <= 12 or not 1 <= day <= _DAYS[month]:
        return False
    if digits > 8 and (_number(at + 8, 2) > 23 or _number(at + 10, 2) > 59):
        return False
    return digits < 14 or _number(at + 12, 2) <= 59


cdef struct Moment:     # how a date was sent: bytes of its parts
    Py_ssize_t digits, fraction, offset


cdef bint _measure(Moment* m, Bytes at, Py_ssize_t size) noexcept nogil:
    """Whether it is YYYYMMDD[HHMM[SS[.F]]][+ZZZZ], an offset of zero (whose sign tells) aside."""
    cdef Py_ssize_t behind
    cdef int minutes
    m.digits, m.fraction = _digits(at, size), 0
    if not _is_moment(at, m.digits):
        return False
    if m.digits == 14 and size > 14 and at[14] == 46:
        m.fraction = _digits(at + 15, size - 15) + 1
        if not 2 <= m.fraction <= 10:
            return False
    behind = m.digits + m.fraction
    m.offset = size - behind
    if m.offset == 0:
        return True
    at += behind
    if m.offset != 5 or m.digits == 8 or (at[0] != 43 and at[0] != 45) or _digits(at + 1, 4) != 4:
        return False
    minutes = _number(at + 1, 2) * 60 + _number(at + 3, 2)
    return 0 < minutes <= 840 and at[3] <= 53


cdef Py_ssize_t plain_date(
    Run* r, int kind, Bytes at, Py_ssize_t size, char* out
) noexcept nogil:
    """Write a date in its common form as ISO 8601; 0 for rarer forms, which `dtm` reads."""
    cdef Moment m
    cdef Py_ssize_t n = 19
    if not _measure(&m, at, size):
        return 0
    memcpy(out, b"YYYY-MM-DDT00:00:00", 19)
    memcpy(out, at, 4)
    memcpy(out + 5, at + 4, 2)
    memcpy(out + 8, at + 6, 2)
    if kind == DATE or (kind == TIME and m.digits == 8):
        return 10
    if m.digits > 8:
        memcpy(out + 11, at + 8, 2)
        memcpy(out + 14, at + 10, 2)
    if m.digits == 14:
        memcpy(out + 17, at + 12, 2)
    at += m.digits
    memcpy(out + n, at, m.fraction)
    return _put_offset(r, at + m.fraction, m.offset, out, n + m.fraction)


cdef inline Py_ssize_t _put_offset(
    Run* r, Bytes at, Py_ssize_t size, char* out, Py_ssize_t n
) noexcept nogil:
    """End a moment of `n` bytes by the offset sent, else by the zone's, if that has only one."""
    if size:
        memcpy(out + n, at, 3)
        out[n + 3] = 58
        memcpy(out + n + 4, at + 3, 2)
        return n + 6
    if r.suffix.size == 0:
        return 0
    memcpy(out + n, r.suffix.at, r.suffix.size)
    return n + r.suffix.size


_readers[TEXT], _readers[WHOLE], _readers[LINES] = _text, _whole, _lines
_readers[DATE] = _readers[TIME] = _readers[INSTANT] = _dated
_readers[MAP], _readers[KNOWN], _readers[JOIN] = _mapped, _known, _joined
_readers[GUARD], _readers[UNLESS] = _guarded, _unless
_readers[FIRST], _readers[PICK], _readers[MUST] = _first, _pick, _must
_readers[STRUCT], _readers[TUPLE] = _struct, _tuple
_readers[REPEAT] = _readers[REST] = _repeat
_readers[EACH] = _readers[SOME] = _each
_readers[HEAD], _readers[JOINED] = _head, _joined_items
_readers[NUMBER] = _readers[EXACT] = _numeral
_readers[SUM], _readers[CONSTANT] = _sum, _constant
_readers[ORDINAL], _readers[ANY], _readers[IS] = _ordinal, _any, _is
_readers[GIVEN] = _given
