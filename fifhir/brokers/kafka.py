"""How aiokafka is told to reach a broker."""

from fifhir.brokers import Login


def security(login: Login) -> dict[str, object]:
    """The part of a client's options that says whom it trusts and who it is."""
    made: dict[str, object] = {
        "bootstrap_servers": list(login.servers),
        "client_id": "fi-fhir",
        "security_protocol": "SASL_" * bool(login.username)
        + ("SSL" if login.trust else "PLAINTEXT"),
    }
    if login.trust:
        made["ssl_context"] = login.trust.context()
    if login.username:
        made |= {
            "sasl_mechanism": login.mechanism,
            "sasl_plain_username": login.username,
            "sasl_plain_password": login.password.reveal(),
        }
    return made
