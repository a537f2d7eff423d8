import { Tabs } from "radix-ui";
import { useState } from "react";
import type { Issued } from "@/api/agentKeys";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Dialog } from "@/ui/Dialog";
import { Refusal } from "@/ui/Refusal";
import { unkept, useKept } from "@/ui/useKept";
import { curlSnippet, pythonSnippet } from "./snippets";

const TAB =
  "transition-quick h-7 rounded-md px-2.5 text-ink-2 hover:text-ink data-[state=active]:bg-pressed data-[state=active]:text-ink data-[state=active]:font-medium";

/** Shows a key, once, with what makes a program an agent by it. Closing it asks who has not copied it. */
export function NewKey({ issued, onClose }: { issued: Issued; onClose: () => void }) {
  const { copied, leave, isAsking } = useKept(onClose);
  const [shown, setShown] = useState("curl");
  const snippets: Record<string, string> = {
    curl: curlSnippet(location.origin, issued.agentId, issued.key),
    Python: pythonSnippet(location.origin, issued.agentId, issued.key),
  };
  return (
    <Dialog open onClose={leave} title={`Key of ${issued.name}`} wide>
      <div className="flex flex-col gap-4">
        <div>
          <p className="mb-1.5 text-ink-2">
            Copy it now: it is shown this once, and the server keeps only its hash.
          </p>
          <div className="flex items-center gap-2 rounded-md border border-line-strong bg-surface py-1 pr-1 pl-3">
            <code className="min-w-0 flex-1 font-mono text-sm break-all">{issued.key}</code>
            <CopyButton autoFocus text={issued.key} label="key" onCopied={copied} />
          </div>
        </div>
        <Tabs.Root value={shown} onValueChange={setShown} className="min-w-0">
          <div className="mb-2 flex items-center justify-between">
            <Tabs.List aria-label="Ways to connect" className="flex gap-1">
              {Object.keys(snippets).map((name) => (
                <Tabs.Trigger key={name} value={name} className={TAB}>
                  {name}
                </Tabs.Trigger>
              ))}
            </Tabs.List>
            <CopyButton text={snippets[shown] ?? ""} label={`${shown} snippet`} onCopied={copied} />
          </div>
          {Object.entries(snippets).map(([name, text]) => (
            <Tabs.Content
              key={name}
              value={name}
              className="max-h-72 overflow-auto rounded-md border border-line bg-surface p-3"
            >
              <pre className="font-mono text-sm wrap-anywhere whitespace-pre-wrap">{text}</pre>
            </Tabs.Content>
          ))}
        </Tabs.Root>
        {isAsking && <Refusal>{unkept("key")}</Refusal>}
        <div className="flex justify-end">
          <Button kind="primary" onClick={leave}>
            {isAsking ? "Close anyway" : "Done"}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
