"""The service's own API, version 1: one file a resource."""
