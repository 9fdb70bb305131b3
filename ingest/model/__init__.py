"""Language models: loading, tokens, and their attention as it is computed."""
