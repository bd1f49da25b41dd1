"""What the law asks of data: keys, sealed records, personal data found and replaced, and its expiry."""
