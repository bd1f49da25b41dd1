"""Measurements. Each prints one JSON object as its last line; results are kept in RESULTS.md."""
