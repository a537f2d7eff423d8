import {
  type ComponentType,
  createElement,
  startTransition,
  useEffect,
  useState,
  useSyncExternalStore,
} from "react";
import { patiently } from "./parts";

/** So long what nobody waits for may be put off by what is more urgent. */
const IDLE_TIMEOUT_MS = 1_000;

/**
 * A module that comes after the page. `load` asks for it, once; `part` is a component of it: until it came,
 * `meanwhile` or nothing. Where it has, it is there at once, without the fallback that Suspense puts between. Where it
 * can't be had, as the server has another version by now, `failed` is called.
 */
export function later<Module>(get: () => Promise<Module>, failed: () => void = () => {}) {
  let now: Module | undefined;
  let isAsked = false;
  const waiting = new Set<() => void>();
  const subscribe = (tell: () => void) => {
    waiting.add(tell);
    return () => waiting.delete(tell);
  };
  const load = async () => {
    if (isAsked) return;
    isAsked = true;
    try {
      now = await patiently(get);
      for (const tell of waiting) tell();
    } catch {
      isAsked = false; // whoever wants it next asks again
      failed();
    }
  };
  return {
    load: () => void load(),
    part: <Props extends object>(
      pick: (module: Module) => ComponentType<Props>,
      meanwhile?: ComponentType<Props>,
    ) =>
      // biome-ignore lint/correctness/noComponentHookFactories: made once, where modules are read
      function Part(props: Props) {
        const module = useSyncExternalStore(subscribe, () => now);
        const component = module ? pick(module) : meanwhile;
        return component && createElement(component, props);
      },
  };
}

/**
 * Runs something when what was drawn is painted, and the browser has nothing better to do; returns how to call it
 * off.
 */
export function whenIdle(run: () => void): () => void {
  let callOff = () => {};
  // A browser may be idle between what was drawn and its frame: the frame after it comes when that is on the screen.
  let frame = requestAnimationFrame(() => {
    frame = requestAnimationFrame(() => {
      callOff = inIdleTime(run);
    });
  });
  return () => {
    cancelAnimationFrame(frame);
    callOff();
  };
}

function inIdleTime(run: () => void): () => void {
  if (!("requestIdleCallback" in window)) {
    const timer = setTimeout(run, IDLE_TIMEOUT_MS); // Safari
    return () => clearTimeout(timer);
  }
  const handle = requestIdleCallback(run, { timeout: IDLE_TIMEOUT_MS });
  return () => cancelIdleCallback(handle);
}

/** Whether what a component drew first is painted: what is looked at later is drawn then. */
export function usePainted(): boolean {
  const [isPainted, setPainted] = useState(false);
  useEffect(() => whenIdle(() => startTransition(() => setPainted(true))), []);
  return isPainted;
}
