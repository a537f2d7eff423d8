import { type ComponentProps, useEffect } from "react";
import { useFocusBack } from "./focus";
import { radix } from "./radix";

const Content = radix.part((parts) => parts.Dialog);

/** A modal dialog. What had the focus before has it again when it closes. */
export function Dialog(props: Omit<ComponentProps<typeof Content>, "onCloseAutoFocus">) {
  useEffect(() => {
    if (props.open) radix.load();
  }, [props.open]);
  const onCloseAutoFocus = useFocusBack(props.open);
  return <Content {...props} onCloseAutoFocus={onCloseAutoFocus} />;
}
