/**
 * Speculative decoding: a small model drafts a few tokens, and the target reads them in one pass. A drafted token x is
 * kept with probability min(1, p(x) / q(x)), where the target draws from p and the draft drew from q; the first that is
 * not is drawn again from max(0, p - q), and a pass that keeps all of them adds one more from p. So what is written is
 * distributed as what the target writes alone, and at temperature 0 is the same up to rounding of its logits.
 *
 * Leviathan et al. 2023, Fast Inference from Transformers via Speculative Decoding, https://arxiv.org/abs/2211.17192,
 * algorithm 1; Chen et al. 2023, https://arxiv.org/abs/2302.01318.
 *
 * Every row keeps as many tokens as it can: entry p of a cache is the token at position p, so what a row drafted in
 * vain is overwritten. Draws are a function of (seed, row), whatever is written beside it.
 */
import { UserError } from "../../errors.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Decoder } from "./decoder.ts";
import { type ContinueOptions, type Continuer, checkLengths, type Generated, optionsOf } from "./generate.ts";
import type { LogitSource } from "./logit-source.ts";
import { type Distribution, distributionOf, drawn, probabilityOf } from "./sampling.ts";

/** Tokens that were drafted, those of them that were kept, and passes of the target after the prompt. */
interface Counts {
  drafted: number;
  accepted: number;
  passes: number;
}

/** One answer in the making. */
interface Row extends Counts {
  readonly sequence: number[];
  /** Tokens of the answer. */
  made: number;
  /** Of the sequence, those whose keys and values the draft holds. */
  draftRead: number;
  readonly draftUnit: () => number;
  readonly acceptUnit: () => number;
  readonly ownUnit: () => number;
}

/** What a row drafted: tokens, and what each was drawn from. */
interface Drafted {
  readonly ids: number[];
  readonly from: Distribution[];
}

const counts = (): Counts => ({ drafted: 0, accepted: 0, passes: 0 });

/** Throws UserError for a model that cannot take back what it has read. */
export function checkSpeculative(ref: string, sizes: { readonly recurrent?: boolean | undefined }): void {
  if (sizes.recurrent)
    throw new UserError(
      `${ref} keeps one state of all tokens in a layer, which cannot take drafted tokens back`,
      "let the model write alone",
    );
}

/** What drafts are written for: a model, or several that decide together. */
export interface SpeculativeTarget extends LogitSource {
  /** Those that read; `ref` names each in messages. */
  readonly readers: readonly {
    readonly ref: string;
    readonly sizes: { readonly recurrent?: boolean | undefined; readonly turnsAnewBeyond?: number | undefined };
  }[];
  /** As `Decoder` has it. */
  block(sequences: readonly (readonly number[])[], read: readonly number[], length: number): Promise<Float32Array>;
}

export class SpeculativeGenerator implements Continuer {
  readonly #target: SpeculativeTarget;
  readonly #draft: Decoder;
  readonly #tokens: number;
  readonly #total = counts();
  #rows: Row[] = [];

  /** The draft writes up to `tokens` ahead. Ids mean the same to both models. */
  constructor(target: SpeculativeTarget, draft: Decoder, tokens: number) {
    for (const { ref, sizes } of [...target.readers, ...draft.readers]) checkSpeculative(ref, sizes);
    this.#target = target;
    this.#draft = draft;
    this.#tokens = tokens;
  }

  get sizes(): LogitSource["sizes"] {
    return this.#target.sizes;
  }

  /** Tokens of a row that were drafted, and those that were kept; passes of the target after the prompt. */
  notes(row: number): Record<string, number> {
    const { drafted, accepted, passes } = this.#rows[row]!;
    return { drafted, accepted, passes };
  }

  log(): Record<string, number> {
    return { ...this.#total };
  }

  summary(): string {
    const { drafted, accepted, passes } = this.#total;
    if (passes === 0) return "no tokens were drafted";
    const share = drafted === 0 ? 0 : (100 * accepted) / drafted;
    const each = (accepted + passes) / passes;
    return `the target kept ${accepted} of ${drafted} drafted tokens (${share.toFixed(1)}%), ${each.toFixed(2)} tokens a pass`;
  }

  /**
   * Continues every prompt, as `Generator` does. Throws UserError where an answer may grow so long that positions of
   * one of the models turn otherwise.
   */
  async *generate(prompts: readonly (readonly number[])[], options: ContinueOptions): AsyncGenerator<Generated> {
    const { maxTokens, keys, signal, goesOn = false } = options;
    const { outputs, maxPositions } = this.#target.sizes;
    checkLengths(prompts, maxPositions, goesOn);
    if (maxTokens < 1) return;
    const longest = prompts.reduce((a, { length }) => Math.max(a, length), 0);
    const most = Math.min(maxPositions, longest + maxTokens);
    this.#checkTurns(most);
    const names = options.names ?? prompts.map((_, row) => `prompt ${row + 1}`);
    const rows: Row[] = prompts.map((prompt, row) => {
      const key = keys?.[row] ?? String(row);
      const unit = (use: string) => keyedUnits(optionsOf(options, row).seed, `speculative ${use} ${key}`);
      return {
        ...{ sequence: [...prompt], made: 0, draftRead: prompt.length, ...counts() },
        ...{ draftUnit: unit("draft"), acceptUnit: unit("accept"), ownUnit: unit("own") },
      };
    });
    this.#rows = rows;
    const running = new Set(rows.keys());
    const reading = { most, names, goesOn, ...(keys && { keys }) };
    const first = await this.#target.read(prompts, reading);
    await this.#draft.read(prompts, reading);
    for (const [row, own] of rows.entries()) {
      const logits = first.subarray(row * outputs, (row + 1) * outputs);
      const id = drawn(distributionOf(logits, own.sequence, optionsOf(options, row)), own.ownUnit())!;
      yield this.#take(row, id, logits, options, running);
    }
    while (running.size > 0 && !signal?.aborted) {
      const drafted = await this.#drafts(running, options);
      const longer = rows.map(({ sequence }, row) => [...sequence, ...(drafted.get(row)?.ids ?? [])]);
      const read = rows.map(({ sequence }, row) => sequence.length - (running.has(row) ? 1 : 0));
      const width = [...drafted.values()].some(({ ids }) => ids.length > 0) ? this.#tokens + 1 : 1;
      const logits = await this.#target.block(longer, read, width);
      for (const row of [...running]) {
        const own = rows[row]!;
        const from = drafted.get(row)!;
        this.#count(own, "passes");
        this.#count(own, "drafted", from.ids.length);
        const before = own.sequence.length;
        for (let i = 0; running.has(row); i++) {
          const at = logits.subarray((row * width + i) * outputs, (row * width + i + 1) * outputs);
          const { id, isKept } = this.#judge(own, at, optionsOf(options, row), from, i);
          if (isKept) this.#count(own, "accepted");
          yield this.#take(row, id, at, options, running);
          if (!isKept) break;
        }
        // The last drafted token was not read by the draft.
        own.draftRead =
          from.ids.length === 0
            ? own.draftRead
            : Math.min(before + from.ids.length - 1, Math.max(before, own.sequence.length - 1));
      }
    }
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    const target = await this.#target.plan(batch, longest, maxTokens);
    return target + (await this.#draft.plan(batch, longest, maxTokens));
  }

  free(): void {
    this.#target.free();
    this.#draft.free();
  }

  #count(row: Row, of: keyof Counts, by = 1): void {
    row[of] += by;
    this.#total[of] += by;
  }

  /** Throws UserError where sequences of `most` tokens would be read again from their beginning. */
  #checkTurns(most: number): void {
    for (const { ref, sizes } of [...this.#target.readers, ...this.#draft.readers]) {
      const { turnsAnewBeyond: turn } = sizes;
      if (turn !== undefined && most > turn)
        throw new UserError(
          `positions of ${ref} turn otherwise beyond ${turn} tokens, and answers may reach ${most}`,
          "ask for shorter answers, or let the model write alone",
        );
    }
  }

  /** The token of a place: the drafted one where it is kept, else a draw from what the target says beyond the draft. */
  #judge(
    row: Row,
    logits: Float32Array,
    options: ContinueOptions,
    { ids, from }: Drafted,
    place: number,
  ): { readonly id: number; readonly isKept: boolean } {
    const p = distributionOf(logits, row.sequence, options);
    const id = ids[place];
    if (id === undefined) return { id: drawn(p, row.ownUnit())!, isKept: false };
    const q = from[place]!;
    if (row.acceptUnit() * probabilityOf(q, id) < probabilityOf(p, id)) return { id, isKept: true };
    const unit = row.ownUnit();
    const rest = drawn(p, unit, (other, mass) => Math.max(0, mass - probabilityOf(q, other)));
    // Where both are the same up to rounding nothing is left over.
    return { id: rest ?? drawn(p, unit)!, isKept: false };
  }

  /** Adds a token to a row. */
  #take(row: number, id: number, logits: Float32Array, options: ContinueOptions, running: Set<number>): Generated {
    const own = this.#rows[row]!;
    const stopped = options.stop.includes(id);
    if (!stopped) own.sequence.push(id);
    own.made++;
    const ended = stopped || options.ends?.(row, id) === true;
    const done =
      ended || own.made === optionsOf(options, row).maxTokens || own.sequence.length >= this.sizes.maxPositions;
    if (done) running.delete(row);
    return { row, id: stopped ? -1 : id, done, chosen: id, logits };
  }

  /** How far a row may be drafted: the target adds a token, and the draft does not read the last of its own. */
  #room({ sequence: { length }, made }: Row, { maxTokens }: ContinueOptions): number {
    const [target, draft] = [this.#target.sizes.maxPositions, this.#draft.sizes.maxPositions];
    return Math.max(0, Math.min(this.#tokens, maxTokens - made - 1, target - length - 1, draft - length + 1));
  }

  /** What the draft writes ahead of every row that runs. */
  async #drafts(running: ReadonlySet<number>, options: ContinueOptions): Promise<Map<number, Drafted>> {
    const { outputs } = this.#draft.sizes;
    const most = new Map([...running].map((row) => [row, this.#room(this.#rows[row]!, optionsOf(options, row))]));
    const drafted = new Map([...running].map((row): [number, Drafted] => [row, { ids: [], from: [] }]));
    const drafting = new Set([...running].filter((row) => most.get(row)! > 0));
    if (drafting.size === 0) return drafted;
    const read = this.#rows.map(({ draftRead }) => draftRead);
    const sequences = this.#rows.map(({ sequence }, row) =>
      drafting.has(row) ? [...sequence] : sequence.slice(0, read[row]),
    );
    // One token is new after a rejection, two where all were kept.
    const width = 2;
    let logits = await this.#draft.block(sequences, read, width);
    let placeOf = (row: number) => row * width + sequences[row]!.length - read[row]! - 1;
    for (;;) {
      for (const row of [...drafting]) {
        const at = placeOf(row);
        const own = logits.subarray(at * outputs, (at + 1) * outputs);
        const from = distributionOf(own, sequences[row]!, optionsOf(options, row));
        const id = drawn(from, this.#rows[row]!.draftUnit())!;
        const ahead = drafted.get(row)!;
        ahead.ids.push(id);
        ahead.from.push(from);
        sequences[row]!.push(id);
        if (ahead.ids.length === most.get(row) || options.stop.includes(id)) drafting.delete(row);
      }
      if (drafting.size === 0) return drafted;
      logits = await this.#draft.next(sequences, drafting);
      placeOf = (row) => row;
    }
  }
}
