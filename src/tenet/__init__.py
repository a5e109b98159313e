"""Tenet: the data foundation of a cloud that you own."""

from tenet.base import compiled

compiled.install()
