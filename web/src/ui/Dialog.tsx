import { type ComponentProps, useEffect } from "react";
import { DialogToCome } from "./DialogToCome";
import { useFocusBack } from "./focus";
import type { Dialog as RadixDialog } from "./RadixParts";
import { radix } from "./radix";

const Content = radix.part((parts) => parts.Dialog, Waiting);

/** A modal dialog. What had the focus before has it again when it closes. */
export function Dialog(props: Omit<ComponentProps<typeof Content>, "onCloseAutoFocus">) {
  useEffect(() => {
    if (props.open) radix.load();
  }, [props.open]);
  const onCloseAutoFocus = useFocusBack(props.open);
  return <Content {...props} onCloseAutoFocus={onCloseAutoFocus} />;
}

function Waiting({ open, title, onClose }: ComponentProps<typeof RadixDialog>) {
  return open ? <DialogToCome title={title} onClose={onClose} /> : null;
}
