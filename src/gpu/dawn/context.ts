/** What the objects of one Dawn instance share. */
import type { Pointer } from "bun:ffi";
import type { Arena } from "./arena.ts";
import type { Events } from "./events.ts";
import type { Library } from "./library.ts";

export interface Context {
  readonly library: Library;
  /** For structs of calls that read them before they return. */
  readonly arena: Arena;
  readonly events: Events;
}

/** A wrapper around a native object. */
export interface Native {
  readonly handle: Pointer;
}

/** The native object behind one that the standard's types hide it in. Throws once it was released by `takeHandle`. */
export function handleOf(object: object): Pointer {
  const { handle } = object as Native;
  if (!handle) throw new Error("a GPU object is used after it was released");
  return handle;
}

/** The same, for the last use of the object: its caller releases it. */
export function takeHandle(object: object): Pointer {
  const handle = handleOf(object);
  (object as { handle: Pointer | 0 }).handle = 0;
  return handle;
}
