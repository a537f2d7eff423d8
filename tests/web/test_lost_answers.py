"""Commands that were done and whose answer was lost: whoever asks again does nothing twice."""

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.web.conftest import Silence, hold, lose_answer

UNKNOWN = "isn't known whether"
LOST = "net::ERR_FAILED"


def _titles(admin: httpx.Client) -> list[str]:
    return [item["title"] for item in admin.get("/api/missions?limit=200").json()["items"]]


def test_a_title_that_is_added_again_after_its_answer_was_lost_is_one_mission(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    page = person()
    backlog = page.get_by_role("region", name="Backlog")
    page.get_by_role("button", name="Add a mission to Backlog").click()
    field = page.get_by_label("Title of a new mission in Backlog")
    lose_answer(page, "**/api/missions")
    field.fill("Set the staysail")
    field.press("Enter")
    expect(page.get_by_text("It isn't known whether “Set the staysail” was added")).to_be_visible()
    expect(field).to_have_value("Set the staysail")
    field.press("Enter")
    expect(page.get_by_text("Set the staysail: added to Backlog")).to_be_attached()
    expect(backlog.get_by_role("link", name="Set the staysail")).to_have_count(1)
    assert _titles(admin).count("Set the staysail") == 1

    # Answered now: the same words once more are another mission.
    field.fill("Set the staysail")
    field.press("Enter")
    expect(backlog.get_by_role("link", name="Set the staysail")).to_have_count(2)

    held = hold(page, "**/api/missions")
    field.fill("Set the jib")
    with page.expect_request("**/api/missions"):
        field.press("Enter")
    field.press_sequentially("typed next")
    for route in held:
        assert route.fetch().ok
        route.abort()
    page.unroute("**/api/missions")
    expect(backlog.get_by_text("Perhaps not added: Set the jib")).to_be_visible()
    backlog.get_by_role("button", name="Try again to add Set the jib").click()
    expect(backlog.get_by_text("Perhaps not added")).to_have_count(0)
    expect(page.get_by_text("Set the jib: added to Backlog")).to_be_attached()
    assert _titles(admin).count("Set the jib") == 1
    silence.forgive(LOST)


def test_a_comment_that_is_sent_again_after_its_answer_was_lost_is_said_once(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    made = admin.post("/api/missions", json={"title": "Talk it over"}).raise_for_status().json()
    page = person(path=f"/missions/{made['id']}")
    field = page.get_by_label("Write a comment")
    lose_answer(page, "**/comments")
    field.fill("Said once")
    field.press("Control+Enter")
    expect(page.get_by_text(UNKNOWN)).to_be_visible()
    expect(field).to_have_value("Said once")
    page.get_by_role("link", name="Agents").click()
    expect(page.get_by_role("button", name="Register agent").first).to_be_visible()
    page.go_back()
    expect(field).to_have_value("Said once")
    field.press("Control+Enter")
    expect(page.get_by_text("Comment added")).to_be_attached()
    expect(field).to_have_value("")
    said = admin.get(f"/api/missions/{made['id']}/comments").json()["items"]
    assert [comment["body"] for comment in said] == ["Said once"]
    silence.forgive(LOST)


def test_a_card_whose_move_got_no_answer_is_not_said_to_stay_where_it_was(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    admin.post("/api/missions", json={"title": "Shift the ballast"}).raise_for_status()
    page = person()
    card = page.locator("[data-card]").filter(has_text="Shift the ballast")
    lose_answer(page, "**/move")
    card.get_by_role("button", name="Move Shift the ballast to").click()
    page.get_by_role("menuitemcheckbox", name="Review").click()
    expect(page.get_by_text("It isn't known whether “Shift the ballast” was moved")).to_be_visible()
    expect(page.get_by_text("stays where it was")).to_have_count(0)
    # The board's event tells.
    expect(page.get_by_role("region", name="Review").filter(has=card)).to_be_visible()
    silence.forgive(LOST)


def test_an_agent_and_its_key_that_are_asked_for_again_are_one_agent_with_a_key_that_is_seen(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    page = person(path="/agents")
    page.get_by_role("button", name="Register").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Lookout")
    register = dialog.get_by_role("button", name="Register")
    lose_answer(page, "**/api/agents")
    register.click()
    expect(dialog.get_by_role("alert")).to_contain_text(UNKNOWN)
    lose_answer(page, re.compile("/keys$"))
    register.click()
    expect(dialog.get_by_role("alert")).to_contain_text(UNKNOWN)
    expect(register).to_be_enabled()
    register.click()
    expect(
        page.get_by_role("dialog", name="Key of Lookout").get_by_text("mc_").first
    ).to_be_visible()
    found = [
        a for a in admin.get("/api/agents?limit=200").json()["items"] if a["name"] == "Lookout"
    ]
    assert len(found) == 1
    # The one that nobody saw is taken back.
    assert len(admin.get(f"/api/agents/{found[0]['id']}").json()["keys"]) == 1
    silence.forgive(LOST)
    silence.forgive(409)


def test_a_member_whose_password_was_lost_with_the_answer_is_not_added_twice(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    page = person(path="/settings/members")
    page.get_by_role("button", name="Add a member").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Stowaway")
    dialog.get_by_label("E-mail").fill("stowaway@example.org")
    add = dialog.get_by_role("button", name="Add, and show a password")
    lose_answer(page, "**/api/members")
    add.click()
    expect(dialog.get_by_role("alert")).to_contain_text(UNKNOWN)
    add.click()
    expect(dialog.get_by_role("alert")).to_contain_text("their password can't be shown again")
    names = [member["name"] for member in admin.get("/api/members?limit=200").json()["items"]]
    assert names.count("Stowaway") == 1
    silence.forgive(LOST)
    silence.forgive(409)
