"""TLS on loopback: a certificate authority that lives as long as the rehearsal, and servers that have its certificate.

Azure's clients refuse to send a token over plain HTTP, so its endpoints speak HTTPS here as well.
"""

import ipaddress
import os
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from orchestrator.rehearsal.front_door import POLL_SECONDS, Around, as_it_is

_LIFETIME = timedelta(days=1)
_CLOCK_SKEW = timedelta(minutes=5)
_CA_USAGE = {"key_cert_sign": True, "crl_sign": True}
_SERVER_USAGE = {"digital_signature": True}
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ),
    False,
)  # fmt: skip


@dataclass(frozen=True)
class Tls:
    """``authority`` is the PEM file that a client must trust; ``server`` is for what listens."""

    authority: Path
    server: ssl.SSLContext

    def serve(self, application: Any, around: Around = as_it_is) -> BaseWSGIServer:
        """Serve a WSGI application on a free port of 127.0.0.1, until it is told to shut down and close."""
        server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=around(_Silent))
        # Werkzeug would do each handshake in the accepting thread, where one caller could block all others.
        server.ssl_context = self.server
        server.socket = self.server.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        return server


class _Silent(WSGIRequestHandler):
    """Werkzeug's logs each URL, and a URL may have a signature in it."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def certificates(folder: Path) -> Tls:
    """Make an authority and its certificate for 127.0.0.1 and localhost; their files go into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("Cloud hopping's rehearsal")
    authority = _signed(
        _certificate(issuer, issuer, authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**_NO_USAGE | _CA_USAGE), critical=True),
        authority_key,
    )
    hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    certificate = _signed(
        _certificate(_name("127.0.0.1"), issuer, key, authority_key)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**_NO_USAGE | _SERVER_USAGE), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
        authority_key,
    )
    (folder / "ca.pem").write_bytes(authority)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(folder / "server.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.pem")
    return Tls(folder / "ca.pem", context)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """What both have: from Python 3.13 on, clients insist on the two key identifiers."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM."""
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
