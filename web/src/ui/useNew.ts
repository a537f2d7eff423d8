import { useLocation, useNavigate } from "@tanstack/react-router";

/** The part of an address by which a page opens with its dialog for something new. */
export const NEW = "new";

/** Returns whether a page's dialog for something new is open, and what opens and closes it. */
export function useNew(): readonly [boolean, (isOpen: boolean) => void] {
  const isOpen = useLocation({ select: ({ hash }) => hash === NEW });
  const navigate = useNavigate();
  return [
    isOpen,
    (open) => void navigate({ to: ".", search: true, hash: open ? NEW : "", replace: true }),
  ];
}
