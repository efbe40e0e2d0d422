/**
 * The logits of a rule over several views, token by token: a decoder with a cache of its own for each pass.
 *
 * Memory besides the models: a cache for each pass.
 */
import type { Model } from "../../model/model.ts";
import { Decoder } from "../generating/decoder.ts";
import type { LogitSource, ReadOptions } from "../generating/logit-source.ts";
import type { SpeculativeTarget } from "../generating/speculative.ts";
import type { Combine, Rule } from "./contract.ts";
import { type Pass, passesOf, type Seen } from "./passes.ts";
import { sharedOutputs } from "./rule.ts";

/** What a pass says of all rows. */
interface Said {
  /** (B, width) */
  readonly logits: Float32Array;
  readonly early: readonly Float32Array[];
  readonly width: number;
}

/** An answer in the making. */
interface Row {
  readonly combine: Combine;
  /** Tokens of its prompt. */
  readonly prompt: number;
  /** What each pass reads in the place of the prompt. */
  readonly mapped: readonly (readonly number[])[];
  /** Numbers of each token, by name. */
  readonly notes: Record<string, number[]>;
}

export class CombinedSource implements SpeculativeTarget {
  readonly sizes: LogitSource["sizes"];
  readonly #rule: Rule;
  readonly #passes: readonly Pass[];
  readonly #seen: readonly Seen[];
  readonly #decoders: readonly Decoder[];
  /** The longest prompt of each pass, as far as prompts were told. */
  readonly #longest: readonly number[];
  #rows: Row[] = [];
  /** What each pass said last. */
  #said: Said[] = [];

  /** `refs` name the models in messages; `prompts` are those that will be read, as far as they are known. */
  constructor(
    rule: Rule,
    models: readonly Model[],
    { refs, prompts = [] }: { readonly refs: readonly string[]; readonly prompts?: readonly (readonly number[])[] },
  ) {
    this.#rule = rule;
    const { passes, seen } = passesOf(
      rule.views,
      models.map(({ sizes }) => sizes.layers),
    );
    this.#passes = passes;
    this.#seen = seen;
    this.#decoders = passes.map(
      ({ model, ranks, early }) => new Decoder(models[model]!, refs[model]!, { ranks, early }),
    );
    this.#longest = passes.map(({ prompt }) =>
      prompt ? prompts.reduce((most, ids) => Math.max(most, prompt(ids).length), 0) : 0,
    );
    this.sizes = {
      maxPositions: Math.min(...models.map(({ sizes }) => sizes.maxPositions)),
      outputs: sharedOutputs(models),
    };
  }

  async read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array> {
    this.#rows = prompts.map((prompt) => ({
      combine: this.#rule.begin(prompt),
      prompt: prompt.length,
      mapped: this.#passes.map(({ prompt: map }) => map?.(prompt) ?? prompt),
      notes: {},
    }));
    const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
    await this.#ask((decoder, i) => {
      const own = this.#rows.map(({ mapped }) => mapped[i]!);
      const more = own.reduce((most, { length }) => Math.max(most, length), 0) - longest;
      return decoder.read(own, { ...options, most: options.most + Math.max(0, more) });
    });
    return this.#combined(prompts, prompts.keys());
  }

  async next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array> {
    await this.#ask((decoder, i) => decoder.next(this.#behindMapped(sequences, i), running));
    return this.#combined(sequences, running);
  }

  get readers() {
    return this.#decoders.flatMap(({ readers }) => readers);
  }

  /** As `Decoder` has it; the rule's notes of these places are not kept. Throws TypeError for a rule that remembers. */
  async block(
    sequences: readonly (readonly number[])[],
    read: readonly number[],
    length: number,
  ): Promise<Float32Array> {
    if (this.#rule.remembers) throw new TypeError("a rule that remembers tokens cannot take drafted ones back");
    await this.#ask((decoder, i) => {
      const own = this.#behindMapped(sequences, i);
      const known = own.map((ids, row) => ids.length - sequences[row]!.length + read[row]!);
      return decoder.block(own, known, length);
    });
    const { outputs } = this.sizes;
    const all = new Float32Array(sequences.length * length * outputs);
    for (const [row, ids] of sequences.entries())
      for (let at = read[row]!; at < ids.length; at++) {
        const place = row * length + at - read[row]!;
        const said = this.#seenAt(place);
        const own = this.#rows[row]!.combine(said, { tokens: ids.slice(0, at + 1), note: () => {} });
        all.set(own, place * outputs);
      }
    return all;
  }

  /** What the rule noted of each token that it decided, by name. */
  notes(row: number): Readonly<Record<string, unknown>> {
    const { notes } = this.#rows[row]!;
    return Object.keys(notes).length > 0 ? { notes } : {};
  }

  async plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    let bytes = 0;
    for (const [i, decoder] of this.#decoders.entries())
      bytes += await decoder.plan(batch, Math.max(longest, this.#longest[i]!), maxTokens);
    return bytes;
  }

  free(): void {
    for (const decoder of this.#decoders) decoder.free();
  }

  /** Sequences as a pass reads them. */
  #behindMapped(sequences: readonly (readonly number[])[], pass: number): readonly (readonly number[])[] {
    if (!this.#passes[pass]!.prompt) return sequences;
    return sequences.map((ids, row) => [...this.#rows[row]!.mapped[pass]!, ...ids.slice(this.#rows[row]!.prompt)]);
  }

  /** What each view says at a place of what the passes said last. */
  #seenAt(place: number): Float32Array[] {
    return this.#seen.map(({ pass, early }) => {
      const { logits, early: earlier, width } = this.#said[pass]!;
      return (early === undefined ? logits : earlier[early]!).subarray(
        place * width,
        place * width + this.sizes.outputs,
      );
    });
  }

  /** Runs the passes, one after the other. */
  async #ask(run: (decoder: Decoder, pass: number) => Promise<Float32Array>): Promise<void> {
    this.#said = [];
    for (const [i, decoder] of this.#decoders.entries()) {
      const logits = await run(decoder, i);
      this.#said.push({ logits, early: decoder.early, width: decoder.sizes.outputs });
    }
  }

  /** (B, V); rows that do not count are 0. */
  #combined(sequences: readonly (readonly number[])[], rows: Iterable<number>): Float32Array {
    const { outputs } = this.sizes;
    const all = new Float32Array(sequences.length * outputs);
    for (const row of rows) {
      const { combine, notes } = this.#rows[row]!;
      const said = this.#seenAt(row);
      const note = (name: string, value: number) => {
        notes[name] ??= [];
        notes[name].push(value);
      };
      all.set(combine(said, { tokens: sequences[row]!, note }), row * outputs);
    }
    return all;
  }
}
