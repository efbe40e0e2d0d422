/**
 * Places activations in memory: tensors whose lifetimes do not overlap share a slot.
 *
 * A slot is a separate buffer rather than a range of an arena: WebGPU refuses a dispatch that reads and writes one
 * buffer through different bindings, whatever the ranges. Tensors are placed from the largest to the smallest, each
 * in the smallest slot that is free for its lifetime; since a network repeats a few sizes, that stays close to the
 * most that is alive at once.
 */
import type { Step } from "./recorder.ts";
import type { Storage, Tensor } from "./tensor.ts";

export interface Plan {
  /** Bytes of each slot, largest first. */
  readonly slots: readonly number[];
  /** Which slot holds which storage, by the storage's id. */
  readonly slotOf: ReadonlyMap<number, number>;
  /** Sum of the slots. */
  readonly bytes: number;
  /** Most bytes of activations that are alive at one step: no plan can do with less. */
  readonly alive: number;
}

/** Which bindings of a step its kernel may write. */
export type Writes = (step: Step) => readonly string[];

/** Steps that contribute to what outlives the program; the others are left out. */
export function liveSteps(steps: readonly Step[], outputs: ReadonlySet<number>, writes: Writes): Step[] {
  const needed = new Set(outputs);
  const live: Step[] = [];
  for (const step of [...steps].reverse()) {
    const written = writes(step).map((name) => step.bind[name]!);
    const matters = ({ storage }: Tensor) => storage.kind !== "activation" || needed.has(storage.id);
    if (!written.some(matters)) continue;
    for (const { storage } of Object.values(step.bind)) needed.add(storage.id);
    live.push(step);
  }
  return live.reverse();
}

interface Lifetime {
  readonly storage: Storage;
  readonly from: number;
  to: number;
}

/** Plans the activations of `steps`. Those in `kept` get memory of their own elsewhere. */
export function planMemory(steps: readonly Step[], kept: ReadonlySet<number>): Plan {
  const lifetimes = new Map<number, Lifetime>();
  for (const [at, step] of steps.entries()) {
    for (const { storage } of Object.values(step.bind)) {
      if (storage.kind !== "activation" || kept.has(storage.id)) continue;
      const known = lifetimes.get(storage.id);
      if (known) known.to = at;
      else lifetimes.set(storage.id, { storage, from: at, to: at });
    }
  }
  const change = new Float64Array(steps.length + 1);
  for (const { storage, from, to } of lifetimes.values()) {
    change[from]! += storage.bytes;
    change[to + 1]! -= storage.bytes;
  }
  let alive = 0;
  let now = 0;
  for (const bytes of change) {
    now += bytes;
    alive = Math.max(alive, now);
  }

  const slots: { readonly bytes: number; readonly taken: Lifetime[] }[] = [];
  const slotOf = new Map<number, number>();
  const bySize = [...lifetimes.values()].sort((a, b) => b.storage.bytes - a.storage.bytes || a.from - b.from);
  for (const lifetime of bySize) {
    const free = (taken: Lifetime[]) => taken.every(({ from, to }) => to < lifetime.from || from > lifetime.to);
    // Slots were made from the largest down, so the last one that is free is the tightest fit.
    let slot = slots.findLastIndex(({ taken }) => free(taken));
    if (slot < 0) slot = slots.push({ bytes: lifetime.storage.bytes, taken: [] }) - 1;
    slots[slot]!.taken.push(lifetime);
    slotOf.set(lifetime.storage.id, slot);
  }
  const sizes = slots.map(({ bytes }) => bytes);
  return { slots: sizes, slotOf, bytes: sizes.reduce((a, b) => a + b, 0), alive };
}
