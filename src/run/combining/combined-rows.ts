/**
 * What a rule over several views says of texts that are given: the same distributions that `sample` draws from, at all
 * places of an answer at once.
 *
 * A row's prompt is what stands before the first token that counts; of a row that counts from its start it is the first
 * token. Places within the prompt do not count, and hold what the first view says where that reads the same tokens,
 * else zeros. Host memory: the logits of a batch, of every view.
 */
import { collate, type TokenBatch } from "../../data/batch.ts";
import { IGNORED } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { promptOf } from "../generating/answers.ts";
import { AllLogits, type RowLogits } from "../scoring/all-logits.ts";
import type { Rule } from "./contract.ts";
import { type Pass, passesOf, type Seen } from "./passes.ts";
import { sharedOutputs } from "./rule.ts";

/** What a pass says of a batch. */
interface Said {
  readonly logits: Float32Array;
  readonly early: readonly Float32Array[];
  /** Outputs of a place. */
  readonly width: number;
  /** The batch that it read, and how many tokens more each row's prompt has there. */
  readonly length: number;
  readonly more: readonly number[];
}

export class CombinedRows implements RowLogits {
  readonly outputs: number;
  readonly #rule: Rule;
  readonly #passes: readonly Pass[];
  readonly #seen: readonly Seen[];
  readonly #logits: readonly AllLogits[];
  readonly #pad: number;
  /** Of each model. */
  readonly #positions: readonly number[];

  /** `pad` is the id that fills rows up. The models stay their owner's. */
  constructor(rule: Rule, models: readonly Model[], pad: number) {
    this.#rule = rule;
    const { passes, seen } = passesOf(
      rule.views,
      models.map(({ sizes }) => sizes.layers),
    );
    this.#passes = passes;
    this.#seen = seen;
    this.#logits = passes.map(({ model, ranks, early }) => new AllLogits(models[model]!, { ranks, early }));
    this.#pad = pad;
    this.#positions = models.map(({ sizes }) => sizes.maxPositions);
    this.outputs = sharedOutputs(models);
  }

  /**
   * Throws UserError for a row that is too long behind another prompt, RangeError for rows of several sequences each.
   */
  async of(batch: TokenBatch): Promise<Float32Array> {
    if (batch.packed) throw new RangeError("rows that are packed have no prompt of their own");
    const rows = batch.documents.map(({ sequence }) => ({ sequence, prompt: [...promptOf(sequence, 1)] }));
    const asked = this.#passes.map(({ prompt: map }, i) => {
      const mapped = rows.map(({ prompt }) => map?.(prompt) ?? prompt);
      const more = rows.map(({ prompt }, row) => mapped[row]!.length - prompt.length);
      return { logits: this.#logits[i]!, own: map ? this.#batchOf(rows, mapped, i) : batch, more };
    });
    // All programs before the first runs, so that a plan knows what they take together.
    for (const { logits, own } of asked) await logits.program(own);
    const said: Said[] = [];
    for (const { logits: of, own, more } of asked) {
      const logits = await of.of(own);
      said.push({ logits, early: of.early, width: of.outputs, length: own.length, more });
    }
    const all = new Float32Array(batch.rows * batch.length * this.outputs);
    for (const [i, { sequence, prompt }] of rows.entries()) {
      const { row } = batch.documents[i]!;
      const own = all.subarray(row * batch.length * this.outputs, (row + 1) * batch.length * this.outputs);
      this.#fill(own, said, { sequence, prompt, i, row });
    }
    return all;
  }

  free(): void {
    for (const logits of this.#logits) logits.free();
  }

  /** The rows behind other prompts. */
  #batchOf(
    rows: readonly { readonly sequence: Sequence; readonly prompt: readonly number[] }[],
    mapped: readonly (readonly number[])[],
    pass: number,
  ): TokenBatch {
    const most = this.#positions[this.#passes[pass]!.model]!;
    const sequences = rows.map(({ sequence, prompt }, i) => {
      const ids = Int32Array.from([...mapped[i]!, ...sequence.ids.subarray(prompt.length)]);
      const { group, place } = sequence;
      if (ids.length > most)
        throw new UserError(
          `${place}: behind the other prompt of the method the row has ${ids.length} tokens, and the model ${most} positions`,
          "give a shorter text for it, or leave the row out",
        );
      return [{ ids, labels: new Int32Array(ids.length).fill(IGNORED), group, place }];
    });
    return collate(sequences, { pad: this.#pad });
  }

  /** Writes the places of one row, (length, V). */
  #fill(
    into: Float32Array,
    said: readonly Said[],
    {
      sequence,
      prompt,
      i,
      row,
    }: { readonly sequence: Sequence; readonly prompt: readonly number[]; readonly i: number; readonly row: number },
  ): void {
    const { outputs } = this;
    /** What a view says at a place of the row; undefined where it reads something else. */
    const at = ({ pass, early }: Seen, place: number): Float32Array | undefined => {
      const { logits, early: earlier, width, length, more } = said[pass]!;
      const isMapped = this.#passes[pass]!.prompt !== undefined;
      if (isMapped && place < prompt.length - 1) return undefined;
      // A pass of another prompt has a row for every sequence, in their order.
      const from = ((isMapped ? i : row) * length + place + more[i]!) * width;
      return (early === undefined ? logits : earlier[early]!).subarray(from, from + outputs);
    };
    const combine = this.#rule.begin(prompt);
    const ids = [...sequence.ids];
    for (let place = 0; place < ids.length; place++) {
      const views = this.#seen.map((view) => at(view, place));
      const own =
        place < prompt.length - 1
          ? views[0]
          : combine(views as Float32Array[], { tokens: ids.slice(0, place + 1), note: () => {} });
      if (own) into.set(own, place * outputs);
    }
  }
}
