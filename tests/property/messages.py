"""Generated messages and plans: every delimiter, every kind of node, a little dirt everywhere."""

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from fifhir.event import Coding

STANDARD = b"|^~\\&"
_PUNCTUATION = "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_ENDINGS = st.sampled_from([b"\r", b"\r", b"\r", b"\n", b"\r\n", b"\r\r", b"\n\r", b"\r \t\r"])
_NAMES = st.sampled_from(
    [*"PID PV1 OBR OBX OBX NTE NTE EVN ZZZ MSH BHS pid X OBXX né".encode().split(), b"", b" PID"]
)
_DATES = b"20240102 202401021305+0100 20240230 2024 20240229 20240131235959 202401021305-0000"
_TEXTS = "a Bo LN MR é 漢 H F T X41 .br .sp3 Z9 longer-than-sixteen-bytes".encode()
_WORDS = st.sampled_from(
    [
        *_DATES.split(),
        *_TEXTS.split(),
        b"",
        b"",
        b"7",
        b"-0.50",
        b'""',
        b'"',
        b" ",
        b"\0",
        b"\x0b",
        b"\x1c",
    ]
)


def delimiters() -> st.SearchStrategy[bytes]:
    """Five or six that differ; the standard ones half of the time."""
    some = st.lists(st.sampled_from(_PUNCTUATION), min_size=5, max_size=6, unique=True)
    return st.one_of(st.just(STANDARD), some.map(lambda found: "".join(found).encode()))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message that opens: its MSH is right, the rest is anything."""
    found = draw(delimiters())
    octets = [found[n : n + 1] for n in range(len(found))]
    part = st.one_of(_WORDS, st.sampled_from(octets))
    field = st.lists(part, max_size=6).map(b"".join)
    fields = st.lists(field, max_size=12)
    out = b"MSH" + found[:1] + found[1:] + found[:1] + found[:1].join(draw(fields))
    for name in draw(st.lists(_NAMES, max_size=10)):
        out += draw(_ENDINGS) + found[:1].join([name, *draw(fields)])
    return out + draw(st.sampled_from([b"", b"\r", b"\r\n", b"\x1c\r"]))


def dirt() -> st.SearchStrategy[bytes]:
    """Anything, or nearly a message."""
    near = st.binary(max_size=60).map(lambda tail: b"MSH|^~\\&|" + tail)
    return st.one_of(st.binary(max_size=80), near, messages().map(lambda raw: raw[:-9]))


SLOTS = (b"MSH", b"PID", b"OBR", b"OBX", b"NTE")


class Pair(Struct, frozen=True):
    """A struct that cannot be made without its fields, whatever they hold."""

    one: Any
    two: Any


def addresses(within: bool) -> st.SearchStrategy[tuple[int, int, int, int]]:
    """Of leaves: in a segment, or, `within` a repetition, in that. Never MSH-1 or MSH-2."""
    numbers = st.tuples(st.integers(0, 5), st.integers(0, 3))
    fields = st.sampled_from([*range(0 if within else 3, 14)])
    return st.tuples(st.integers(0, len(SLOTS) - 1), fields, numbers).map(
        lambda found: (found[0], found[1], found[2][0], found[2][1] if found[2][0] else 0)
    )


def _leaves(within: bool) -> st.SearchStrategy[Any]:
    at, whole = addresses(within), st.tuples(st.integers(0, 4), st.integers(3, 13))
    default = st.just("")
    undivided = whole.map(lambda found: (*found, 0, 0))
    table = st.dictionaries(st.sampled_from(["a", "Bo", "LN"]), st.just("mapped"))
    return st.one_of(
        st.tuples(st.just("text"), at, default),
        st.tuples(st.just("text"), at, default),
        st.tuples(st.sampled_from(["whole", "lines"]), undivided, default),
        st.tuples(st.sampled_from(["date", "time", "instant"]), at, default),
        st.tuples(st.sampled_from(["map", "known"]), at, table, default),
        st.tuples(st.just("join"), st.tuples(at, at), st.just(("", "+")), default),
        st.tuples(
            st.just("any"),
            st.sampled_from([b"OBX", b"PID"]),
            st.integers(1, 9),
            st.just((b"A", b"HH", b"LN")),
        ),
        st.tuples(st.just("is"), at, st.just((b"a", b"LN")), default),
        st.tuples(st.just("ordinal"), st.integers(0, 4), default),
        st.tuples(st.sampled_from(["number", "exact"]), at, default),
        st.tuples(st.just("sum"), st.sampled_from([b"OBX", b"PID"]), st.integers(1, 9), default),
        st.tuples(st.just("constant"), st.just("said")),
        st.tuples(st.just("given"), st.integers(0, 2)),
    )


def _texts() -> st.SearchStrategy[Any]:
    """Of a text, as `joined` needs."""
    return st.tuples(st.sampled_from(["text"]), addresses(False), st.just(""))


def _structs(kid: st.SearchStrategy[Any], place: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Of a struct whose defaults are those of its text nodes, or of one of any two values.

    One that moves to an address has a default, as all in the tables have.
    """
    text = kid.filter(lambda node: node[0] == "given" or node[-1] == "")

    def of(made: Any, kids: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        unset = st.sampled_from(["", None])
        return st.tuples(st.just("struct"), st.just(made), kids, place, unset)

    return st.one_of(of(Coding, st.tuples(text, text, text)), of(Pair, st.tuples(kid, kid)))


# The components behind the first few of the repetition at hand.
_further = st.integers(0, 3).map(lambda component: (0, 0, component, 0))


def nodes(depth: int = 3, within: bool = False) -> st.SearchStrategy[Any]:
    """A node of any kind, with others inside it."""
    if not depth:
        return _leaves(within)
    kid, inner = nodes(depth - 1, within), nodes(depth - 1, True)
    few = st.lists(kid, min_size=1, max_size=3).map(tuple)
    wanted = st.sampled_from([(b"a",), (b"LN", b"MR"), (b'""', b"H")])
    names = st.sampled_from([(), (b"NTE",), (b"NTE", b"OBX"), (b"OBX", b"NTE", b"ZZZ")])
    inherits = st.sampled_from([(), (b"OBR",), (b"PID", b"OBR")])
    starts = [(b"OBX",), (b"OBR",), (b"NTE",), (b"PV1", b"OBR", b"OBX")]
    group, item = st.sampled_from(starts), nodes(depth - 1, False)
    field = st.tuples(st.integers(0, 4), st.integers(3, 13)).map(lambda found: (*found, 0, 0))
    few_names = st.sampled_from([(), (), (b"OBR",), (b"OBX", b"PID")])
    reach = st.sampled_from(["", "", "single", "apart"])
    ahead = st.sampled_from([(), (b"PID", b"OBR")])
    groups = st.tuples(
        *(group, names, inherits, few_names, few_names, st.just(SLOTS)), *(ahead, reach)
    )
    return st.one_of(
        _leaves(within),
        st.tuples(
            st.sampled_from(["guard", "unless"]), addresses(within), wanted, kid, st.just("")
        ),
        st.tuples(st.just("first"), few, st.just("")),
        _structs(kid, st.one_of(st.none(), _further) if within else st.none()),
        _structs(inner, field),
        st.tuples(st.sampled_from(["repeat", "rest"]), field, inner),
        st.tuples(st.just("pick"), field, inner, st.just("")),
        st.tuples(st.just("must"), kid),
        st.tuples(st.just("tuple"), few),
        st.tuples(st.sampled_from(["each", "some"]), groups, item),
        st.tuples(st.just("head"), groups, item, st.just("")),
        st.tuples(st.just("joined"), groups, _texts(), st.just("")),
    )
