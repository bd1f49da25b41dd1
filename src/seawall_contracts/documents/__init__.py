"""Input: files, folders and globs become sources, and a source becomes text, or one error that says why not."""

from seawall_contracts.documents.discover import Failure, Source, discover
from seawall_contracts.documents.extract import Extracted, Hidden, extract
from seawall_contracts.documents.limits import DocumentError, Limits, check_size

__all__ = ["DocumentError", "Extracted", "Failure", "Hidden", "Limits", "Source", "check_size", "discover", "extract"]
