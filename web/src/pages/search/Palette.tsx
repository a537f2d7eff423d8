import { Dialog } from "@/ui/Dialog";

/** Placeholder: search and commands under Ctrl-K. */
export function Palette({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title="Search and commands">
      <p className="text-ink-2">Not built yet.</p>
    </Dialog>
  );
}
