"""Runs both commands of the README on a bare Debian: `python3 tests/bare_root.py`.

The bare system is a root folder with Debian's base system, `python3`, `python3-venv` and `git`, made by
debootstrap from the archive that apt uses here. The settings of apt and pip for their archives are copied,
and npm gets pip's certificates. The commands see only its files and processes. The folder is below /var/tmp
and is removed at the end.

As root, the commands may install packages. With `--user` they run as a user who may not: then no test may
fail, and the tests that could not be tried are listed.

Exit status: 0 if both commands passed; 1 if one failed; 4, with the reason, if no root folder can be made.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from debian import Failed, attempt, debian_archive
from needs import NOT_TRIED

ROOT = pathlib.Path(__file__).resolve().parent.parent
NO_ROOT = 4
PACKAGES = "python3,python3-venv,git"
#: The PATH of an ordinary account.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: The settings of pip for reaching its archive.
PIP_SETTINGS = ("index-url", "cert", "proxy", "trusted-host", "timeout")
#: Where the certificates are for reaching it, and npm's.
CERTIFICATES = "/etc/ssl/machine.pem"
PROXIES = re.compile(r"(https?|ftp|all|no)_proxy", re.IGNORECASE)
#: The shell that mounts and waits is process 1 there: it reaps orphans, and all processes end with it.
ENTER = """
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
chroot "$root" "$@"
"""


class BareRoot:
    """A root folder with the base system.

    Args:
        folder: Its path.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def command(self, *command: str, user: str = "root") -> list[str]:
        """Return the command line that runs a command in it, isolated except for /dev, network and proxies.

        When the command ends, all its processes end, and the mounts disappear.
        """
        proxies = [f"{name}={value}" for name, value in os.environ.items() if PROXIES.fullmatch(name)]
        home = "/root" if user == "root" else f"/home/{user}"
        variables = [*proxies, f"PATH={PATH}", f"HOME={home}", f"USER={user}", "LANG=C.UTF-8", "TERM=dumb"]
        if pathlib.Path(f"{self.folder}{CERTIFICATES}").exists():
            variables.append(f"NODE_EXTRA_CA_CERTS={CERTIFICATES}")  # for npm
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        inside = ["env", "-i", *variables, *command]
        if user != "root":
            ids = [f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs"]
            inside = ["setpriv", *ids, *inside]
        return [*apart, "sh", "-ec", ENTER, "sh", str(self.folder), *inside]

    def run(self, *command: str, user: str = "root") -> int:
        """Run a command in it, show its output, and return its exit status."""
        return subprocess.run(self.command(*command, user=user), stdin=subprocess.DEVNULL).returncode


def main(arguments: Sequence[str]) -> int:
    """Make the root folder, run the commands and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--user", action="store_true", help="run as a user who may not install packages")
    options = parser.parse_args(arguments)
    user = "tester" if options.user else "root"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the folder is removed
    with tempfile.TemporaryDirectory(
        prefix="chora-bare-root-", dir="/var/tmp", ignore_cleanup_errors=True
    ) as folder:
        try:
            root = make_root(pathlib.Path(folder, "root"))
        except Failed as error:
            say(f"no bare root can be made here: {error}")
            return NO_ROOT
        checkout = put_checkout(root, user)
        passed = (0, NOT_TRIED) if options.user else (0,)
        for command in readme_commands():
            say(f"----   in a bare root, as {user}: {command}")
            status = root.run("sh", "-c", f'cd "{checkout}" && {command}', user=user)
            say(f"----   ended with status {status}: {command}")
            if status not in passed:
                return 1
    return 0


def readme_commands() -> list[str]:
    """Return the two commands at the beginning of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*)\n```$", text, re.MULTILINE)[:2]


def make_root(folder: pathlib.Path) -> BareRoot:
    """Make a root folder.

    Raises:
        Failed: It cannot be made here.
    """
    if os.geteuid() != 0:
        raise Failed("only root may make one")
    if not shutil.which("apt-get"):
        raise Failed("this system has no apt-get, so no Debian archive is known")
    root = BareRoot(folder)
    if not shutil.which("debootstrap"):
        attempt("apt-get", "update", "-qq")
        attempt("apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    archive, suite = debian_archive()
    say(f"----   debootstrap {suite}, with {PACKAGES}")
    attempt("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(folder), archive)
    carry_over(folder)
    attempt(*root.command("true"))
    return root


def carry_over(folder: pathlib.Path) -> None:
    """Copy the settings with which apt and pip reach their archives: host names, proxies, certificates."""
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        shutil.copyfile(name, f"{folder}{name}")
    proxies = re.findall(r"^Acquire::.*Proxy.*$", attempt("apt-config", "dump"), re.MULTILINE)
    (folder / "etc/apt/apt.conf.d/90machine").write_text("\n".join([*proxies, ""]))
    settings: dict[str, str] = {}
    for line in attempt(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        if name.rpartition(".")[2] in PIP_SETTINGS:
            settings[name.rpartition(".")[2]] = value.strip("'")
    if certificates := settings.get("cert"):
        settings["cert"] = CERTIFICATES
        shutil.copyfile(certificates, f"{folder}{CERTIFICATES}")
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (folder / "etc/pip.conf").write_text(f"[global]\n{text}")


def put_checkout(root: BareRoot, user: str) -> str:
    """Clone the last commit into the root folder and return its path there."""
    changed = attempt("git", "-C", str(ROOT), "status", "--porcelain")
    if changed:
        say(f"----   only the last commit is tested, without these changes:\n{changed}")
    if user != "root":
        attempt(*root.command("useradd", "--create-home", user))
    place = "/root/chora_logging" if user == "root" else f"/home/{user}/chora_logging"
    attempt("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), f"{root.folder}{place}")
    attempt(*root.command("chown", "-R", f"{user}:", place))
    return place


def say(text: str) -> None:
    """Print immediately, before the output of the next command."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
