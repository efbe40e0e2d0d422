/** Decoding: token by token, several sequences at a time, from the logits of a model or of several. */
import { Model } from "../../model/model.ts";
import { Decoder } from "./decoder.ts";
import type { LogitSource } from "./logit-source.ts";
import { Chooser, type SamplingOptions } from "./sampling.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens that are added to a prompt. */
  readonly maxTokens: number;
  /** Tokens that end a sequence. They are not part of it. */
  readonly stop: readonly number[];
  /** Distinguish the prompts of this batch from others with the same seed; their places when left out. */
  readonly keys?: readonly string[];
  /** What messages call the prompts of this batch: "rows.jsonl:3". */
  readonly names?: readonly string[];
  readonly signal?: AbortSignal;
  /**
   * Of one prompt: begins after the tokens that it shares with what was read and written last, whose keys and values
   * are still there; the memory for them grows by doubling.
   */
  readonly goesOn?: boolean;
  /** The token that stands at a place of a row's continuation, from 1, in the place of a chosen one. */
  readonly forced?: (row: number, place: number) => number | undefined;
  /** Takes every token that is added to a row; true ends the row with it. */
  readonly ends?: (row: number, id: number) => boolean;
  /** What each row has otherwise than the options say. */
  readonly rows?: readonly RowOptions[];
}

/** How one row is drawn, and how long it may become. */
export type RowOptions = Partial<SamplingOptions> & { readonly maxTokens?: number };

/** The options of one row. */
export const optionsOf = <O extends SamplingOptions & { readonly rows?: readonly RowOptions[] }>(
  options: O,
  row: number,
): O => ({ ...options, ...options.rows?.[row] });

/** A token of one of the prompts. The last one of a sequence has `done`, and `id` -1 where a stop token ended it. */
export interface Generated {
  readonly row: number;
  readonly id: number;
  readonly done: boolean;
  /** The token that was chosen: a stop token too. */
  readonly chosen: number;
  /** (V) what it was chosen from; of this moment alone. */
  readonly logits: Float32Array;
}

/** What every way to decode can follow. */
export type ContinueOptions = Omit<GenerateOptions, "forced" | "heat">;

/** What continues prompts. */
export interface Continuer {
  readonly sizes: LogitSource["sizes"];
  generate(prompts: readonly (readonly number[])[], options: ContinueOptions): AsyncGenerator<Generated>;
  /** As those of `LogitSource`. */
  notes?(row: number): Readonly<Record<string, unknown>> | undefined;
  summary?(): string | undefined;
  /** Numbers for the log, about all answers so far. */
  log?(): Readonly<Record<string, number>>;
  plan(batch: number, longest: number, maxTokens: number): Promise<number>;
  free(): void;
}

/** Throws RangeError for an empty prompt, or one that is longer than `most` positions allow. */
export function checkLengths(prompts: readonly (readonly number[])[], most: number, goesOn: boolean): void {
  const longest = prompts.reduce((a, { length }) => Math.max(a, length), 0);
  if (prompts.some(({ length }) => length === 0)) throw new RangeError("a prompt has no tokens");
  if (longest >= most) throw new RangeError(`a prompt of ${longest} tokens leaves nothing of ${most} positions`);
  if (goesOn && prompts.length > 1) throw new RangeError("only one prompt at a time goes on");
}

/**
 * Decodes with one model, or with what several say together.
 *
 *   const generator = new Generator(model);
 *   const [answer] = await generator.complete([prompt], { ...GREEDY, maxTokens: 16, stop: [eos], batch: 1 });
 *   generator.free();
 */
export class Generator implements Continuer {
  readonly #source: LogitSource;

  /** `ref` names a model in messages. */
  constructor(source: Model | LogitSource, ref = "the model") {
    this.#source = source instanceof Model ? new Decoder(source, ref) : source;
  }

  get sizes(): LogitSource["sizes"] {
    return this.#source.sizes;
  }

  notes(row: number): Readonly<Record<string, unknown>> | undefined {
    return this.#source.notes?.(row);
  }

  summary(): string | undefined {
    return this.#source.summary?.();
  }

  /**
   * Continues every prompt. Yields tokens as they are decided, all rows in turn. Throws RangeError for an empty prompt
   * or one that is longer than the model's positions allow, UserError where logits are not finite.
   */
  async *generate(prompts: readonly (readonly number[])[], options: GenerateOptions): AsyncGenerator<Generated> {
    const { maxTokens, stop, keys, signal, goesOn = false } = options;
    const { maxPositions: most, outputs } = this.#source.sizes;
    const longest = prompts.reduce((a, { length }) => Math.max(a, length), 0);
    checkLengths(prompts, most, goesOn);
    if (maxTokens < 1) return;
    const sequences = prompts.map((prompt) => [...prompt]);
    const limits = prompts.map((_, row) => optionsOf(options, row).maxTokens);
    const choosers = prompts.map((_, row) => new Chooser(optionsOf(options, row), keys?.[row] ?? String(row)));
    const running = new Set(prompts.keys());
    const names = options.names ?? prompts.map((_, row) => `prompt ${row + 1}`);

    let logits = await this.#source.read(prompts, {
      ...{ most: Math.min(most, longest + maxTokens), names, goesOn },
      ...(keys && { keys }),
    });
    for (let made = 1; ; made++) {
      for (const row of [...running]) {
        const sequence = sequences[row]!;
        const own = logits.subarray(row * outputs, (row + 1) * outputs);
        const id = options.forced?.(row, made) ?? choosers[row]!.choose(own, sequence);
        const stopped = stop.includes(id);
        if (!stopped) sequence.push(id);
        const ended = stopped || options.ends?.(row, id) === true;
        const done = ended || made === limits[row] || sequence.length >= most;
        if (done) running.delete(row);
        yield { row, id: stopped ? -1 : id, done, chosen: id, logits: own };
      }
      if (running.size === 0 || signal?.aborted) return;
      logits = await this.#source.next(sequences, running);
    }
  }

  /** The whole continuations of many prompts, `batch` at a time. */
  async complete(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions & { readonly batch: number; readonly done?: ((prompts: number) => void) | undefined },
  ): Promise<number[][]> {
    const results: number[][] = prompts.map(() => []);
    for (let from = 0; from < prompts.length; from += options.batch) {
      const part = prompts.slice(from, from + options.batch);
      const keys = part.map((_, i) => options.keys?.[from + i] ?? String(from + i));
      const names = part.map((_, i) => options.names?.[from + i] ?? `prompt ${from + i + 1}`);
      for await (const { row, id } of this.generate(part, { ...options, keys, names }))
        if (id >= 0) results[from + row]!.push(id);
      options.done?.(part.length);
    }
    return results;
  }

  /**
   * Takes the memory that this many prompts at once need, as `generate` does, and runs nothing. Gives the bytes of the
   * cache. `longest` is the longest prompt in tokens.
   */
  plan(batch: number, longest: number, maxTokens: number): Promise<number> {
    return this.#source.plan(batch, longest, maxTokens);
  }

  free(): void {
    this.#source.free();
  }
}
