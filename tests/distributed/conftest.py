"""Runs the published contract suite of the store over a real cluster."""

from __future__ import annotations

from tenet.store.suite.plugin import *  # noqa: F403 - its fixtures and hooks
