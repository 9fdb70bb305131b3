"""The files of a store: documents, segments, codes."""
