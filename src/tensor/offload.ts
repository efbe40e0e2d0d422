/**
 * Weights that lie on the disk and take turns in the GPU's memory, for models that do not fit: those of one layer are
 * there at a time. A program reads them while it runs (`Program.start`).
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Lent, Turns } from "./lent.ts";

/** Memory in which weights of equal size take turns. */
interface Place {
  readonly memory: PooledBuffer;
  users: number;
  holds: OffloadedWeight | undefined;
}

/** A weight in a place that it has to itself only while it is used. */
export class OffloadedWeight implements Lent {
  readonly turns: Offload;
  readonly place: Place;
  readonly #parts: (() => Promise<void>)[] = [];

  constructor(offload: Offload, place: Place) {
    this.turns = offload;
    this.place = place;
    place.users++;
  }

  get buffer(): GPUBuffer {
    return this.place.memory.buffer;
  }

  /** `read` brings a part of it into the buffer. */
  add(read: () => Promise<void>): void {
    this.#parts.push(read);
  }

  /** Brings the weight into its place, unless it is there. */
  async fetch(): Promise<boolean> {
    if (this.place.holds === this) return false;
    this.place.holds = undefined; // a read that fails leaves parts of two
    for (const read of this.#parts) await read();
    this.place.holds = this;
    return true;
  }

  /** Throws Error: what lies on the disk is not trained. */
  wrote(): void {
    throw new Error("a program writes a weight that lies on the disk");
  }

  free(): void {
    this.place.users--;
    if (this.place.users === 0) this.turns.release(this.place);
  }
}

/** The places of a model, one for each kind of weight that a layer has. */
export class Offload implements Turns {
  readonly #gpu: Gpu;
  readonly #places = new Map<string, Place>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** A weight of a kind, such as `model.layers.mlp.up_proj.weight`; those of one kind and size take turns. */
  weight(kind: string, bytes: number): OffloadedWeight {
    const key = `${kind} ${bytes}`;
    const place = this.#places.get(key) ?? { memory: this.#gpu.buffer(bytes, kind), users: 0, holds: undefined };
    this.#places.set(key, place);
    return new OffloadedWeight(this, place);
  }

  /** Runs one program after the other: two that fetch at once would take each other's weights away. */
  async inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  release(place: Place): void {
    for (const [key, one] of this.#places) if (one === place) this.#places.delete(key);
    place.memory.free();
  }
}
