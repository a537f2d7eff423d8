"""Read models fed by partitions: worlds and databases as for the projector, and what stands for Kafka."""

from tests.distributed.conftest import _collected
from tests.projections_run.conftest import (
    database_url,
    new_database,
    pytest_pyfunc_call,
    short_lives,
    world,
)

__all__ = [
    "_collected",
    "database_url",
    "new_database",
    "pytest_pyfunc_call",
    "short_lives",
    "world",
]
