"""The lowest versions that setup.cfg allows, as constraints for pip: `python3 tests/lowest.py`.

`tests/run.py --whole` runs the core tests with them; every other environment has the newest versions.
"""

from __future__ import annotations

import configparser
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent


def constraints() -> list[str]:
    """Return a line for each dependency of the package and its extras, except those of the tests alone."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = parser["options.extras_require"]
    texts = [parser["options"]["install_requires"]]
    texts += [text for name, text in extras.items() if name not in ("all", "test")]
    bounds = re.findall(r"^([\w.-]+)(?:\[\w+\])?>=([\d.]+)(?:;.*)?$", "\n".join(texts), re.MULTILINE)
    return [f"{name}=={version}" for name, version in bounds]


if __name__ == "__main__":
    print("\n".join(constraints()))
