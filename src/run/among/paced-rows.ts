/**
 * A client's rows in the order of how hard the server's weights find them: in step s of the S steps of a round it draws
 * from the first part of that order, which grows from a share b to all rows at a S. Vahidian et al., ICCV 2023,
 * https://arxiv.org/abs/2212.12712
 *
 *   linear  b + (1 - b) u, u = s / (a S)          quadratic  b + (1 - b) u^2      root  b + (1 - b) sqrt(u)
 *   exponential  b^(1 - u)                        log  b + (1 - b) log(1 + (e - 1) u)
 *   step  b until a S, then all
 *
 * Rows come in the order of ordinary epochs; those outside the part are passed over. So a part of all rows is ordinary
 * training, to the bit.
 */
import { type Batch, collate, stackExamples } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { epochOrder } from "../../data/groups.ts";
import type { OrderState } from "../../data/order.ts";
import type { Sequence } from "../../data/sequences.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import type { BatchSource } from "../training/batch-source.ts";

export const PACES = ["linear", "quadratic", "exponential", "log", "root", "step"] as const;
export const ORDERS = ["easy", "hard", "random"] as const;

export interface Pacing {
  readonly order: (typeof ORDERS)[number];
  readonly pace: (typeof PACES)[number];
  /** Share of the rows at the first step. */
  readonly begin: number;
  /** Share of a round's steps after which all rows are in. */
  readonly end: number;
  readonly seed: number;
}

/** Share of the rows that step `s` from 0 of `steps` draws from. */
export function shareAt(s: number, steps: number, { pace, begin: b, end: a }: Omit<Pacing, "order" | "seed">): number {
  const u = Math.min(1, s / (a * steps));
  if (u === 1 || b === 1) return 1;
  if (pace === "step") return b;
  if (pace === "exponential") return b ** (1 - u);
  const grown = { linear: u, quadratic: u * u, log: Math.log1p((Math.E - 1) * u), root: Math.sqrt(u) }[pace];
  return b + (1 - b) * grown;
}

/** Rows in the order in which they come in. */
export function ranked(losses: readonly number[], order: Pacing["order"], seed: number, round: number): number[] {
  if (order === "random") return [...permutation(losses.length, seed, round, "random curriculum")];
  const sign = order === "easy" ? 1 : -1;
  return losses.map((_, i) => i).sort((i, j) => sign * (losses[i]! - losses[j]!) || i - j);
}

export type Rows = readonly Example[] | readonly Sequence[];

const isText = (rows: Rows): rows is readonly Sequence[] => rows.length > 0 && "ids" in rows[0]!;

/** How rows become batches. */
export interface PacedOrder {
  readonly batchSize: number;
  readonly seed: number;
  readonly shuffle: boolean;
  readonly pad: number;
}

export class PacedRows implements BatchSource<Batch> {
  readonly rows: Rows;
  readonly groups: BatchSource<Batch>["groups"];
  readonly batchesPerEpoch: number;
  readonly #source: BatchSource<Batch>;
  readonly #given: PacedOrder;
  readonly #pacing: Pacing;
  /** Of every row, how many come in before it. */
  #place: Int32Array;
  #steps = 1;
  #step = 0;
  #epoch = 0;
  #at = 0;
  #order: Uint32Array;

  /** `source` gives the same rows in ordinary batches. */
  constructor(source: BatchSource<Batch>, rows: Rows, given: PacedOrder, pacing: Pacing) {
    this.#source = source;
    this.rows = rows;
    this.groups = source.groups;
    this.batchesPerEpoch = source.batchesPerEpoch;
    this.#given = given;
    this.#pacing = pacing;
    this.#place = new Int32Array(rows.length);
    this.#order = epochOrder(rows.length, given.seed, 0, given.shuffle);
  }

  /** A round of so many micro-batches begins, in which rows have these losses. */
  begin(losses: readonly number[], steps: number, round: number): void {
    const { order, seed } = this.#pacing;
    for (const [place, row] of ranked(losses, order, seed, round).entries()) this.#place[row] = place;
    this.#steps = steps;
    this.#step = 0;
  }

  largest(): Batch {
    return this.#source.largest();
  }

  next() {
    const { batchSize, seed, shuffle, pad } = this.#given;
    const most = Math.max(1, Math.ceil(this.rows.length * shareAt(this.#step++, this.#steps, this.#pacing)));
    const drawn: number[] = [];
    while (drawn.length === 0) {
      if (this.#at >= this.#order.length) {
        this.#order = epochOrder(this.rows.length, seed, ++this.#epoch, shuffle);
        this.#at = 0;
      }
      while (drawn.length < batchSize && this.#at < this.#order.length) {
        const row = this.#order[this.#at++]!;
        if (this.#place[row]! < most) drawn.push(row);
      }
    }
    const { rows } = this;
    const batch = isText(rows)
      ? collate(
          drawn.map((i) => [rows[i]!]),
          { pad },
        )
      : stackExamples(drawn.map((i) => rows[i]!));
    return { batch, epoch: this.#epoch };
  }

  /** Where it stands; `drawn` has the place within the epoch, too. */
  state(): OrderState {
    return { ...this.#source.state(), epoch: this.#epoch, batch: 0, drawn: [this.#at] };
  }

  load(state: unknown, what: string): void {
    this.#source.load(state, what);
    const { epoch, drawn } = this.#source.state();
    const [at = 0] = drawn;
    // The place of the rows' own epochs is what the state says.
    if (at > this.rows.length) throw new UserError(`${what} does not say which batch comes next`);
    this.#epoch = epoch;
    this.#at = at;
    this.#order = epochOrder(this.rows.length, this.#given.seed, epoch, this.#given.shuffle);
  }
}
