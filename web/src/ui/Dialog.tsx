import { type ComponentProps, useEffect } from "react";
import { radix } from "./radix";

const Content = radix.part((parts) => parts.Dialog);

/** A modal dialog. */
export function Dialog(props: ComponentProps<typeof Content>) {
  useEffect(radix.load, []);
  return <Content {...props} />;
}
