"""Which store keeps which read model under some settings."""

from typing import Any

from infra.settings import Settings
from projections.catalogue import READ_MODELS
from projections.metrics import MISSION_FLOW
from projections.read_model import ReadModel


def in_postgres(settings: Settings) -> tuple[ReadModel[Any], ...]:
    """Return the read models whose rows PostgreSQL keeps."""
    elsewhere = {MISSION_FLOW.name} if settings.influxdb_url else set()
    return tuple(model for model in READ_MODELS if model.name not in elsewhere)


def names(settings: Settings) -> tuple[str, ...]:
    """Return under which name each read model has its checkpoint and its mark."""
    kept = [model.name for model in in_postgres(settings)]
    if settings.influxdb_url:
        from infra.timeseries_influxdb import store_name  # noqa: PLC0415 - only where it is set

        kept.append(store_name(MISSION_FLOW))
    return tuple(kept)
