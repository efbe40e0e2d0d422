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

/** The native object behind one that the standard's types hide it in. */
export const handleOf = (object: object): Pointer => (object as Native).handle;
