"""TAPE's data sets: pickled records in LMDB, read without trusting either."""
