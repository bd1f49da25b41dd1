"""Who is calling: API keys, tokens of an identity provider, and why somebody is refused."""
