#!/usr/bin/env python3
"""Logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in Vault. docs/readers.md explains it.

Input: a tenant's id a line. Output: which password was accepted, never the password.
Environment: VAULT_ADDR (https), CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
"""
import base64, contextlib, hashlib, http.client, json, os, pathlib, re, smtplib, ssl, sys, time, urllib.parse
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BOUND = 10  # seconds until a login is given up
PAUSE = 0.1  # seconds after a refusal until the record is read again


def open_sealed(master, tenant, last_rotated, sealed):
    raw = base64.b64decode(sealed, validate=True)
    if len(raw) < 32 or base64.b64encode(raw).decode() != sealed:
        raise ValueError("not an envelope")
    iv, tag, text = raw[:16], raw[16:32], raw[32:]
    salt = (tenant + last_rotated).encode()  # the exact strings of the record
    prk = hashlib.pbkdf2_hmac("sha256", master, salt, 100_000, 32)
    key = HKDF(hashes.SHA256(), 32, salt, f"smtp/{tenant}/admin/password".encode()).derive(prk)
    return AESGCM(key).decrypt(iv, text + tag, None)  # InvalidTag: altered, or sealed for something else


class Vault:
    def __init__(self):
        self.host = urllib.parse.urlsplit(os.environ["VAULT_ADDR"]).netloc
        self.token, self.keys = "", {}  # in memory only

    def call(self, method, path, body=None):
        connection = http.client.HTTPSConnection(self.host, timeout=5)  # checks certificates, follows no redirect
        connection.request(method, "/v1/" + path, body, {"X-Vault-Token": self.token})
        with connection.getresponse() as answer:
            return answer.status, json.loads(answer.read() or "{}")

    def log_in(self):
        directory = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"])
        role, secret = ((directory / name).read_text().strip() for name in ("role-id", "secret-id"))
        status, answer = self.call("POST", "auth/approle/login", json.dumps({"role_id": role, "secret_id": secret}))
        if status != 200:
            raise RuntimeError(f"vault refuses the login: {status}")
        self.token = answer["auth"]["client_token"]

    def read(self, path):
        status, answer = self.call("GET", path)
        if status == 403:  # no token yet, or it has expired
            self.log_in()
            status, answer = self.call("GET", path)
        if status != 200:
            raise RuntimeError(f"vault does not return {path}: {status}")
        return answer["data"]

    def open(self, tenant, part):
        for fresh in False, True:  # if no key fits, there may be a new one
            if fresh or not self.keys:
                exported = self.read("transit/export/encryption-key/smtp-master")["keys"]
                self.keys = {int(version): base64.b64decode(key) for version, key in exported.items()}
            named = part.get("key_version")  # missing in a record written elsewhere: then any, newest first
            for version in [named] if named else sorted(self.keys, reverse=True):
                with contextlib.suppress(KeyError, InvalidTag):
                    return open_sealed(self.keys[version], tenant, part.get("last_rotated") or "", part["password"])
        raise RuntimeError("no master key opens the password")


def accepted(username, password):
    host, port = os.environ["MAIL_SERVER"].rsplit(":", 1)  # not from the record, whose writer could name another
    with smtplib.SMTP_SSL(host, int(port), timeout=5, context=ssl.create_default_context()) as smtp:
        smtp.ehlo()
        code, _ = smtp.docmd("AUTH PLAIN", base64.b64encode(b"\0%b\0%b" % (username.encode(), password)).decode())
    if code not in (235, 535):  # a fault, or a limit of logins: says nothing about the password
        raise RuntimeError(f"the mail server answers {code}")
    return code == 235


def log_in(vault, cache, tenant):
    """Says which password was accepted. Those of one version of the record are offered once."""
    deadline, refused = time.monotonic() + BOUND, 0
    while time.monotonic() < deadline:
        answer = vault.read(f"vault/data/smtp/{tenant}/admin")
        version, record = answer["metadata"]["version"], answer["data"]
        if tenant not in cache or cache[tenant][0] != version:
            parts = ("current", record), ("pending", record.get("pending") or {})
            cache[tenant] = version, [[which, part, None] for which, part in parts if "password" in part]
        offers = cache[tenant][1] if version != refused else []
        for place, (which, part, password) in enumerate(offers):
            offers[place][2] = password or vault.open(tenant, part)
            if accepted(record["username"], offers[place][2]):
                offers[0], offers[place] = offers[place], offers[0]  # what was accepted comes first
                return which
        refused = version
        time.sleep(PAUSE)
    raise RuntimeError(f"refused for {BOUND} s: run mailu-rotator verify --tenant {tenant}")


def main(vault, cache):
    for tenant in map(str.strip, sys.stdin):
        try:
            if not re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", tenant, re.IGNORECASE):
                raise ValueError("not a tenant's id")
            print(tenant, log_in(vault, cache, tenant), flush=True)
        except Exception as error:
            print(tenant, "failed:", error, flush=True)


main(Vault(), {})
