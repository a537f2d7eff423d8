"""What is written down agrees with the code."""

from pathlib import Path

from domain.base import Refusal
from infra.catalogue_page import page
from infra.http.problems import of_error

ROOT = Path(__file__).parents[2]


def test_the_event_page_is_the_catalogue() -> None:
    assert (ROOT / "docs" / "events.md").read_text() == page(), (
        "run: python -m infra.catalogue_page > docs/events.md"
    )


def test_every_refusal_has_a_status() -> None:
    pending = list(Refusal.__subclasses__())
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        error = kind(3) if kind.__name__ == "RateLimited" else kind("no")
        assert 400 <= of_error(error).status_code < 500


def test_every_file_that_the_readme_links_to_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
