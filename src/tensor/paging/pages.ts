/**
 * Tensors in pages, such as the matrices of a layer's experts, that lie in files or in the host's memory. A bounded
 * number of pages of one kind is in slots on the device, and one at a time in the place where programs read it.
 *
 * A page is asked for by a step of a program (`Program.start`): it is copied from its slot to the place, on the device,
 * and from the host before that where it has none. What a program writes goes back to the slot at once, and to the host
 * when the slot is needed. Which page leaves is the policy's to say (cache.ts), and changes no result.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Lent, Turns } from "../lent.ts";
import { PageKind, type PageStoreOptions, type Slot } from "./page-kind.ts";

/** What the moving average of loads keeps of the past: Hecate, 2025. */
const KEPT = 0.7;

/** One page. Its values are in its slot where that is dirty, else on the host, in the file, or 0 where neither is. */
export class Page implements Lent {
  readonly name: string;
  /** Moving average of the rows that it was multiplied by. */
  load = 0;
  readonly #store: PageStore;
  readonly #kind: PageKind<Page>;
  #host: Uint8Array | undefined;
  #read: (() => Promise<Uint8Array>) | undefined;

  constructor(store: PageStore, kind: PageKind<Page>, name: string, read?: () => Promise<Uint8Array>) {
    this.#store = store;
    this.#kind = kind;
    this.name = name;
    this.#read = read;
    kind.add(this);
  }

  get buffer(): GPUBuffer {
    return this.#kind.place.buffer;
  }
  get place(): object {
    return this.#kind;
  }
  get turns(): Turns {
    return this.#store;
  }
  get hostBytes(): number {
    return this.#host?.byteLength ?? 0;
  }

  heard(rows: number): void {
    this.load = KEPT * this.load + (1 - KEPT) * rows;
  }

  passed(): void {
    this.#kind.passed();
  }

  async fetch(overwritten: boolean): Promise<boolean> {
    const kind = this.#kind;
    if (kind.holds === this) return false;
    kind.holds = undefined;
    const { slot, hit, left } = kind.request(this);
    try {
      if (left) await left.#keep(slot);
      if (!hit && !overwritten) return await this.#bring(slot);
      if (hit && !overwritten) this.#store.gpu.copy(slot.memory.buffer, 0, this.buffer, 0, kind.place.bytes);
    } catch (error) {
      kind.drop(this); // a read that fails leaves parts of two
      throw error;
    }
    kind.holds = this;
    return false;
  }

  /** From the host to the place, and from there to the slot. */
  async #bring(slot: Slot): Promise<boolean> {
    const { gpu } = this.#store;
    const kind = this.#kind;
    const values = this.#host ?? (await this.#read?.());
    if (values) {
      this.#store.count("loaded", values.byteLength);
      gpu.write(this.buffer, 0, values);
    } else gpu.clear(this.buffer, kind.place.bytes);
    gpu.copy(this.buffer, 0, slot.memory.buffer, 0, kind.place.bytes);
    kind.holds = this;
    return values !== undefined;
  }

  /** Takes the values of a slot that is needed for another page. */
  async #keep(slot: Slot): Promise<void> {
    if (!slot.dirty) return;
    const bytes = this.#kind.place.bytes;
    this.#host = await this.#store.gpu.read(slot.memory.buffer, 0, bytes, (view) => view.slice());
    this.#store.count("stored", bytes);
    slot.dirty = false;
  }

  wrote(): void {
    const slot = this.#kind.slotOf(this);
    if (!slot) throw new Error(`${this.name} has no slot`);
    this.#store.gpu.copy(this.buffer, 0, slot.memory.buffer, 0, this.#kind.place.bytes);
    slot.dirty = true;
    this.#host = undefined;
    this.#read = undefined;
  }

  clear(): void {
    this.#kind.drop(this);
    this.#host = undefined;
    this.#read = undefined;
  }

  /** The values as they are now. */
  async values(): Promise<Uint8Array> {
    const slot = this.#kind.slotOf(this);
    const { bytes } = this.#kind.place;
    if (slot?.dirty) return this.#store.gpu.read(slot.memory.buffer, 0, bytes, (view) => view.slice());
    return this.#host ?? (await this.#read?.()) ?? new Uint8Array(bytes);
  }

  /** Takes new values. */
  set(values: Uint8Array): void {
    this.clear();
    this.#host = values;
  }
}

/** A tensor in pages of equal size along its first dimension. */
export class Pages {
  readonly list: readonly Page[];
  /** Of a page. */
  readonly bytes: number;

  constructor(list: readonly Page[], bytes: number) {
    this.list = list;
    this.bytes = bytes;
  }

  /** `count` bytes from `first` on. */
  async read(first: number, count: number): Promise<Uint8Array> {
    const out = new Uint8Array(count);
    for (let at = first; at < first + count; ) {
      const [page, inside] = [Math.floor(at / this.bytes), at % this.bytes];
      const values = (await this.list[page]!.values()).subarray(
        inside,
        Math.min(this.bytes, inside + first + count - at),
      );
      out.set(values, at - first);
      at += values.byteLength;
    }
    return out;
  }

  /** Puts whole pages in, from page `first` on. */
  write(first: number, values: Uint8Array): void {
    if (values.byteLength % this.bytes !== 0)
      throw new RangeError(`${values.byteLength} bytes are no whole pages of ${this.bytes}`);
    for (let i = 0; i * this.bytes < values.byteLength; i++)
      this.list[first + i]!.set(values.slice(i * this.bytes, (i + 1) * this.bytes));
  }

  clear(): void {
    for (const page of this.list) page.clear();
  }
}

/** All pages of a model, and what has come and gone. */
export class PageStore implements Turns {
  readonly gpu: Gpu;
  readonly options: PageStoreOptions;
  readonly #kinds = new Map<string, PageKind<Page>>();
  /** Bytes that came from the host, and those that went back, since the store was made. */
  readonly moved = { loaded: 0, stored: 0 };
  readonly #orders = new WeakMap<readonly Lent[], ReadonlyMap<object, ReadonlyMap<Page, readonly number[]>>>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(gpu: Gpu, options: PageStoreOptions) {
    this.gpu = gpu;
    this.options = options;
  }

  /**
   * A tensor of `count` pages of `bytes` each. Those of one kind and size share slots; `read` gives a page's first
   * values, which are 0 without it.
   */
  pages(
    kind: string,
    name: string,
    {
      count,
      bytes,
      read,
    }: { count: number; bytes: number; read?: ((page: number) => Promise<Uint8Array>) | undefined },
  ): Pages {
    const key = `${kind} ${bytes}`;
    const own = this.#kinds.get(key) ?? new PageKind<Page>(this.gpu, kind, bytes, this.options);
    this.#kinds.set(key, own);
    const one = (i: number) => new Page(this, own, `${name}[${i}]`, read && (() => read(i)));
    return new Pages(
      Array.from({ length: count }, (_, i) => one(i)),
      bytes,
    );
  }

  count(way: "loaded" | "stored", bytes: number): void {
    this.moved[way] += bytes;
  }

  get isEmpty(): boolean {
    return this.#kinds.size === 0;
  }

  /** Of slots and places. */
  get deviceBytes(): number {
    return [...this.#kinds.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Of the places alone: one page of every kind. */
  get placeBytes(): number {
    return [...this.#kinds.values()].reduce((sum, { place }) => sum + place.bytes, 0);
  }

  /** Of all pages, as if all were on the host. */
  get pageBytes(): number {
    return [...this.#kinds.values()].reduce((sum, { place, pages }) => sum + place.bytes * pages.length, 0);
  }

  /** Most pages that one kind has. */
  get mostPages(): number {
    return Math.max(0, ...[...this.#kinds.values()].map(({ pages }) => pages.length));
  }

  async inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  begin(asked: readonly Lent[]): void {
    const order = this.#orders.get(asked) ?? orderOf(asked);
    this.#orders.set(asked, order);
    for (const kind of this.#kinds.values()) kind.expect(order.get(kind) ?? new Map());
  }

  free(): void {
    for (const kind of this.#kinds.values()) kind.free();
    this.#kinds.clear();
  }
}

/** When each page is asked for, counted in requests of its kind. */
function orderOf(asked: readonly Lent[]): ReadonlyMap<object, ReadonlyMap<Page, readonly number[]>> {
  const order = new Map<object, Map<Page, number[]>>();
  const counts = new Map<object, number>();
  for (const page of asked) {
    if (!(page instanceof Page)) continue;
    const own = order.get(page.place) ?? new Map<Page, number[]>();
    order.set(page.place, own);
    const at = counts.get(page.place) ?? 0;
    counts.set(page.place, at + 1);
    own.set(page, [...(own.get(page) ?? []), at]);
  }
  return order;
}
