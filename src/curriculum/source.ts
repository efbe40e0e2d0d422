/**
 * Batches of a curriculum: rows drawn from groups by a mixture that may change, or rows in an order that is made for
 * every pass. What is drawn is a function of (seed, place of the batch, mixture), so that a run resumes, and replays,
 * with the same batches.
 */
import { type Batch, collate, stackExamples, tokensIn } from "../data/batch.ts";
import type { Example } from "../data/examples.ts";
import { GroupOrder } from "../data/groups.ts";
import type { OrderState } from "../data/order.ts";
import { Random } from "../data/random.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { BatchSource } from "../run/training/batch-source.ts";

/** Rows of all groups in memory, of a language model or a classifier. */
export interface Rows {
  readonly names: readonly string[];
  readonly items: Items;
  /** Of each group. */
  readonly counts: readonly { readonly name: string; readonly rows: number; readonly tokens: number }[];
  /** Position of the group of every row. */
  readonly group: Int32Array;
  /** Tokens of every row. */
  readonly lengths: Int32Array;
  /** `changed` stand in the place of the rows' examples. */
  batch(rows: readonly number[], changed?: readonly Example[]): CurriculumBatch;
  /** Sequences that are none of the rows, each of its own group, as a batch. */
  made(sequences: readonly Sequence[]): CurriculumBatch;
  /** Some of the rows, in this order, with the same groups. */
  part(rows: readonly number[]): Rows;
}

export interface CurriculumBatch {
  readonly batch: Batch;
  /** Group of each of its rows. */
  readonly groups: Int32Array;
}

/** One form of rows at a time: a data set does not mix them. */
type Items = readonly Sequence[] | readonly Example[];

const isText = (items: Items): items is readonly Sequence[] => items.length > 0 && "ids" in items[0]!;

/** `pad` fills up rows of tokens; it never counts. */
export function rowsOf(names: readonly string[], items: Items, pad: number): Rows {
  const group = Int32Array.from<Sequence | Example>(items, (item) => item.group ?? 0);
  const lengths = isText(items) ? Int32Array.from(items, ({ ids }) => ids.length) : Int32Array.from(items, tokensIn);
  const collated = (sequences: readonly Sequence[]) =>
    collate(
      sequences.map((sequence) => [sequence]),
      { pad },
    );
  const batch = isText(items)
    ? (rows: readonly number[]) => collated(rows.map((row) => items[row]!))
    : (rows: readonly number[], changed?: readonly Example[]) =>
        stackExamples(changed ?? rows.map((row) => items[row]!));
  return {
    names,
    items,
    group,
    lengths,
    counts: names.map((name, g) => ({
      name,
      rows: group.filter((of) => of === g).length,
      tokens: lengths.reduce((sum, length, i) => sum + (group[i] === g ? length : 0), 0),
    })),
    batch: (rows, changed) => ({ batch: batch(rows, changed), groups: Int32Array.from(rows, (row) => group[row]!) }),
    made: (sequences) => ({
      batch: collated(sequences),
      groups: Int32Array.from(sequences, ({ group: of }) => of),
    }),
    part: (rows) => rowsOf(names, isText(items) ? rows.map((row) => items[row]!) : rows.map((row) => items[row]!), pad),
  };
}

/** A saved state of a source. Throws UserError unless it was made with the same data and settings. */
function checked(state: unknown, identity: Record<string, string>, what: string): OrderState & Record<string, unknown> {
  const saved = (state ?? {}) as OrderState & Record<string, unknown>;
  for (const [setting, now] of Object.entries(identity)) {
    if (saved.made_with?.[setting] !== now)
      throw new UserError(
        `${what} was saved with ${setting} ${saved.made_with?.[setting] ?? "unknown"}, this run has ${now}`,
        "a run resumes on the data and with the settings it began with",
      );
  }
  return saved;
}

const identityOf = (rows: Rows, batchSize: number, seed: number): Record<string, string> => ({
  groups: rows.counts.map(({ name, rows, tokens }) => `${name} (${rows}, ${tokens})`).join(", "),
  data: BigInt(Bun.hash.xxHash64(new Uint8Array(rows.lengths.buffer))).toString(16),
  "batch size": String(batchSize),
  seed: String(seed),
});

const largestOf = (rows: Rows, batchSize: number): CurriculumBatch => {
  const longest = rows.lengths.reduce((best, length, i) => (length > rows.lengths[best]! ? i : best), 0);
  return rows.batch(Array.from({ length: batchSize }, () => longest));
};

/** Draws the group of every row from a mixture; a group gives all of its rows once before it repeats one. */
export class MixtureSource implements BatchSource<CurriculumBatch> {
  readonly groups: Rows["counts"];
  readonly batchesPerEpoch: number;
  /** The mixture that the next batch is drawn from. */
  probs: readonly number[];
  /** Of each group, how many of its rows are drawn from; all where undefined. */
  limits: readonly (number | undefined)[] = [];
  /** Rows drawn of each group. */
  drawn: number[];
  readonly #rows: Rows;
  readonly #batchSize: number;
  readonly #seed: number;
  readonly #orders: readonly GroupOrder[];
  readonly #members: readonly Int32Array[];
  #batch = 0;

  constructor(rows: Rows, given: { batchSize: number; seed: number; shuffle: boolean }) {
    this.groups = rows.counts;
    this.batchesPerEpoch = Math.ceil(rows.items.length / given.batchSize);
    this.#rows = rows;
    this.#batchSize = given.batchSize;
    this.#seed = given.seed;
    this.#orders = rows.counts.map(({ name, rows: n }) => new GroupOrder(name, n, given.seed, given.shuffle));
    this.#members = rows.names.map((_, g) =>
      Int32Array.from([...rows.group.entries()].filter(([, of]) => of === g).map(([row]) => row)),
    );
    this.drawn = rows.names.map(() => 0);
    this.probs = rows.names.map(() => 1 / rows.names.length);
  }

  largest(): CurriculumBatch {
    return largestOf(this.#rows, this.#batchSize);
  }

  next() {
    const random = new Random(this.#seed, "curriculum", this.#batch++);
    const rows = Array.from({ length: this.#batchSize }, () => {
      const group = random.weighted(this.probs);
      const [limit, drawn] = [this.limits[group], this.drawn[group]!++];
      // A fixed part of a group: what its first pass begins with.
      return this.#members[group]![this.#orders[group]!.at(limit === undefined ? drawn : drawn % limit)]!;
    });
    const total = this.drawn.reduce((a, b) => a + b, 0);
    return { batch: this.#rows.batch(rows), epoch: Math.floor((total - 1) / this.#rows.items.length) };
  }

  state(): OrderState {
    return {
      made_with: identityOf(this.#rows, this.#batchSize, this.#seed),
      epoch: 0,
      batch: this.#batch,
      drawn: [...this.drawn],
    };
  }

  load(state: unknown, what: string): void {
    const saved = checked(state, identityOf(this.#rows, this.#batchSize, this.#seed), what);
    this.#batch = saved.batch;
    this.drawn = [...saved.drawn];
  }
}

/** The rows of pass `epoch`, when so many batches of the training are done. */
export type PassOrder = (epoch: number, batches: number) => Promise<Uint32Array>;

/** Other examples in the place of those of a batch, when so many batches of the training are done. */
export type ChangeRows = (
  items: readonly Example[],
  batches: number,
) => readonly Example[] | Promise<readonly Example[]>;

/** Goes through the rows pass by pass, each in the order that it follows. */
export class OrderedSource implements BatchSource<CurriculumBatch> {
  readonly groups: Rows["counts"];
  readonly batchesPerEpoch: number;
  readonly #rows: Rows;
  readonly #batchSize: number;
  readonly #seed: number;
  #order: PassOrder | undefined;
  #change: ChangeRows | undefined;
  #epoch = 0;
  #batch = 0;
  #at = 0;
  #current: Uint32Array | undefined;

  constructor(rows: Rows, given: { batchSize: number; seed: number }) {
    this.groups = rows.counts;
    this.batchesPerEpoch = Math.ceil(rows.items.length / given.batchSize);
    this.#rows = rows;
    this.#batchSize = given.batchSize;
    this.#seed = given.seed;
  }

  /** Sets what orders the passes, which may need the model, and changes rows. Before that there are no batches. */
  follow(order: PassOrder, change?: ChangeRows): void {
    this.#order = order;
    this.#change = change;
  }

  largest(): CurriculumBatch {
    return largestOf(this.#rows, Math.min(this.#batchSize, this.#rows.items.length));
  }

  async next() {
    if (!this.#order) throw new Error("the rows have no order yet");
    while (this.#current === undefined || this.#at >= this.#current.length) {
      if (this.#current !== undefined) this.#epoch++;
      this.#current = await this.#order(this.#epoch, this.#batch);
      this.#at = 0;
      if (this.#current.length === 0)
        throw new UserError(`pass ${this.#epoch} has no rows`, "the ordering leaves all rows out");
    }
    const rows = [...this.#current.subarray(this.#at, this.#at + this.#batchSize)];
    this.#at += this.#batchSize;
    const batch = this.#batch++;
    if (!this.#change) return { batch: this.#rows.batch(rows), epoch: this.#epoch };
    const { items } = this.#rows;
    const own = rows.flatMap((row) => {
      const item = items[row]!;
      return "ids" in item ? [] : [item];
    });
    return { batch: this.#rows.batch(rows, await this.#change(own, batch)), epoch: this.#epoch };
  }

  /** It holds the order of the current pass, which may have been made with weights that are gone. */
  state(): OrderState & { at: number; current: number[] | null } {
    return {
      made_with: identityOf(this.#rows, this.#batchSize, this.#seed),
      epoch: this.#epoch,
      batch: this.#batch,
      drawn: [],
      at: this.#at,
      current: this.#current ? [...this.#current] : null,
    };
  }

  load(state: unknown, what: string): void {
    const saved = checked(state, identityOf(this.#rows, this.#batchSize, this.#seed), what);
    [this.#epoch, this.#batch, this.#at] = [saved.epoch, saved.batch, saved.at as number];
    this.#current = saved.current ? Uint32Array.from(saved.current as number[]) : undefined;
  }
}
