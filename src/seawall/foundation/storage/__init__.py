"""Databases, opened the way Seawall needs them."""
