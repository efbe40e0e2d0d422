/** What decoding asks of a model, or of several that decide together: logits of the next token of every row. */

export interface ReadOptions {
  /** Tokens that the longest sequence may reach. */
  readonly most: number;
  /** What messages call the rows. */
  readonly names: readonly string[];
  /** Distinguish the rows from others with the same seed; their places when left out. */
  readonly keys?: readonly string[];
  /**
   * Of one prompt: begins after the tokens that it shares with what was read and written last, whose keys and values
   * are still there.
   */
  readonly goesOn?: boolean;
}

export interface LogitSource {
  /** Positions, and logits of a row: V. */
  readonly sizes: { readonly maxPositions: number; readonly outputs: number };
  /** Reads prompts; gives the logits that follow each, (B, V). Throws UserError where they are not finite. */
  read(prompts: readonly (readonly number[])[], options: ReadOptions): Promise<Float32Array>;
  /**
   * The logits after the last token of each sequence, (B, V). Those of `running` have one token more than before; the
   * others are as they were, and what is said of them does not count.
   */
  next(sequences: readonly (readonly number[])[], running: ReadonlySet<number>): Promise<Float32Array>;
  /** Takes the memory for this many prompts at once and runs nothing. Gives the bytes of what is kept of tokens. */
  plan(batch: number, longest: number, maxTokens: number): Promise<number>;
  /** What is worth telling of the answer of a row, beside its text; nothing when left out. */
  notes?(row: number): Readonly<Record<string, unknown>>;
  /** A line about all answers so far; nothing when left out. */
  summary?(): string;
  free(): void;
}
