"""The local reviewer's cores: passages, retrieval, reading; numpy only, no I/O but loading the weights."""
