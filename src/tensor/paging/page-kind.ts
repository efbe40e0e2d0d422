/** Where pages of one kind and size take turns: their slots on the device, and the place where programs read them. */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedUnits } from "../../keyed-random.ts";
import { Cache, makePolicy, type PolicyName } from "./cache.ts";

export interface PageStoreOptions {
  /** Pages of each kind that are on the device. */
  readonly slots: number;
  readonly policy: PolicyName;
  readonly seed: number;
}

/** What is known of a page. */
interface Loaded {
  readonly name: string;
  /** Moving average of the rows that it was multiplied by. */
  readonly load: number;
}

export interface Slot {
  readonly memory: PooledBuffer;
  /** Whether it is newer than the host's values. */
  dirty: boolean;
}

/** Where pages of one kind and size take turns. */
export class PageKind<Page extends Loaded> {
  readonly place: PooledBuffer;
  readonly pages: Page[] = [];
  readonly cache: Cache<Page>;
  holds: Page | undefined;
  readonly #gpu: Gpu;
  readonly #most: number;
  readonly #free: Slot[] = [];
  readonly #slots: Slot[] = [];
  readonly #slotOf = new Map<Page, Slot>();
  /** Requests to come of the program that runs, by page, and how many are over. */
  #asked: ReadonlyMap<Page, readonly number[]> = new Map();
  #over = 0;

  constructor(gpu: Gpu, kind: string, bytes: number, { slots, policy, seed }: PageStoreOptions) {
    this.#gpu = gpu;
    this.#most = slots;
    this.place = gpu.buffer(Math.max(16, Math.ceil(bytes / 16) * 16), kind);
    const foresight = {
      unit: keyedUnits(seed, `pages of ${kind}`),
      cold: (page: Page) => this.#isCold(page),
      next: (page: Page) => this.#asked.get(page)?.find((at) => at >= this.#over) ?? Number.POSITIVE_INFINITY,
    };
    this.cache = new Cache(slots, makePolicy(policy, foresight));
  }

  get bytes(): number {
    return this.place.bytes * (this.#slots.length + 1);
  }

  add(page: Page): void {
    this.pages.push(page);
    if (this.#slots.length >= this.#most) return;
    const slot = { memory: this.#gpu.buffer(this.place.bytes, `slot of ${page.name}`), dirty: false };
    this.#slots.push(slot);
    this.#free.push(slot);
  }

  /** Whether as many pages as there are slots carry more load; of equal loads the first are the hot ones. */
  #isCold(page: Page): boolean {
    let hotter = 0;
    let isBehind = true;
    for (const other of this.pages) {
      if (other === page) isBehind = false;
      else if (other.load > page.load || (isBehind && other.load === page.load)) hotter++;
      if (hotter >= this.#most) return true;
    }
    return false;
  }

  expect(asked: ReadonlyMap<Page, readonly number[]>): void {
    this.#asked = asked;
    this.#over = 0;
  }

  passed(): void {
    this.#over++;
  }

  slotOf(page: Page): Slot | undefined {
    return this.#slotOf.get(page);
  }

  /** The slot of a page, and what has left it where it had none. */
  request(page: Page): { readonly slot: Slot; readonly hit: boolean; readonly left: Page | undefined } {
    const { hit, left } = this.cache.request(page);
    const known = this.#slotOf.get(left ?? page) ?? this.#free.pop();
    if (!known) throw new Error(`no slot is left for ${page.name}`);
    if (left) this.#slotOf.delete(left);
    this.#slotOf.set(page, known);
    return { slot: known, hit, left };
  }

  drop(page: Page): void {
    if (this.holds === page) this.holds = undefined;
    const slot = this.#slotOf.get(page);
    if (!slot) return;
    this.#slotOf.delete(page);
    this.cache.drop(page);
    slot.dirty = false;
    this.#free.push(slot);
  }

  free(): void {
    this.place.free();
    for (const { memory } of this.#slots) memory.free();
  }
}
