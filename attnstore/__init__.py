"""attnstore: the attention of protein language models, ingested once and queried afterwards."""
