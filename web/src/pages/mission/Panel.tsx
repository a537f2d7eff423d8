/** Placeholder: a mission beside the board. `missionId` comes from `?mission=` in the address. */
export default function MissionPanel({ missionId }: { missionId: string; onClose: () => void }) {
  return <aside className="hidden">{missionId}</aside>;
}
