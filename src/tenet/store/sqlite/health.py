"""What an operator wants to know about the open file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tenet.store.sqlite.opened import OpenFile
from tenet.store.sqlite.schema import FORMAT_VERSION, Execute


def health_of(file: OpenFile, directory: str) -> Mapping[str, str | int | float | bool]:
    """Returns the figures by name; sizes in bytes, times in milliseconds."""
    figures = file.writer.figures
    pages, free_pages = file.pool.on_loop(_count_pages)
    return {
        "directory": directory,
        "format_version": FORMAT_VERSION,
        "file_bytes": _size(file.path),
        "pages": pages,
        "free_pages": free_pages,
        "wal_bytes": _size(file.path + "-wal"),
        "wal_pages": figures.wal_pages,
        "disk_free_bytes": shutil.disk_usage(directory).free,
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
        "can_write": figures.can_write,
    }


def _count_pages(execute: Execute) -> tuple[int, int]:
    ((pages,),) = execute("PRAGMA page_count").fetchall()
    ((free_pages,),) = execute("PRAGMA freelist_count").fetchall()
    return pages, free_pages


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
