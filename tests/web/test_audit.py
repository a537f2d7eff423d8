"""The audit log: who may see it, what it is narrowed down to, what comes, and one event in full."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from tests.api.conftest import ADMIN


def test_events_come_by_themselves_and_one_is_opened_with_a_link_of_its_own(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    page = person(ADMIN, "/audit?type=mission.*")
    made = admin.post("/api/missions", json={"title": "Sound the horn"}).json()
    row = page.get_by_role("button", name=f"{made['position']}").filter(has_text="created")
    expect(row).to_be_visible()
    expect(page.get_by_role("list").get_by_text("workspace.")).to_have_count(0)
    row.click()
    page.wait_for_url(re.compile(rf"event={made['position']}"))
    page.reload()
    panel = page.get_by_role("complementary", name=f"Event {made['position']}")
    expect(panel.get_by_text("Sound the horn", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)


def test_a_row_names_what_its_event_is_about(
    person: Callable[..., Page], admin: httpx.Client, people: dict[str, httpx.Client]
) -> None:
    viewer = people["viewer"].get("/api/members/me").json()
    old = admin.post("/api/missions", json={"title": "Never looked at"}).json()
    made = admin.post("/api/missions", json={"title": "Drop the anchor"}).json()
    path = f"/api/missions/{made['id']}"
    admin.post(f"{path}/assign", json={"assignee_id": viewer["id"]}).raise_for_status()
    admin.post(f"{path}/comments", json={"body": "Here?"}).raise_for_status()
    for each in (made, old):
        admin.delete(f"/api/missions/{each['id']}").raise_for_status()
    page = person(ADMIN, "/audit")
    rows = page.get_by_role("list", name="Events, newest first").get_by_role("button")
    deleted = rows.filter(has_text="mission.deleted.v1")
    expect(deleted.filter(has_text="Drop the anchor")).to_be_visible()
    assigned = rows.filter(has_text="assigned").filter(has_text="Drop the anchor")
    expect(assigned).to_contain_text(f"assignee: {viewer['name']}")
    expect(rows.filter(has_text="comment.added").filter(has_text="Drop the anchor")).to_be_visible()
    deleted.filter(has_text="Drop the anchor").click()
    about = page.get_by_role("complementary").get_by_role("definition")
    expect(about.filter(has_text="Drop the anchor")).to_be_visible()

    page.goto("/audit?type=mission.deleted.v1")  # the events that told the titles are not there
    expect(rows.filter(has_text=f"mission …{old['id'][-6:]}")).to_be_visible()


def test_what_is_paused_waits_and_then_misses_nothing(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    page = person(ADMIN, "/audit")
    events = page.get_by_role("list", name="Events, newest first")
    expect(events.get_by_role("button").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    made = admin.post("/api/missions", json={"title": "Trim the sails"}).json()
    mine = events.get_by_text(str(made["position"]), exact=True)
    page.get_by_role("button", name="Follow").click()
    expect(mine).to_be_visible()


def test_the_export_is_what_the_filters_allow(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    made = admin.post("/api/missions", json={"title": "Count the barrels"}).json()
    page = person(ADMIN, f"/audit?stream={made['id']}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export NDJSON").click()
    expected = admin.get("/api/events", params={"stream_id": made["id"]}).text
    assert Path(download.value.path()).read_text() == expected != ""


def test_a_filter_says_how_it_takes_effect_and_why_it_does_not(page: Page) -> None:
    page.set_viewport_size({"width": 768, "height": 800})
    page.goto("/audit")
    expect(page.get_by_text("Actor", exact=True)).to_be_visible()
    for label, wrong in (("Type", "mission.block*"), ("Stream", "0192f0c1")):
        field = page.get_by_role("combobox" if label == "Type" else "textbox", name=label)
        field.fill(wrong)
        expect(field).to_have_accessible_description("Enter applies it")
        field.press("Enter")
        expect(field).to_have_accessible_description(re.compile(f"^Not a {label.lower()}: "))
        expect(field).to_have_attribute("aria-invalid", "true")
    expect(page).to_have_url(re.compile("/audit$"))
