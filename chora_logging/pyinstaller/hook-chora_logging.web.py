"""Includes the viewer and the description of the routes."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("chora_logging.web")
