import { Link } from "@tanstack/react-router";
import { Maximize2, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { useShortcuts } from "@/shell/shortcuts";
import { IconButton } from "@/ui/Button";
import { giveBack, placeOf } from "@/ui/focus";
import { Actions } from "./Actions";
import { MissionFrame } from "./Mission";

/**
 * A mission beside another page, or over it where there is no room; and over what flies on that page, always.
 * `missionId` comes from the address.
 */
export default function MissionPanel({
  missionId,
  onClose,
}: {
  missionId: string;
  onClose: () => void;
}) {
  const panel = useRef<HTMLElement>(null);
  // Whoever opened it is given the focus back when it closes.
  useEffect(() => {
    const before = placeOf(document.activeElement);
    panel.current?.focus();
    return () => giveBack(before);
  }, []);
  useShortcuts([{ keys: "Escape", label: "Close the mission", group: "Mission", run: onClose }]);
  return (
    <aside
      ref={panel}
      tabIndex={-1}
      aria-label="Mission"
      className="z-30 flex w-[clamp(26rem,36vw,44rem)] shrink-0 flex-col border-l border-line bg-surface outline-none animate-enter max-lg:fixed max-lg:inset-y-0 max-lg:right-0 max-lg:shadow-overlay max-md:w-full"
    >
      <MissionFrame
        missionId={missionId}
        bar={(mission) => (
          <header className="flex h-12 shrink-0 items-center gap-1 border-b border-line px-3">
            <IconButton label="Close" onClick={onClose}>
              <X size={16} aria-hidden />
            </IconButton>
            <Link
              to="/missions/$missionId"
              params={{ missionId }}
              preload={false}
              aria-label="Open as a page"
              title="Open as a page"
              className="transition-quick inline-flex size-8 shrink-0 items-center justify-center rounded-md text-ink-3 hover:bg-hover hover:text-ink"
            >
              <Maximize2 size={14} aria-hidden />
            </Link>
            <span className="flex-1" />
            {mission !== undefined && <Actions onGone={onClose} />}
          </header>
        )}
      />
    </aside>
  );
}
