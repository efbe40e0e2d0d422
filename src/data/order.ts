/**
 * Which sequences make up which batch: epochs, shuffling, mixtures of groups and packing, all as a function of a small
 * state. A run that resumes from the state continues with exactly the batches it would have had.
 *
 * The plan of an epoch depends on seed, epoch and lengths, and is made when an epoch begins or a run resumes.
 *   Without weights an epoch is every sequence once, all groups shuffled together, or in the order they were given.
 *   With weights an epoch is as many draws as there are sequences, the group of each drawn by weight; every group goes
 *   through its own rows once before it repeats one, across epochs.
 */
import { UserError } from "../errors.ts";
import { epochOrder, GroupOrder } from "./groups.ts";
import { packFirstFit } from "./pack.ts";
import { Random } from "./random.ts";

export interface OrderOptions {
  /** Groups in order, with the number of tokens of each of their sequences (1 each for examples). */
  groups: readonly { readonly name: string; readonly lengths: ArrayLike<number> }[];
  /** Rows of a batch. */
  batchSize: number;
  seed?: number;
  /** True when left out. */
  shuffle?: boolean;
  /**
   * Leaves out an epoch's last batch when it is smaller than the others. With weights, its draws are used up all the
   * same.
   */
  dropLast?: boolean;
  /** Tokens of a row: sequences are packed into rows of so many. One sequence a row when left out. */
  pack?: number;
  /** Per group, >= 0; the shares in which they are drawn. */
  weights?: readonly number[];
  /** Digest of what the sequences hold; of their lengths when left out. */
  digest?: string;
}

/** Where a run stands, as JSON. */
export interface OrderState {
  /** What must be the same when the run resumes. */
  readonly made_with: Readonly<Record<string, string>>;
  readonly epoch: number;
  /** Batches of the epoch that were given. */
  readonly batch: number;
  /** Sequences of each group that were drawn in the epochs before. */
  readonly drawn: readonly number[];
}

export interface BatchPlan {
  readonly epoch: number;
  readonly batch: number;
  /** For every row its sequences, counted through all groups in order. */
  readonly bins: readonly (readonly number[])[];
}

/** One epoch: its rows, made when asked for, and how many sequences of each group it draws. */
interface EpochPlan {
  readonly rows: number;
  bins(from: number, to: number): number[][];
  readonly drawn: readonly number[];
}

export class BatchOrder {
  readonly #options: Required<Omit<OrderOptions, "pack" | "weights" | "digest">> &
    Pick<OrderOptions, "pack" | "weights" | "digest">;
  readonly #lengths: Int32Array;
  /** First sequence of each group. */
  readonly #first: number[] = [];
  readonly #groups: GroupOrder[];
  #epoch = 0;
  #batch = 0;
  #drawn: number[];
  #plan: EpochPlan | undefined;

  /** Throws UserError when a group is empty or weights do not fit, RangeError when a sequence is longer than `pack`. */
  constructor(options: OrderOptions) {
    const { groups, batchSize, weights, seed = 0, shuffle = true, dropLast = false } = options;
    if (!(Number.isInteger(batchSize) && batchSize >= 1)) throw new RangeError(`batch size ${batchSize}`);
    if (groups.length === 0) throw new RangeError("an order needs at least one group");
    for (const { name, lengths } of groups) {
      if (lengths.length === 0) throw new UserError(`the group ${name} has no rows`, "leave it out");
    }
    if (weights !== undefined) checkWeights(weights, groups.length);
    this.#options = { ...options, groups, batchSize, seed, shuffle, dropLast };
    this.#lengths = new Int32Array(groups.reduce((sum, { lengths }) => sum + lengths.length, 0));
    let at = 0;
    for (const { lengths } of groups) {
      this.#first.push(at);
      this.#lengths.set(lengths, at);
      at += lengths.length;
    }
    this.#groups = groups.map(({ name, lengths }) => new GroupOrder(name, lengths.length, seed, shuffle));
    this.#drawn = groups.map(() => 0);
    if (this.batchesPerEpoch === 0) {
      const rows = this.#current().rows;
      throw new UserError(
        `an epoch has ${rows} rows, fewer than the batch size of ${batchSize}`,
        "give a smaller --batch-size, or keep the last batch",
      );
    }
  }

  /**
   * Batches of the current epoch; others have about as many (packing and mixtures vary), without packing exactly as
   * many.
   */
  get batchesPerEpoch(): number {
    const { batchSize, dropLast } = this.#options;
    const batches = this.#current().rows / batchSize;
    return dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  /** The next batch; there is always one, epoch after epoch. */
  next(): BatchPlan {
    while (this.#batch >= this.batchesPerEpoch) {
      const { drawn } = this.#current();
      this.#drawn = this.#drawn.map((before, group) => before + drawn[group]!);
      this.#plan = undefined;
      this.#batch = 0;
      this.#epoch++;
    }
    const from = this.#batch * this.#options.batchSize;
    const bins = this.#current().bins(from, from + this.#options.batchSize);
    return { epoch: this.#epoch, batch: this.#batch++, bins };
  }

  /** Where the order stands: before the batch that `next` gives. */
  state(): OrderState {
    return { made_with: this.#identity(), epoch: this.#epoch, batch: this.#batch, drawn: [...this.#drawn] };
  }

  /**
   * Continues from a state. Throws UserError, naming `what` the state was read from, when it is damaged or was saved
   * with other data or other settings.
   */
  load(state: unknown, what: string): void {
    const count = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
    const { made_with, epoch, batch, drawn } = (state ?? {}) as Partial<OrderState>;
    const complete = typeof made_with === "object" && made_with !== null && Array.isArray(drawn) && drawn.every(count);
    const damaged = `${what} does not say which batch comes next`;
    const advice = "it is damaged, or was written by another version";
    if (!complete || !count(epoch) || !count(batch)) throw new UserError(damaged, advice);
    for (const [setting, now] of Object.entries(this.#identity())) {
      const then = made_with[setting];
      if (then === now) continue;
      const hint =
        setting === "data" ? "a run resumes on the data it began with" : "resume with the settings the run began with";
      const found =
        setting === "data" ? "was saved with other data" : `was saved with ${setting} ${then}, this run has ${now}`;
      throw new UserError(`${what} ${found}`, hint);
    }
    if (drawn.length !== this.#drawn.length) throw new UserError(damaged, advice);
    [this.#epoch, this.#batch, this.#drawn, this.#plan] = [epoch, batch, [...drawn], undefined];
  }

  #identity(): Record<string, string> {
    const { groups, batchSize, seed, shuffle, dropLast, pack, weights, digest } = this.#options;
    return {
      groups: groups.map(({ name, lengths }) => `${name} (${lengths.length})`).join(", "),
      data: digest ?? BigInt(Bun.hash.xxHash64(new Uint8Array(this.#lengths.buffer))).toString(16),
      "batch size": String(batchSize),
      seed: String(seed),
      shuffling: shuffle ? "on" : "off",
      "last batch": dropLast ? "dropped" : "kept",
      packing: pack === undefined ? "off" : `to ${pack}`,
      weights: weights === undefined ? "none" : weights.join(","),
    };
  }

  #current(): EpochPlan {
    if (this.#plan !== undefined) return this.#plan;
    const { order, drawn } = this.#draws();
    const { pack } = this.#options;
    if (pack === undefined) {
      const bins = (from: number, to: number) => Array.from(order.subarray(from, to), (sequence) => [sequence]);
      this.#plan = { rows: order.length, bins, drawn };
    } else {
      const packed = packFirstFit(lengthsInOrder(this.#lengths, order), pack);
      const bins = (from: number, to: number) => packed.slice(from, to).map((bin) => bin.map((i) => order[i]!));
      this.#plan = { rows: packed.length, bins, drawn };
    }
    return this.#plan;
  }

  /** The sequences of the epoch in the order of drawing, and how many of each group. */
  #draws(): { order: Uint32Array; drawn: number[] } {
    const { groups, seed, shuffle, weights } = this.#options;
    const total = this.#lengths.length;
    if (weights === undefined) {
      return {
        order: epochOrder(total, seed, this.#epoch, shuffle),
        drawn: groups.map(({ lengths }) => lengths.length),
      };
    }
    const random = new Random(seed, "mixture", this.#epoch);
    const drawn = groups.map(() => 0);
    const order = Uint32Array.from({ length: total }, () => {
      const group = random.weighted(weights);
      return this.#first[group]! + this.#groups[group]!.at(this.#drawn[group]! + drawn[group]!++);
    });
    return { order, drawn };
  }
}

function* lengthsInOrder(lengths: Int32Array, order: Uint32Array): Generator<number> {
  for (const sequence of order) yield lengths[sequence]!;
}

function checkWeights(weights: readonly number[], groups: number): void {
  if (weights.length !== groups) {
    throw new UserError(`${weights.length} weights for ${groups} groups of data`, "give one weight per group");
  }
  const wrong = weights.find((weight) => !(weight >= 0 && Number.isFinite(weight)));
  if (wrong !== undefined) throw new UserError(`a weight of data should be a number >= 0, found ${wrong}`);
  if (weights.every((weight) => weight === 0))
    throw new UserError("every weight of data is 0", "give at least one group a weight above 0");
}
