"""A token server for docker-registry: its tokens are signed, as real ones are.

distribution's token specification: a JWT whose header holds the chain of the signer's certificate
(x5c), which the registry checks against its rootcertbundle.
"""

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.registries import PASSWORD, USER, PrivateCa

ISSUER, SERVICE = "tests of relayer", "registry for tests"
IDENTITY = "identity-token-of-the-robot"


@dataclass(slots=True)
class TokenServer:
    """Gives the user everything, others nothing; a stranger may pull from ``public/``."""

    root_file: Path
    url: str = ""
    life_seconds: int = 300
    skew_seconds: int = 0
    """How far its clock is off when it tells `issued_at`."""
    asked: list[str] = field(default_factory=list)
    """Method and login of each request."""
    _chain: list[str] = field(default_factory=list)
    _key: ec.EllipticCurvePrivateKey | None = None

    @classmethod
    def signing_in(cls, directory: Path) -> "TokenServer":
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(directory / "roots.pem")
        leaf = authority.issue_cert("tokens.example.com")
        certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
        return cls(directory / "roots.pem", _chain=chain, _key=key)

    @property
    def configuration(self) -> dict[str, str]:
        """What docker-registry must know of it."""
        return {
            "realm": f"{self.url}/token",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(self.root_file),
        }

    async def answer(self, request: web.Request) -> web.Response:
        user, scopes = "", request.query.getall("scope", [])
        if request.method == "POST":
            form = await request.post()
            scopes = str(form.get("scope", "")).split()
            user = USER if form.get("refresh_token") == IDENTITY else ""
            self.asked.append("POST identity token")
            if not user or form.get("grant_type") != "refresh_token":
                return web.Response(status=401)
        elif header := request.headers.get("Authorization"):
            pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            self.asked.append("GET login")
            if header != f"Basic {pair}":
                return web.Response(status=401)
            user = USER
        else:
            self.asked.append("GET anonymous")
        told = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.skew_seconds))
        token = self._token(user, [access for s in scopes if (access := _access(s, user))])
        name = "access_token" if request.method == "POST" else "token"
        answer = {name: token, "expires_in": self.life_seconds, "issued_at": told}
        return web.json_response(answer)

    def _token(self, user: str, access: list[Mapping[str, object]]) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "exp": now + self.life_seconds,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        head = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(claims).encode())}"
        assert self._key
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_packed(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _access(scope: str, user: str) -> Mapping[str, object] | None:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    allowed = [
        a for a in actions.split(",") if user or (a == "pull" and name.startswith("public/"))
    ]
    return {"type": kind, "name": name, "actions": allowed} if allowed else None


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@asynccontextmanager
async def token_server(
    directory: Path, *, tls: PrivateCa | None = None
) -> AsyncIterator[TokenServer]:
    """On a free port of 127.0.0.1; its keys are made in `directory`."""
    server = TokenServer.signing_in(directory)
    app = web.Application()
    app.router.add_route("*", "/token", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    context = tls.server_context() if tls else None
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
