import { Palette } from "@/pages/search/Palette";
import { Dialog } from "@/ui/Dialog";
import { Key } from "@/ui/marks";
import { closeOverlay, useOverlay } from "./overlay";
import { type Shortcut, useShortcutList } from "./shortcuts";

/** What opens over a page by a key; loaded a while after the page, or when it first does. */
export function Overlays({ open }: { open: "palette" | "shortcuts" }) {
  const { typed, isEntered } = useOverlay();
  return open === "palette" ? (
    <Palette typed={typed} isEntered={isEntered} onClose={closeOverlay} />
  ) : (
    <Shortcuts />
  );
}

function Shortcuts() {
  const { shortcuts } = useShortcutList();
  const groups = [...new Set(shortcuts.map(({ group }) => group))].map(
    (group) => [group, shortcuts.filter((shortcut) => shortcut.group === group)] as const,
  );
  return (
    <Dialog open onClose={closeOverlay} title="Keyboard shortcuts" wide>
      <div className="grid gap-x-8 gap-y-5 sm:grid-cols-2">
        {groups.map(([group, items]) => (
          <section key={group}>
            <h3 className="mb-1 text-sm text-ink-3">{group}</h3>
            <dl>
              {items.map((item) => (
                <Row key={item.keys} item={item} />
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}

function Row({ item: { keys, label } }: { item: Shortcut }) {
  return (
    <div className="flex h-7 items-center justify-between">
      <dt>{label}</dt>
      <dd className="flex gap-1">
        {keys.split(/[ +]/).map((key) => (
          <Key key={key}>{key.length === 1 ? key.toUpperCase() : key}</Key>
        ))}
      </dd>
    </div>
  );
}
