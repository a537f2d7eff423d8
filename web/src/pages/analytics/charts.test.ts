import { describe, expect, it } from "vitest";
import type { Figures } from "@/api/analytics";
import { csvRows } from "@/ui/Chart";
import {
  atWorkChart,
  exactly,
  flowChart,
  flowHeadlines,
  labelsOf,
  utilisationChart,
} from "./charts";
import { analyticsSearch } from "./search";

const SPAN = { since: "2026-03-01T00:00:00Z", until: "2026-03-02T00:00:00Z" };
const FLOW: Figures["flow"] = {
  buckets: [{ ...SPAN, counts: { backlog: 5, ready: 4, active: 3, review: 2, done: 1 } }],
};
const BUSY: Figures["utilisation"] = {
  agents: [
    { agent_id: "a", busy_s: 1, share: 0.25, buckets: [{ ...SPAN, busy_s: 1, share: 0.25 }] },
    { agent_id: "b", busy_s: 2, share: 0.5, buckets: [{ ...SPAN, busy_s: 2, share: null }] },
  ],
};

describe("charts", () => {
  it("name buckets in UTC", () => {
    expect(labelsOf([SPAN], "day")).toEqual(["Mar 1"]);
    expect(labelsOf([SPAN], "hour")).toEqual(["00:00"]);
    expect(exactly([SPAN], "hour")).toEqual(["2026-03-01 00:00Z"]);
    expect(exactly([SPAN], "week")).toEqual(["2026-03-01"]);
  });

  it("pile the flow up from what is done", () => {
    expect(flowChart(FLOW, "day").series.map(({ label }) => label)[0]).toBe("Done");
    expect(flowHeadlines(FLOW).map(({ value }) => value)).toEqual(["14", "3", "2"]);
  });

  it("add the shares of all agents, and order agents by theirs", () => {
    expect(atWorkChart(BUSY, "day").series[0]?.values).toEqual([0.25]);
    expect(utilisationChart(BUSY, (id) => id.toUpperCase()).labels).toEqual(["B", "A"]);
  });

  it("are plain numbers in a file, the unit in the head", () => {
    expect(csvRows(utilisationChart(BUSY, (id) => id))).toEqual([
      ["Agent", "Busy (share of 1)"],
      ["b", 0.5],
      ["a", 0.25],
    ]);
  });
});

it("leaves out of the address what makes no sense", () => {
  expect(analyticsSearch({ range: "toString", board: "x" })).toEqual({});
  expect(analyticsSearch({ range: "7d" })).toEqual({ range: "7d" });
});
