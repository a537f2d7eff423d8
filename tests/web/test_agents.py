"""The fleet and its figures in a real browser: register an agent, let it work, look at what it did."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

CLIPBOARD = ["clipboard-read", "clipboard-write"]
PROGRAM_S = 30
BEAT_SHOWN_MS = 20_000  # heartbeats are asked for every 10 s


def _register(page: Page, name: str) -> None:
    page.get_by_role("button", name="Register agent").first.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Role").fill("writer")
    page.get_by_label("Capabilities").fill("summaries, sql")
    page.get_by_role("button", name="Register", exact=True).click()


def _agent(admin: httpx.Client, name: str) -> str:
    answer = admin.post("/api/agents", json={"name": name, "capabilities": ["sql"]})
    return str(answer.raise_for_status().json()["id"])


def test_a_registered_agent_works_by_the_snippet_that_is_shown_once(
    person: Callable[..., Page], admin: httpx.Client, tmp_path: Path
) -> None:
    admin.post("/api/missions", json={"title": "Fold the flags"}).raise_for_status()
    page = person(path="/agents", permissions=CLIPBOARD)
    _register(page, "Scribe")
    expect(page.get_by_role("button", name="Copy the key")).to_be_focused()
    page.get_by_role("tab", name="Python").click()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("alert")).to_contain_text("You have not copied the key")
    page.get_by_role("button", name="Copy the Python snippet").click()
    expect(page.get_by_role("button", name="Copy the Python snippet")).to_have_text("Copied")
    program = tmp_path / "agent.py"
    program.write_text(page.evaluate("navigator.clipboard.readText()"))
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Register agent")).to_be_focused()

    row = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="Scribe"))
    expect(row).to_contain_text("Never")
    with subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE, text=True) as working:
        try:
            expect(row).not_to_contain_text("Never", timeout=BEAT_SHOWN_MS)
            row.get_by_role("link", name="Scribe").click()
            page.wait_for_url("**/agents/*")
            assert working.wait(PROGRAM_S) == 0
            page.reload()
            recent = page.get_by_role("region", name="Recent activity")
            # Pasted as it is, it finishes nobody's work.
            expect(recent).to_contain_text("claimed Fold the flags")
            expect(recent).to_contain_text("gave back Fold the flags")
        finally:
            working.terminate()
        _, said = working.communicate()
    assert "Error" not in said


def test_an_agent_is_stopped_and_given_another_key_on_its_page(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    page = person(path=f"/agents/{_agent(admin, 'Keel')}")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Deactivated")
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Offline")

    keys = page.get_by_role("region", name="Keys")
    expect(keys).to_contain_text("No key")
    keys.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("night shift")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("dialog").get_by_text("mc_").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Close anyway").click()
    expect(keys).to_contain_text("night shift")
    keys.get_by_role("button", name="Revoke night shift").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(keys).to_contain_text("No key")


def test_filters_are_in_the_address_and_every_chart_is_a_table_and_a_file(
    person: Callable[..., Page], admin: httpx.Client, tmp_path: Path
) -> None:
    admin.post("/api/missions", json={"title": "Count me"}).raise_for_status()
    page = person(path="/analytics?range=7d")
    flow = page.get_by_role("region", name="Cumulative flow", exact=True)
    expect(flow.get_by_role("img")).to_be_visible()
    flow.get_by_role("button", name="Cumulative flow as a table").click()
    expect(flow.get_by_role("columnheader")).to_have_text(
        ["Day", "Done", "Review", "Active", "Ready", "Backlog"]
    )
    with page.expect_download() as download:
        flow.get_by_role("button", name="Download Cumulative flow as CSV").click()
    assert download.value.suggested_filename == "cumulative-flow.csv"
    download.value.save_as(tmp_path / "flow.csv")
    rows = list(csv.reader((tmp_path / "flow.csv").read_text().splitlines()))
    assert [len(row) for row in rows] == [6] * 9  # the head, and the eight days that seven touch
    assert sum(map(int, rows[-1][1:])) >= 1

    page.get_by_role("button", name="Choose the range").click()
    page.get_by_role("menuitemcheckbox", name="90 days").click()
    expect(page).to_have_url(re.compile("range=90d"))
    expect(page.get_by_role("button", name="as a table")).to_have_count(7)


COLOURS = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Map();
    for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] < 128) continue;
        const [least, most] = [Math.min, Math.max].map((of) => of(...data.slice(at, at + 3)));
        const colour = data.slice(at, at + 3).join();
        if (most - least > 40) seen.set(colour, (seen.get(colour) ?? 0) + 1);
    }
    return [...seen].filter(([, count]) => count > 20).length;
}"""


def test_charts_are_told_apart_where_colours_are_forced(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    columns = admin.get("/api/missions/board").json()["columns"]
    for column in columns:
        body = {"title": f"In {column['name']}", "column_id": column["id"]}
        admin.post("/api/missions", json=body).raise_for_status()
    page = person(path="/analytics?range=7d", forced_colors="active", reduced_motion="reduce")
    flow = page.get_by_role("region", name="Cumulative flow", exact=True)
    expect(flow.get_by_role("img")).to_be_visible()
    expect(flow.get_by_role("listitem")).to_have_count(len(columns))
    dots = flow.get_by_role("listitem").locator("span")
    colours = dots.evaluate_all("(all) => all.map((dot) => getComputedStyle(dot).backgroundColor)")
    assert len(set(colours)) == len(columns)
    page.wait_for_function(
        f"(canvas) => ({COLOURS})(canvas) >= 2", arg=flow.locator("canvas").element_handle()
    )
    # A line's legend shows its dashes as well.
    times = page.get_by_role("region", name="Cycle time", exact=True)
    expect(times.get_by_role("listitem")).to_have_count(3)
    dashes = times.get_by_role("listitem").locator("path")
    drawn = dashes.evaluate_all("(all) => all.map((path) => path.getAttribute('stroke-dasharray'))")
    assert len(set(drawn)) == len(drawn) == 3
    expect(times.get_by_role("listitem").locator("svg").first).to_be_visible()
