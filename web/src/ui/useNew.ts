import { useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";

/** The part of an address by which a page opens with its dialog for something new. */
export const NEW = "new";

/** Returns whether a page's dialog for something new is open, and what opens and closes it. */
export function useNew(): readonly [boolean, (isOpen: boolean) => void] {
  const isAsked = useLocation({ select: ({ hash }) => hash === NEW });
  const [isOpen, setOpen] = useState(isAsked);
  const navigate = useNavigate();
  useEffect(() => {
    if (!isAsked) return;
    setOpen(true);
    // Once: it is not there again after a reload.
    void navigate({ to: ".", search: true, hash: "", replace: true });
  }, [isAsked, navigate]);
  return [isOpen, setOpen];
}
