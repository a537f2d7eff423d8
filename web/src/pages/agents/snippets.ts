/** Says hello and claims a mission, to paste into a shell. */
export function curlSnippet(url: string, agentId: string, key: string): string {
  return `export MC_URL='${url}'
export MC_KEY='${key}'

# Say that it is there; again every 10 seconds.
curl -sS "$MC_URL/api/agents/${agentId}/heartbeat" \\
  -H "authorization: Bearer $MC_KEY" -H 'content-type: application/json' \\
  -d '{"state": "available"}'

# Take the mission that fits best, with a lease. No answer: nothing fits now.
curl -sS -X POST "$MC_URL/api/missions/claim" -H "authorization: Bearer $MC_KEY"
`;
}

/** An agent in one file of plain Python: it works until it is stopped. */
export function pythonSnippet(url: string, agentId: string, key: string): string {
  return `import json
import time
from urllib.request import Request, urlopen

URL = "${url}"
AGENT = "${agentId}"
KEY = "${key}"


def call(path, **body):
    request = Request(
        URL + path,
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    with urlopen(request) as answer:
        return json.loads(answer.read() or "null")


while True:
    call(f"/api/agents/{AGENT}/heartbeat", state="available")
    claimed = call("/api/missions/claim")
    if claimed is None:  # nothing fits now
        time.sleep(10)
        continue
    mission, token = claimed["id"], claimed["lease"]["token"]
    call(f"/api/agents/{AGENT}/heartbeat", state="busy", mission_id=mission)
    call(f"/api/missions/{mission}/progress", lease_token=token, percent=50, note="Half way")
    # The work is done here; long work renews its lease: /api/missions/{mission}/renew
    call(f"/api/missions/{mission}/submit", lease_token=token, summary="What was found")
`;
}
