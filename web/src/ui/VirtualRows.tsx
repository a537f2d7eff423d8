import type { Virtualizer } from "@tanstack/react-virtual";
import type { ReactNode } from "react";

/** The rows of a long list that are in sight, each measured and put in its place; `children` renders one. */
export function VirtualRows({
  virtual,
  children,
}: {
  virtual: Virtualizer<HTMLDivElement, Element>;
  children: (index: number) => ReactNode;
}) {
  return (
    <ul className="relative" style={{ height: virtual.getTotalSize() }}>
      {virtual.getVirtualItems().map((item) => {
        const row = children(item.index);
        if (row === undefined) return null;
        return (
          <li
            key={item.key}
            data-index={item.index}
            ref={virtual.measureElement}
            className="absolute inset-x-0 top-0"
            style={{ transform: `translateY(${item.start}px)` }}
          >
            {row}
          </li>
        );
      })}
    </ul>
  );
}
