/** Native objects live as long as their JavaScript wrappers. */
import type { Pointer } from "bun:ffi";

/** Runs between other work, never within a call; so a handle that was read from its wrapper stays good until then. */
const collected = new FinalizationRegistry<() => void>((release) => release());

/** Has a native object released once its wrapper was collected; returns the wrapper. */
export function own<T extends object>(wrapper: T, native: Pointer, release: (native: Pointer) => void): T {
  collected.register(wrapper, () => release(native));
  return wrapper;
}
