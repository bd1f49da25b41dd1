"""Text as a reader sees it, whatever disguise it came in."""
