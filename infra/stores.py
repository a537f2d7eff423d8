"""Which store keeps which read model under some settings."""

from typing import Any

from infra.settings import Settings
from projections.catalogue import READ_MODELS
from projections.read_model import ReadModel
from projections.search import SEARCH_MODELS


def in_postgres(settings: Settings) -> tuple[ReadModel[Any], ...]:
    """Return the read models whose rows PostgreSQL keeps."""
    elsewhere = {model.name for model in SEARCH_MODELS if settings.elasticsearch_url}
    return tuple(model for model in READ_MODELS if model.name not in elsewhere)
