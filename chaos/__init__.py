"""Faults from outside: processes killed, and what must survive it."""
