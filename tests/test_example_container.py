"""The commands of the example of a container, run as it runs them: read-only root, a user without a name."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

from tests.checkout import ROOT
from tests.cli.running import DEADLINE
from tests.eventlog.writing import write
from tests.needs import need

TOKEN = "0123456789abcdef" * 4

NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")

#: The variables are those of the test. A right to read all stands for the image with its Python.
SCRIPT = """
ip link set lo up
for each in opt run var/log; do mount -t tmpfs tmpfs "/$each"; done
mkdir -p /opt/chora-logging/bin /run/chora-logging /run/secrets /var/log/shop
mount -t tmpfs -o "uid=${user%:*},mode=0700" tmpfs /run/chora-logging
cp "$folder/web.log" /var/log/shop
cp "$folder/token" /run/secrets
printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$python" > /opt/chora-logging/bin/python
printf '#!/bin/sh\\nPYTHONPATH="%s" exec "%s" -m chora_logging "$@"\\n' "$package" "$python" \
    > /opt/chora-logging/bin/chora-logging
chmod +x /opt/chora-logging/bin/*
for each in / /tmp /opt /run /var/log; do
    if mountpoint -q "$each"; then mount -o remount,bind,ro "$each"; fi
done
inside() {
    reading="-all,+dac_read_search"
    exec setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --inh-caps "$reading" \
        --ambient-caps "$reading" env -i HOME=/ PATH=/usr/bin:/bin $variables sh -c "$1"
}
(inside "exec $command") &
server=$!
until (inside "$check") 2>&1; do
    kill -0 "$server"
    sleep 0.1
done
(inside "touch /x /tmp/x /var/log/shop/x; id") 2>&1
"$python" -c "$ask"
kill "$server"
wait "$server" || [ $? = 143 ]
"""

ASK = f"""
import urllib.request
def ask(path, data=None, **headers):
    asked = urllib.request.Request("http://127.0.0.1:8000" + path, data, headers)
    return urllib.request.urlopen(asked, timeout=30)
print(ask("/api/v1/web/events", Authorization="Bearer {TOKEN}").read().decode())
cookie = ask("/login", b"token={TOKEN}").headers["set-cookie"].split(";")[0]
ask("/logout", b"", Cookie=cookie)
try:
    ask("/api/v1/web/events", Cookie=cookie)
except urllib.error.HTTPError as error:
    print("ended:", error.code)
"""


def instructions():
    """The instructions of the file: each a pair of its name and the rest."""
    text = (ROOT / "examples" / "Containerfile").read_text().replace("\\\n", " ")
    return dict(re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE))


def test_its_commands_run(tmp_path):
    """The server starts, its check says so, events are read, sessions end, and nothing else is written."""
    need("root", "mounts", "iproute2")
    given = instructions()
    write(tmp_path / "web.log", 1, 2)
    (tmp_path / "token").write_text(TOKEN)
    check = json.loads(given["HEALTHCHECK"].partition(" CMD ")[2])
    variables = {
        "folder": tmp_path,
        "package": ROOT,
        "python": sys.executable,
        "user": given["USER"],
        "variables": given["ENV"],
        "command": shlex.join(json.loads(given["ENTRYPOINT"]) + json.loads(given["CMD"])),
        "check": shlex.join(check),
        "ask": ASK,
    }
    script = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items()) + SCRIPT
    done = subprocess.run(
        [*NAMESPACES, "sh", "-ec", script],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=2 * DEADLINE,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert [event["n"] for event in json.loads(re.search('{"events".*', done.stdout)[0])["events"]] == [1, 2]
    assert "ended: 401" in done.stdout
    assert done.stdout.count("Read-only file system") == 3
    assert f"uid={given['USER'].partition(':')[0]} " in done.stdout
    assert "Traceback" not in done.stderr


def test_it_installs_what_there_is():
    """The extras that it installs are those of the package, and its Python is a supported one."""
    given = instructions()
    extras = set(re.search(r"/src\[(.*)\]", given["RUN"])[1].split(","))
    setup = pathlib.Path(ROOT, "setup.cfg").read_text()

    assert extras <= set(re.findall(r"^(\w+) =$", setup, re.MULTILINE))
    assert re.search(
        rf"Python :: {re.escape(re.search(r'python:([0-9.]+)', given['FROM'])[1])}$", setup, re.M
    )


def test_its_context_is_the_package(tmp_path):
    """What is sent to be built is all that it needs, and no environment, history or file built for here."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert lines[0] == "*"
    taken = [line[1:] for line in lines if line.startswith("!")]
    left = [line.removeprefix("**/") for line in lines[1:] if not line.startswith("!")]
    for name in taken:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(*left))
        else:
            shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", "built"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "built" / "chora_logging" / "web" / "viewer" / "main.js").is_file()
    assert {path.suffix for path in tmp_path.rglob("*")} & {".so", ".pyc"} == set()
