"""attnstore: the attention of protein language models, ingested once and queried afterwards."""

from .errors import AttnstoreError, ModelError, QueryError, SourceError, StoreError
from .store import Store
from .store import open_store as open

__version__ = "0.1.0"

__all__ = ["AttnstoreError", "ModelError", "QueryError", "SourceError", "Store", "StoreError", "open"]
