"""How clients reach Kafka: settings for kafka-python and for Faust, and why it can't be reached."""

import logging
import socket
import ssl
from datetime import datetime
from typing import Any

from infra.settings import Settings, StartRefused

CONNECT_MS = 5_000

RELAY_SILENCE_S_MAX = 15
RELAY_ERROR_S_MAX = 60
"""A relay that goes on failing says so more often: an older error is of one that runs no more."""
RELAY_STATE = f"""
SELECT r.position, h.position - r.position, r.events_per_s, r.last_error, r.last_error_at,
    r.acked_at > now() - interval '{RELAY_SILENCE_S_MAX} s'
        AND r.acked_at > coalesce(r.last_error_at, '-infinity'),
    r.last_error_at > greatest(r.acked_at, now() - interval '{RELAY_ERROR_S_MAX} s')
FROM log_head h LEFT JOIN relay r USING (log_id)"""

# It repeats itself every second of an outage; we say once what is the matter.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


class KafkaAway(OSError):
    """Kafka can't be reached, or refuses us for now; one line that names the setting at fault."""


def client_settings(settings: Settings) -> dict[str, Any]:
    """Return how any client of kafka-python connects. Raises `StartRefused`."""
    return {
        "bootstrap_servers": brokers(settings),
        "bootstrap_timeout_ms": CONNECT_MS,
        "security_protocol": _protocol(settings),
        "ssl_context": tls(settings),
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password,
    }


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Return the same for `faust.App`: `broker` and `broker_credentials`. Raises `StartRefused`."""
    # Only workers need it, and it takes long to load.
    from faust import SASLCredentials, SSLCredentials  # noqa: PLC0415

    context = tls(settings)
    credentials: Any = None
    if settings.kafka_sasl_mechanism is not None:
        credentials = SASLCredentials(
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_username,
            password=settings.kafka_password,
            ssl_context=context,
        )
    elif context is not None:
        credentials = SSLCredentials(context)
    return {
        "broker": [f"kafka://{broker}" for broker in brokers(settings)],
        "broker_credentials": credentials,
    }


def brokers(settings: Settings) -> list[str]:
    """Return the addresses to begin with, each `host:port`. Raises `StartRefused`."""
    named = [part.strip() for part in (settings.kafka_bootstrap or "").split(",") if part.strip()]
    if not named or not all(_is_address(broker) for broker in named):
        raise StartRefused("MC_KAFKA_BOOTSTRAP: host:port is needed, several with commas between")
    return named


def tls(settings: Settings) -> ssl.SSLContext | None:
    """Return how brokers are verified, None where TLS is off. Raises `StartRefused`."""
    if not settings.kafka_tls:
        if settings.kafka_ca is not None:
            raise StartRefused("MC_KAFKA_CA: says nothing while MC_KAFKA_TLS is off")
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca)
    except ssl.SSLError:
        raise StartRefused(
            f"MC_KAFKA_CA: {settings.kafka_ca} holds no certificates in PEM"
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StartRefused(f"MC_KAFKA_CA: {settings.kafka_ca}: {reason}") from None


def why_away(settings: Settings) -> str | None:
    """Return in one line why no broker lets us in, or None if the first that answers does. Blocks."""
    found = [_why(settings, broker) for broker in brokers(settings)]
    return None if None in found else found[0]


def described(
    position: int | None, lag: int | None, events_per_s: float | None, last_error: str | None,
    last_error_at: datetime | None, is_there: bool | None, is_failing: bool | None,
) -> dict[str, Any]:  # fmt: skip
    """Return a row of `RELAY_STATE` as health and doctor show it: an error for as long as it lasts."""
    error = (last_error, last_error_at) if is_failing else (None, None)
    return {
        "status": "ok" if is_there else "away",
        "position": position or 0,
        "lag": lag,
        "events_per_s": round(events_per_s or 0, 1),
        "last_error": error[0],
        "last_error_at": error[1].isoformat() if error[1] else None,
    }


def _why(settings: Settings, broker: str) -> str | None:
    host, _, digits = broker.rpartition(":")
    host, port = host.strip("[]"), int(digits)
    try:
        socket.getaddrinfo(host, port)
    except OSError:
        return f"MC_KAFKA_BOOTSTRAP: no host has the name {host}"
    try:
        socket.create_connection((host, port), CONNECT_MS / 1000).close()
    except OSError:
        return f"MC_KAFKA_BOOTSTRAP: nobody answers at {broker}"
    error = _refusal(settings, broker)
    return None if error is None else _named(settings, broker, error)


def _refusal(settings: Settings, broker: str) -> Exception | None:
    """Return what a first conversation with a broker ends with: it may be TLS, or the password."""
    from kafka.net.manager import KafkaConnectionManager  # noqa: PLC0415
    from kafka.net.selector import NetworkSelector  # noqa: PLC0415
    from kafka.protocol.metadata import MetadataRequest  # noqa: PLC0415

    net = NetworkSelector(client_id="mission-control")
    options = {**client_settings(settings), "bootstrap_servers": broker}
    manager = KafkaConnectionManager(net, **options)

    async def talk() -> None:
        node = manager.cluster.bootstrap_brokers()[0].node_id
        connection = manager.get_connection(
            node, timeout_ms=CONNECT_MS, pop_on_close=False, refresh_metadata_on_err=False
        )
        await manager.wait_for(connection.init_future, CONNECT_MS)
        # Who is not let in is told so by the first real request at the latest.
        await manager.wait_for(connection.send_request(MetadataRequest(topics=[])), CONNECT_MS)

    try:
        net.run(talk)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is why
        return error
    finally:
        manager.close()
        net.close()
    return None


def _named(settings: Settings, broker: str, error: Exception) -> str:
    from kafka.errors import KafkaTimeoutError, RequestTimedOutError  # noqa: PLC0415

    text = str(error)
    if "Hostname mismatch" in text or "IP address mismatch" in text:
        return f"MC_KAFKA_BOOTSTRAP: the certificate of {broker} is for another name"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"MC_KAFKA_CA: the certificate of {broker} is not signed by it"
    if "Handshake" in text:
        return f"MC_KAFKA_TLS: {broker} does not speak TLS"
    if isinstance(error, KafkaTimeoutError | RequestTimedOutError):
        return f"MC_KAFKA_BOOTSTRAP: {broker} takes the call and says nothing"
    # Kafka tells why before it hangs up, but the client has seldom read it by then.
    suspects = [
        *([] if settings.kafka_tls else ["MC_KAFKA_TLS"]),
        "MC_KAFKA_SASL_MECHANISM",
        *(["MC_KAFKA_USERNAME", "MC_KAFKA_PASSWORD"] if settings.kafka_sasl_mechanism else []),
    ]
    return f"{', '.join(suspects)}: {broker} hangs up on us"


def _protocol(settings: Settings) -> str:
    sasl = "SASL_" if settings.kafka_sasl_mechanism else ""
    return f"{sasl}{'SSL' if settings.kafka_tls else 'PLAINTEXT'}"


def _is_address(broker: str) -> bool:
    host, colon, port = broker.rpartition(":")
    return bool(host and colon and port.isdecimal() and 0 < int(port) < 65536)
