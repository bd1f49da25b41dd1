"""What can be shown of a system rather than said of it: each line of a document runs what proves it."""
