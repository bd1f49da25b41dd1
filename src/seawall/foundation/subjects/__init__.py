"""The people whose data is kept: a key for each, and what they may ask for."""
