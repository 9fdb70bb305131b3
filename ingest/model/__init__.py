"""Language models: loading, tokens, and capture of their attention."""
