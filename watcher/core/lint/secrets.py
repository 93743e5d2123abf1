"""What looks like a secret: names of files, heads of files, names and values of variables.

Nothing here returns any of the text that it looks at.
"""

import re

_BY_NAME = (
    (re.compile(r"id_(rsa|dsa|ecdsa|ed25519)(_sk)?"), "a private SSH key by its name"),
    (re.compile(r"[0-9]{6,}-key\.pem"), "an entitlement key by its name"),
    (
        re.compile(r"\.?dockerconfigjson|\.dockercfg|pull-?secret(\.(json|txt|ya?ml))?"),
        "a pull secret by its name",
    ),
    (re.compile(r"(.*\.)?kubeconfig(\..*)?"), "a kubeconfig by its name"),
    (
        re.compile(r"\.netrc|\.git-credentials|\.pgpass|\.vault-token|\.npmrc|\.pypirc"),
        "a file of credentials by its name",
    ),
    (re.compile(r".*\.(p12|pfx|jks|keytab)|krb5\.keytab"), "a store of keys by its name"),
    (re.compile(r".*[._-]key|(.*[._-])?(tls|private|server|client)\.key"), "a key by its name"),
)
_BY_PATH = (
    (re.compile(r"(.*/)?\.docker/config\.json|(.*/)?containers/auth\.json"), "a pull secret"),
    (re.compile(r"(.*/)?\.kube/config"), "a kubeconfig"),
    (re.compile(r"(.*/)?\.aws/credentials"), "a file of credentials"),
)
_HEAD = 16384
"""Bytes of a file that are looked at."""
_PUBLIC = re.compile(rb"-----BEGIN (PUBLIC KEY|PGP PUBLIC KEY BLOCK|CERTIFICATE)")
_BY_HEAD = (
    (re.compile(rb"-----BEGIN ([A-Z0-9]+ ){0,3}PRIVATE KEY"), "a private key"),
    (re.compile(rb'"auths"\s*:\s*\{[^}]{0,4000}?"auth"\s*:'), "a pull secret"),
    (
        re.compile(rb"client-key-data\s*:|kind\s*:\s*Config\b[\s\S]{0,20000}?\n\s*token\s*:"),
        "a kubeconfig",
    ),
    (re.compile(rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b"), "a file with a cloud access key"),
)
_NAME = re.compile(
    r"(?:^|_|-)(PASSW(OR)?D|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|CREDENTIALS?|AUTH)(?:$|_|-)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bglpat-[A-Za-z0-9_-]{15,}"
    r"|\bsha256~[A-Za-z0-9_-]{30,}|\bxox[abp]-[A-Za-z0-9-]{10,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}|-----BEGIN [A-Z ]{0,40}PRIVATE KEY"
)
_LOGIN = re.compile(r"[a-z][a-z0-9+.-]{0,20}://[^/\s:@]{1,200}:([^/\s@$]{1,200})@")
_NO_SECRET = frozenset({"", "true", "false", "yes", "no", "none", "0", "1", "auto", "required"})


def secret_kind(paths: tuple[str, ...], head: bytes | None) -> str | None:
    """What secret a file is, by the head of its content or by one of its names; None for none.

    `head` is None where it could not be read; a public key under a suspicious name is none.
    """
    if head is not None:
        head = head[:_HEAD]
        for pattern, kind in _BY_HEAD:
            if pattern.search(head):
                return kind
        if _PUBLIC.search(head) or not head:
            return None
    for path in paths:
        name = path.rstrip("/").rpartition("/")[2][:300]
        for named, kind in _BY_NAME:
            if named.fullmatch(name):
                return kind
        for placed, kind in _BY_PATH:
            if placed.fullmatch(path[-1000:]):
                return f"{kind} by its path"
    return None


def is_secret_variable(name: str, value: str) -> bool:
    """Whether a variable seems to hold a secret. A path or a reference to another is none."""
    if holds_secret(value):
        return True
    if not _NAME.search(name) or value.lower() in _NO_SECRET:
        return False
    return "$" not in value and not value.startswith(("/", "file:"))


def holds_secret(text: str) -> bool:
    """Whether a text itself has the form of a secret, or of an address with a password."""
    return bool(_VALUE.search(text) or ("://" in text and _LOGIN.search(text)))
