"""DuckDB connections in a forked child, where their threads are gone.

A child that `os.fork` or multiprocessing's `fork` makes inherits the parent's connections without their threads. It
must open its own, and must not even destroy the inherited ones: DuckDB's destructor waits for those threads, or ends
the process with a segmentation fault.
"""

import ctypes
import os
import weakref

import duckdb

_connections: "weakref.WeakSet[duckdb.DuckDBPyConnection]" = weakref.WeakSet()


def outlives_fork(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The connection itself, which a forked child will never destroy."""
    _connections.add(connection)
    return connection


def _keep_for_ever() -> None:
    for connection in list(_connections):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


os.register_at_fork(after_in_child=_keep_for_ever)
