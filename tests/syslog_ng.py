"""Unpacks syslog-ng for the tests, for `tests/run.py`: `python3 tests/syslog_ng.py`.

Debian's package conflicts with rsyslog's, and both are run by tests. So it is unpacked into a folder below
`.venvs/`, with those of its libraries that are not installed; nothing outside of this folder changes.

Exit status: 0 if it is there; 1, with the reason, if it cannot be unpacked here.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import sys
import tempfile

from debian import Failed, attempt
from needs import SYSLOG_NG_FOLDER, syslog_ng

PACKAGE = "syslog-ng-core"
#: As root apt would give the download to a user who may not write into the folder.
APT = "apt-get", "-qq", "-o", "APT::Sandbox::User="
#: A package in the output of a simulated installation.
INSTALLED = re.compile(r"^Inst (\S+) ", re.MULTILINE)


def main() -> int:
    """Unpack it, unless it is there, and return the exit status."""
    try:
        if syslog_ng() is None:
            unpack()
    except (Failed, OSError) as error:
        print(f"syslog-ng cannot be unpacked here: {error}", flush=True)
        return 1
    return 0


def unpack() -> None:
    """Download the packages and unpack them.

    Raises:
        Failed: Apt does not have them, or cannot download them.
    """
    SYSLOG_NG_FOLDER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="syslog-ng-", dir=SYSLOG_NG_FOLDER.parent) as folder:
        workshop = pathlib.Path(folder)
        # `download` has no option for its folder: it is the current one.
        attempt("env", f"--chdir={workshop}", *APT, "download", *sorted(packages()))
        for path in workshop.glob("*.deb"):
            attempt("dpkg-deb", "--extract", str(path), str(workshop / "unpacked"))
        shutil.rmtree(SYSLOG_NG_FOLDER, ignore_errors=True)
        os.rename(workshop / "unpacked", SYSLOG_NG_FOLDER)  # so that it is whole if it is there


def packages() -> set[str]:
    """Return the names of the package and of the libraries that are missing.

    Raises:
        Failed: Apt does not know the package.
    """
    simulated = *APT, "install", "--simulate", "--no-install-recommends", PACKAGE
    try:
        printed = attempt(*simulated)
    except Failed:
        attempt(*APT, "update")
        printed = attempt(*simulated)
    return {PACKAGE, *INSTALLED.findall(printed)}


if __name__ == "__main__":
    sys.exit(main())
