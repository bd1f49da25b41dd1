"""What work costs: the ledger of transactions, and what a run saved against doing it by hand."""
