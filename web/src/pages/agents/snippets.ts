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

/**
 * An agent in one file of plain Python. It works on one mission and gives it back: to paste it finishes nobody's
 * work, before what is to be done stands in it.
 */
export function pythonSnippet(url: string, agentId: string, key: string): string {
  return `import json
import sys
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


def work(mission, token):
    """Do what the mission asks for; return what was found, or None to give it back."""
    print("claimed:", mission["title"])
    call(f"/api/missions/{mission['id']}/progress", lease_token=token, percent=10, note="Reading")
    return None


call(f"/api/agents/{AGENT}/heartbeat", state="available")  # again every 10 seconds
claimed = call("/api/missions/claim")
if claimed is None:
    sys.exit("No mission fits this agent now.")
mission, token = claimed["mission"], claimed["lease"]["token"]
call(f"/api/agents/{AGENT}/heartbeat", state="busy", mission_id=mission["id"])
# Long work renews its lease in time: /api/missions/{id}/renew
found = work(mission, token)
if found is None:
    call(f"/api/missions/{mission['id']}/release", lease_token=token)
else:
    call(f"/api/missions/{mission['id']}/submit", lease_token=token, summary=found)
`;
}
