"""Tokens that are good, and every way of making one that is not."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fifhir.access import Caller
from fifhir.bearer import Rules, Verifier, read_jwks
from tests.waiting import until

RULES = Rules(
    issuer="https://issuer.example",
    audience="fi-fhir",
    algorithms=("RS256", "ES256", "EdDSA"),
    leeway=30.0,
    scope_claim="scope",
    scope_prefix="hl7/",
    name_claim="sub",
    rate=60,
)
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = ec.generate_private_key(ec.SECP256R1())


def jwk(algorithm: str, **more: str) -> dict[str, Any]:
    """The public half of a key as its issuer publishes it."""
    public = KEYS[algorithm].public_key()
    made = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    made.pop("key_ops", None)
    return {**made, "kid": algorithm, "use": "sig", **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys) or [jwk(each) for each in KEYS]}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    now = time.time()
    good = {
        "iss": "https://issuer.example",
        "aud": ["fi-fhir", "other"],
        "sub": "lab",
        "exp": now + 600,
        "nbf": now,
        "iat": now,
        "scope": "hl7/parse hl7/workflow openid hl7/everything",
    }
    return {name: claim for name, claim in {**good, **changed}.items() if claim is not None}


def token(algorithm: str = "RS256", key: Any = None, head: Any = None, **changed: Any) -> bytes:
    told = {"kid": algorithm, "typ": "at+jwt", **(head or {})}
    return jwt.encode(claims(**changed), key or KEYS[algorithm], algorithm, told).encode()


@pytest.fixture
def read() -> Callable[[bytes], Any]:
    return Verifier(RULES, read_jwks(jwks())).read


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_good_token_says_who_and_what_until_when(
    read: Callable[[bytes], Any], algorithm: str
) -> None:
    end = int(time.time()) + 300
    caller = read(token(algorithm, exp=end))
    assert isinstance(caller, Caller)
    assert (caller.name, set(caller.scopes)) == ("jwt:lab", {"parse", "workflow"})
    assert (caller.until, caller.rate, caller.lasts) == (end + 30.0, 60, False)


def test_scopes_may_be_a_list(read: Callable[[bytes], Any]) -> None:
    assert read(token(scope=["hl7/replay", "parse"])).scopes == {"replay"}
    assert read(token(scope=None)).scopes == set()
    assert read(token(scope=7)).scopes == set()


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"aud": ["FI-FHIR"]},
        {"exp": time.time() - 31},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": time.time() + 86400},  # of the collection: tests begin minutes later
        {"sub": None},
        {"sub": "x" * 129},
        {"sub": "two\nlines"},
        {"sub": ""},
    ],
)
def test_claims_that_are_missing_or_wrong_are_refused(
    read: Callable[[bytes], Any], changed: dict[str, Any]
) -> None:
    assert read(token(**changed)) is None


def test_clocks_may_differ_by_the_leeway(read: Callable[[bytes], Any]) -> None:
    assert read(token(exp=time.time() - 20, nbf=time.time() - 600))
    assert read(token(nbf=time.time() + 20))


def part(value: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def forged(head: dict[str, Any], secret: bytes) -> bytes:
    """A token signed with a shared secret."""
    signed = part(head) + b"." + part(claims())
    mac = hmac.new(secret, signed, hashlib.sha256).digest()
    return signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")


def test_nobody_signs_with_none(read: Callable[[bytes], Any]) -> None:
    for name in ("none", "None", "NONE", ""):
        unsigned = part({"alg": name, "kid": "RS256"}) + b"." + part(claims()) + b"."
        assert read(unsigned) is None
        assert read(unsigned + b"AAAA") is None


def test_a_public_key_is_never_a_shared_secret(read: Callable[[bytes], Any]) -> None:
    public = KEYS["RS256"].public_key()
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        secret = public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert read(forged({"alg": "HS256", "kid": "RS256", "typ": "JWT"}, secret)) is None


def test_an_algorithm_that_does_not_fit_the_key_is_refused(read: Callable[[bytes], Any]) -> None:
    assert read(token("ES256", head={"kid": "RS256"})) is None
    assert read(token("RS256", head={"kid": "ES256"})) is None


def test_an_algorithm_nobody_allowed_is_refused(read: Callable[[bytes], Any]) -> None:
    assert read(token("PS256", KEYS["RS256"], {"kid": "RS256"})) is None


def test_another_signature_or_a_changed_byte_is_refused(read: Callable[[bytes], Any]) -> None:
    good = token("ES256")
    assert read(token("ES256", STRANGER)) is None
    head, _, signature = good.split(b".")
    assert read(b".".join((head, part(claims(scope="hl7/admin")), signature))) is None
    assert read(good[:-4]) is None
    assert read(good)


def test_a_key_that_comes_with_the_token_is_not_looked_at(read: Callable[[bytes], Any]) -> None:
    own = jwt.algorithms.ECAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)
    for head in ({"jwk": own}, {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil"}):
        assert read(token("ES256", STRANGER, head)) is None


@pytest.mark.parametrize(
    "head",
    [
        {"crit": ["exp"]},
        {"typ": "logout+jwt"},
        {"typ": "secevent+jwt"},
        {"kid": "gone"},
        {"kid": ""},
    ],
)
def test_a_head_that_is_not_for_us_is_refused(
    read: Callable[[bytes], Any], head: dict[str, Any]
) -> None:
    assert read(token(head=head)) is None


@pytest.mark.parametrize("rubbish", [b"..", b"a.b.c", b"\xff.\xff.\xff", b"e30.e30.", b"." * 100])
def test_what_is_no_token_is_refused(read: Callable[[bytes], Any], rubbish: bytes) -> None:
    assert read(rubbish) is None


def test_one_key_needs_no_name() -> None:
    bare = jwk("ES256")
    del bare["kid"]
    verifier = Verifier(RULES, read_jwks(jwks(bare)))
    assert verifier.read(jwt.encode(claims(), KEYS["ES256"], "ES256").encode())


def test_keys_for_other_ends_are_passed_over() -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(small.public_key(), as_dict=True)
    secret = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}
    unfit: tuple[dict[str, Any], ...] = (
        secret,
        jwk("RS256", use="enc"),
        {**jwk("RS256"), "key_ops": ["encrypt"]},
        {**jwk("ES256"), "crv": "secp256k1"},
        {**weak, "kid": "weak"},
        {"kty": "RSA", "n": "!"},
        {},
    )
    signers = read_jwks(jwks(*unfit, jwk("EdDSA")))
    assert list(signers) == ["EdDSA"]
    with pytest.raises(ValueError, match="no key that signatures"):
        read_jwks(jwks(*unfit))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"keys": 7}', b"\xff", b'{"keys": "x"}'])
def test_what_is_no_key_set_is_told_so(text: bytes) -> None:
    with pytest.raises(ValueError, match="no "):
        read_jwks(text)


def test_a_key_set_has_a_limit() -> None:
    with pytest.raises(ValueError, match="more than"):
        read_jwks(jwks(*(jwk("ES256", kid=str(number)) for number in range(101))))


def test_a_key_that_is_not_known_may_be_on_its_way() -> None:
    verifier = Verifier(RULES)
    assert verifier.read(token()) == "unready"
    verifier.replace(read_jwks(jwks(jwk("ES256"))))
    assert verifier.read(token()) is None
    verifier.missing = lambda: True
    assert verifier.read(token()) == "unready"
    verifier.replace(read_jwks(jwks()))
    assert isinstance(verifier.read(token()), Caller)


def test_a_token_is_forgotten_with_its_key_and_at_its_end() -> None:
    verifier = Verifier(RULES, read_jwks(jwks()))
    good, short = token(), token(exp=time.time() - 27)
    assert verifier.read(good)
    assert verifier.read(short)
    until(lambda: verifier.read(short) is None, seconds=20)
    verifier.replace(read_jwks(jwks(jwk("ES256"))))
    assert verifier.read(good) is None


def test_what_is_remembered_has_a_limit() -> None:
    verifier = Verifier(RULES, read_jwks(jwks()))
    for number in range(1100):
        assert verifier.read(token("EdDSA", jti=str(number)))
    assert len(verifier._known) == 1024
