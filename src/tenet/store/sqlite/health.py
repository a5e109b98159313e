"""What an operator wants to know about the open file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tenet.store.errors import StoreError
from tenet.store.sqlite.opened import OpenFile
from tenet.store.sqlite.schema import FORMAT_VERSION, Execute

#: What there is to say while a backup takes the file's place.
RESTORING: Final[Mapping[str, str | int | float | bool]] = {
    "can_write": False,
    "write_refusal": "a backup is being restored",
    "is_damaged": False,
    "is_restoring": True,
}


def health_of(file: OpenFile, directory: str, *, is_restoring: bool) -> Mapping[str, str | int | float | bool]:
    """Returns the figures by name; sizes in bytes, times in milliseconds.

    Args:
        file: the open file.
        directory: the data directory.
        is_restoring: whether a backup is about to take the file's place.
    """
    figures = file.writer.figures
    pages = _count_pages(file)
    return {
        "directory": directory,
        "format_version": FORMAT_VERSION,
        "file_bytes": _size(file.path),
        **pages,
        "wal_bytes": _size(file.path + "-wal"),
        "wal_pages": figures.wal_pages,
        **_disk_free(directory),
        "spaces": len(list(file.catalogue)),
        "transactions": figures.transactions,
        "writes": figures.jobs,
        "writes_per_transaction": round(figures.jobs / max(1, figures.transactions), 2),
        "writes_per_transaction_max": figures.largest_group,
        "writes_waiting": file.writer.waiting,
        "reads_in_threads": file.pool.waiting,
        "commit_ms_p50": figures.sync_ms(0.5),
        "commit_ms_p99": figures.sync_ms(0.99),
        "failed_transactions": figures.failed_transactions,
        "last_failure": figures.last_failure,
        "can_write": not figures.write_refusal,
        "write_refusal": figures.write_refusal,
        "is_damaged": bool(figures.damage or file.pool.damage),
        "is_restoring": is_restoring,
    }


def _count_pages(file: OpenFile) -> dict[str, int]:
    """Returns how many pages the file has, as far as it can be read."""
    try:
        return file.pool.on_loop(_read_page_counts)
    except StoreError:
        # Figures are wanted most while something is wrong.
        return {}


def _read_page_counts(execute: Execute) -> dict[str, int]:
    ((pages,),) = execute("PRAGMA page_count").fetchall()
    ((free_pages,),) = execute("PRAGMA freelist_count").fetchall()
    return {"pages": pages, "free_pages": free_pages}


def _disk_free(directory: str) -> dict[str, int]:
    with suppress(OSError):
        return {"disk_free_bytes": shutil.disk_usage(directory).free}
    return {}


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
