"""Servers of Debian that nobody configures for a proxy, in pods: MariaDB, Redis, Exim, vsftpd, TLS.

Each listens at its usual port on every address, keeps its files in the pod's folder, and ends with
the pod. Whoever speaks first is said beside each.
"""

import pwd
import shutil
import socket
import tempfile

from ..netns import find
from ..pods import APP, ROOT
from ..waiting import eventually

STARTING = 30.0
"""Seconds that a server may take to listen; nobody waits for it on a quiet machine."""


def folder_of(pod, name, user=APP):
    """A folder for the files of a server."""
    folder = pod.folder / name
    folder.mkdir()
    shutil.chown(folder, user, user)
    return folder


def wait_for(pod, process, port):
    """Waits until a server takes connections, which are not redirected: they are on loopback."""

    def listens():
        assert process.poll() is None, pod.said()
        try:
            with pod.inside():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    eventually(listens, lambda: f"port {port} to be listened on; it said:\n{pod.said()}", STARTING)


_MARIADB = [
    "--no-defaults",
    "--innodb-buffer-pool-size=8M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-method=nosync",
]
_template = []


def _made_by_mariadb(pod):
    """A folder as MariaDB makes it at first: once, as that takes seconds."""
    if not _template:
        folder = tempfile.TemporaryDirectory(prefix="spandrel-mariadb-")
        shutil.chown(folder.name, APP, APP)
        where = [*_MARIADB, f"--datadir={folder.name}"]
        install = find("mariadb-install-db", "mariadb-server")
        pod.run([install, *where, "--skip-test-db", "--auth-root-authentication-method=normal"])
        _template.append(folder)
    return _template[0].name


class MariaDb:
    """MariaDB, which speaks first."""

    PORT = 3306
    _ACCOUNT = ("peer", "as nobody knows")

    def __init__(self, pod):
        folder = folder_of(pod, "mariadb")
        data, socket_file, first = folder / "data", folder / "socket", folder / "first.sql"
        user, password = self._ACCOUNT
        first.write_text(
            f"CREATE DATABASE shop;\nCREATE USER '{user}'@'%' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON shop.* TO '{user}'@'%';\n"
        )
        pod.run(["cp", "--recursive", _made_by_mariadb(pod), data])
        where = [*_MARIADB, f"--datadir={data}"]
        listen = [f"--port={self.PORT}", "--bind-address=*", f"--socket={socket_file}"]
        more = ["--skip-name-resolve", f"--init-file={first}"]
        command = [find("mariadbd", "mariadb-server"), *where, *listen, *more]
        wait_for(pod, pod.start(command), self.PORT)

    @classmethod
    def ask(cls, pod, host, statements):
        """What the real client says, inside a pod."""
        user, password = cls._ACCOUNT
        to = [f"--host={host}", f"--port={cls.PORT}", f"--user={user}", f"--password={password}"]
        plain = ["--no-defaults", "--protocol=tcp", "--batch", "--skip-column-names"]
        command = [find("mariadb", "mariadb-client"), *plain, *to, "shop", "-e", statements]
        return pod.run(command).stdout.decode()


class Redis:
    """Redis, whose clients speak first."""

    PORT = 6379

    def __init__(self, pod):
        folder = folder_of(pod, "redis")
        listen = ["--port", self.PORT, "--bind", "*", "-::*", "--protected-mode", "no"]
        quiet = ["--dir", folder, "--save", "", "--daemonize", "no"]
        wait_for(pod, pod.start([find("redis-server", "redis-server"), *listen, *quiet]), self.PORT)

    @classmethod
    def ask(cls, pod, host, *command, **how):
        """What the real client says, inside a pod."""
        client = [find("redis-cli", "redis-tools"), "-h", host, "-p", cls.PORT, *command]
        return pod.run(client, **how).stdout.decode()


_EXIM = """\
primary_hostname = mail.test
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
daemon_smtp_ports = {port}
local_interfaces = <; 0.0.0.0 ; ::0
host_lookup =
dns_ipv4_lookup =
rfc1413_hosts =
tls_advertise_hosts =
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
all:
  driver = accept
  transport = into_a_file
begin transports
into_a_file:
  driver = appendfile
  file = {folder}/mail
  user = {user}
  group = {group}
"""


class Exim:
    """Exim, an SMTP server, which speaks first."""

    PORT = 25

    def __init__(self, pod):
        program = find("exim4", "exim4-daemon-light")
        owner = pwd.getpwnam("Debian-exim")
        folder = folder_of(pod, "exim", owner.pw_uid)
        self._mail = folder / "mail"
        configuration = pod.folder / "exim.conf"
        ids = {"user": owner.pw_uid, "group": owner.pw_gid}
        configuration.write_text(_EXIM.format(folder=folder, port=self.PORT, **ids))
        wait_for(pod, pod.start([program, "-C", configuration, "-bdf"], ROOT), self.PORT)

    def mail(self):
        """What has been delivered."""
        return self._mail.read_text() if self._mail.exists() else ""


_VSFTPD = """\
listen=NO
listen_ipv6=YES
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={files}
no_anon_password=YES
secure_chroot_dir={empty}
seccomp_sandbox=NO
xferlog_enable=NO
"""


class Vsftpd:
    """vsftpd, an FTP server, which speaks first, and on connections of its data speaks alone."""

    PORT = 21

    def __init__(self, pod):
        folder = folder_of(pod, "vsftpd", ROOT)
        files, empty = folder / "files", folder / "empty"
        files.mkdir()
        empty.mkdir()
        (files / "goods.txt").write_text("a list of goods\n" * 1000)
        configuration = folder / "vsftpd.conf"
        configuration.write_text(_VSFTPD.format(port=self.PORT, files=files, empty=empty))
        wait_for(pod, pod.start([find("vsftpd", "vsftpd"), configuration], ROOT), self.PORT)


class TlsServer:
    """OpenSSL as an HTTPS server with a certificate of its own, whose clients speak first."""

    PORT = 8443
    NAME = "shop.example"

    def __init__(self, pod):
        folder = folder_of(pod, "tls")
        key, self.certificate = folder / "key.pem", folder / "certificate.pem"
        openssl = find("openssl", "openssl")
        subject = ["-subj", f"/CN={self.NAME}", "-addext", f"subjectAltName=DNS:{self.NAME}"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        files = ["-keyout", key, "-out", self.certificate]
        pod.run([openssl, "req", "-x509", *kind, *subject, *files])
        listen = ["-accept", self.PORT, "-key", key, "-cert", self.certificate]
        wait_for(pod, pod.start([openssl, "s_server", "-quiet", "-www", *listen]), self.PORT)
