"""Includes the modules that `chora_logging` loads on first use."""

from __future__ import annotations

from chora_logging import _EXPORTS

hiddenimports = [f"chora_logging.{module}" for module in _EXPORTS]
