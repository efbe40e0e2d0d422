/**
 * The reference's likelihoods of every token of every answer: computed once, before the first step, by the model as it
 * was, and held on the host, 4 bytes a token. A file may keep them between runs.
 */
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Model } from "../../model/model.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import { type PreferenceBatch, preferenceBatch } from "./batches.ts";
import type { Item } from "./rows.ts";

/** -log likelihoods of the tokens that count of both sequences of an item, in order. */
type Counted = readonly [Float32Array, Float32Array];

/** How far apart two devices may be about one number. */
const SAME = 1e-2;

export class ReferenceLikelihoods {
  readonly #items: readonly Item[];
  #known: readonly Counted[] = [];

  constructor(items: readonly Item[]) {
    this.#items = items;
  }

  /** Asks the model, `rows` items at a time. */
  async ask(
    model: Model,
    how: {
      readonly rows: number;
      readonly pad: number;
      readonly signal: AbortSignal;
      readonly done?: (items: number) => void;
    },
  ): Promise<void> {
    const scorer = new Scorer(model);
    // Items of about one length together: few programs, little padding.
    const order = [...this.#items.keys()].sort(
      (a, b) => lengthOf(this.#items[a]!) - lengthOf(this.#items[b]!) || a - b,
    );
    const known: Counted[] = [];
    for (let from = 0; from < order.length; from += how.rows) {
      how.signal.throwIfAborted();
      const numbers = order.slice(from, from + how.rows);
      const batch = preferenceBatch(
        numbers.map((i) => this.#items[i]!),
        numbers,
        how.pad,
      );
      const { nll, targets } = await scorer.score(batch.tokens);
      const { length } = batch.tokens;
      const row = (i: number) =>
        nll.slice(i * length, (i + 1) * length).filter((_, t) => targets[i * length + t]! >= 0);
      for (const [i, number] of numbers.entries()) known[number] = [row(i), row(i + batch.pairs)];
      how.done?.(numbers.length);
    }
    await scorer.free();
    this.#known = known;
  }

  /**
   * Asks the model about the first item once more. Throws UserError, naming the file that the likelihoods are from,
   * where it says something else.
   */
  async check(
    model: Model,
    { rows, pad, file }: { readonly rows: number; readonly pad: number; readonly file: string },
  ): Promise<void> {
    const one = new ReferenceLikelihoods(this.#items.slice(0, 1));
    await one.ask(model, { rows, pad, signal: new AbortController().signal });
    const [now, then] = [one.#known[0]![0], this.#known[0]![0]];
    const away = now.findIndex((value, i) => Math.abs(value - then[i]!) > SAME * Math.max(1, Math.abs(value)));
    if (away >= 0)
      throw new UserError(
        `--reference-cache ${file} was made with another model: of ${this.#items[0]!.first.place} it says ${then[away]} nats of token ${away + 1} that counts, and the model ${now[away]}`,
        "remove it, or name another file, which is then written",
      );
  }

  /** (2P, T) -log likelihoods of a batch, at the places where they are foreseen; 0 elsewhere. */
  of({ tokens: { labels, length, rows }, pairs, numbers }: PreferenceBatch): Float32Array {
    const values = new Float32Array(rows * length);
    for (let row = 0; row < rows; row++) {
      const own = this.#known[numbers[row % pairs]!]?.[row < pairs ? 0 : 1];
      if (!own) continue; // of a batch for planning
      let next = 0;
      for (let t = 0; t + 1 < length; t++)
        if (labels[row * length + t + 1]! >= 0) values[row * length + t] = own[next++]!;
    }
    return values;
  }

  /** All values in order, as one array. */
  values(): Float32Array {
    const parts = this.#known.flat();
    const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** Takes what `values` gave. Throws UserError, naming `what`, where it is of other rows. */
  take(all: Float32Array, what: string): void {
    let at = 0;
    const counted = (item: Item, which: "first" | "second") => {
      const from = at;
      at += item[which].labels.filter((label, i) => i > 0 && label >= 0).length;
      return all.subarray(from, at);
    };
    const known = this.#items.map((item): Counted => [counted(item, "first"), counted(item, "second")]);
    if (at !== all.length || all.some((value) => !Number.isFinite(value)))
      throw new UserError(
        `${what} has ${all.length} likelihoods, and the rows have ${at} tokens that count`,
        "it was made of other rows: remove it, and it is made anew",
      );
    this.#known = known;
  }

  state(): Json {
    return Buffer.from(this.values().buffer).toString("base64");
  }

  load(state: Json): void {
    const bytes = Uint8Array.from(Buffer.from(String(state), "base64"));
    this.take(new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4)), "the saved state");
  }
}

const lengthOf = ({ first, second }: Item): number => Math.max(first.ids.length, second.ids.length);
