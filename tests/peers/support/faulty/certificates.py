"""Certificates of a test's own authority: one that is good, and one that has expired."""

import subprocess

_CONFIGURATION = """\
[ca]
default_ca = tests
[tests]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost,DNS:collector.test,IP:127.0.0.1
"""
_GOOD = ("20200101000000Z", "20991231000000Z")
_EXPIRED = ("20200101000000Z", "20200201000000Z")


def make(folder):
    """Makes `ca.pem`, `good.pem`, `expired.pem` and the `key.pem` of both; gives the folder."""
    folder.mkdir()
    (folder / "ca.cnf").write_text(_CONFIGURATION)
    (folder / "index.txt").touch()
    authority = ("-days", "2", "-subj", "/CN=tests", "-addext", "basicConstraints=critical,CA:TRUE")
    _openssl(folder, "req", "-x509", *_key("ca-key.pem"), "-out", "ca.pem", *authority)
    _openssl(folder, "req", *_key("key.pem"), "-out", "ask.pem", "-subj", "/CN=localhost")
    signed = ("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca-key.pem")
    for name, (begin, end) in (("good", _GOOD), ("expired", _EXPIRED)):
        times = ("-startdate", begin, "-enddate", end)
        _openssl(folder, *signed, *times, "-notext", "-in", "ask.pem", "-out", f"{name}.pem")
    return folder


def _key(name):
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", name)


def _openssl(folder, *words):
    done = subprocess.run(
        ["openssl", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
