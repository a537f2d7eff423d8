"""Which store keeps which read model under some settings."""

from typing import Any

from infra.settings import Settings, StartRefused
from projections.catalogue import READ_MODELS
from projections.metrics import MISSION_FLOW
from projections.read_model import ReadModel
from projections.search import SEARCH_MODELS


def read_model(name: str) -> ReadModel[Any]:
    """Return a read model by its name, or raise `StartRefused`."""
    for model in READ_MODELS:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in READ_MODELS)
    raise StartRefused(f"no read model is called {name}; there are {known}")


def stored_name(settings: Settings, name: str) -> str:
    """Return under which name a read model parks streams, of either of its names; raises `StartRefused`."""
    own = own_names(settings)
    if name in own:
        return name
    model = read_model(name)
    return next(stored for stored, called in own.items() if called == model.name)


def in_postgres(settings: Settings) -> tuple[ReadModel[Any], ...]:
    """Return the read models whose rows PostgreSQL keeps."""
    elsewhere = in_elasticsearch(settings)
    if settings.influxdb_url:
        elsewhere |= {MISSION_FLOW.name}
    return tuple(model for model in READ_MODELS if model.name not in elsewhere)


def in_elasticsearch(settings: Settings) -> frozenset[str]:
    """Return the names of the read models whose documents Elasticsearch keeps."""
    return frozenset(model.name for model in SEARCH_MODELS if settings.elasticsearch_url)


def own_names(settings: Settings) -> dict[str, str]:
    """Return what each read model is called, by the name of its checkpoint."""
    called = (model.name for model in READ_MODELS)
    return dict(zip(names(settings), called, strict=True))


def names(settings: Settings) -> tuple[str, ...]:
    """Return under which name each read model has its checkpoint and its mark."""
    if not settings.influxdb_url:
        return tuple(model.name for model in READ_MODELS)
    from infra.timeseries_influxdb import store_name  # noqa: PLC0415 - only where it is set

    renamed = {MISSION_FLOW.name: store_name(MISSION_FLOW)}
    return tuple(renamed.get(model.name, model.name) for model in READ_MODELS)
