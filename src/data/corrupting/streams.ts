/**
 * Streams of rows whose domain changes, made of clean rows by corruptions:
 *
 *   continual   one corruption after the other, all at one severity
 *   gradual     each corruption at severity 1, 2, 3, 4, 5, 4, 3, 2, 1
 *   recurring   continual, several times over
 *   mixed       the rows of continual in one random order
 *
 * Continual and recurring streams as in CoTTA (Wang et al., CVPR 2022, https://arxiv.org/abs/2203.13591), gradual and
 * mixed ones as in Marsden et al., WACV 2024, https://arxiv.org/abs/2306.00650
 */
import { UserError } from "../../errors.ts";
import type { Example } from "../examples.ts";
import { Random } from "../random.ts";
import type { LocatedRow } from "../rows.ts";
import { type ApplyOptions, corruptedInput, corruptedText } from "./apply.ts";
import type { Corruption } from "./contract.ts";
import type { StreamRow, Stretch } from "./stretch.ts";

export const STREAMS = ["continual", "gradual", "recurring", "mixed"] as const;
export type StreamKind = (typeof STREAMS)[number];

const GRADUAL = [1, 2, 3, 4, 5, 4, 3, 2, 1];

/** A row with another input, of the same label. Throws UserError for a row of another kind than the corruption. */
export function corruptedRow(
  method: Corruption,
  { row, place }: LocatedRow,
  options: ApplyOptions,
  random: Random,
): LocatedRow {
  const given = { random, place };
  if (row.form === "text") {
    const { text_pair: second } = row.extra;
    const other = typeof second === "string" ? { text_pair: corruptedText(method, second, options, given) } : undefined;
    const extra = other ? { ...row.extra, ...other } : row.extra;
    return { row: { ...row, text: corruptedText(method, row.text, options, given), extra }, place };
  }
  if (row.form === "example")
    return { row: { ...row, x: Float32Array.from(corruptedInput(method, [...row.x], options, given)) }, place };
  throw new UserError(`${place}: expected an example or a text to corrupt, found a row of ${row.form}`);
}

export interface StreamOptions extends Omit<ApplyOptions, "severity"> {
  /** Of all but gradual streams. */
  readonly severity: number;
  /** Of recurring streams. */
  readonly repetitions: number;
  /** Rows of a domain, drawn by the seed; all of them when left out. */
  readonly rows: number | undefined;
  readonly seed: number;
}

/** Makes streams of clean rows; rows of one corruption and severity are the same in all of them. */
export class StreamMaker {
  readonly #clean: readonly LocatedRow[];
  readonly #example: (row: LocatedRow, group: number) => Example;
  readonly #corruptions: readonly Corruption[];
  readonly #options: StreamOptions;
  readonly #made = new Map<string, readonly StreamRow[]>();

  constructor(
    clean: readonly LocatedRow[],
    example: (row: LocatedRow, group: number) => Example,
    corruptions: readonly Corruption[],
    options: StreamOptions,
  ) {
    this.#clean = clean;
    this.#example = example;
    this.#corruptions = corruptions;
    this.#options = options;
  }

  /** Rows of one domain in an order of its own. */
  #domain(method: Corruption, severity: number): readonly StreamRow[] {
    const key = `${method.name} ${severity}`;
    const known = this.#made.get(key);
    if (known) return known;
    const { seed, rows = this.#clean.length } = this.#options;
    const order = new Random(seed, "stream", method.name, severity).shuffled([...this.#clean.keys()]).slice(0, rows);
    const made = order.map((at) => {
      const random = new Random(seed, "corrupt", method.name, severity, at);
      const worse = corruptedRow(method, this.#clean[at]!, { ...this.#options, severity }, random);
      return { example: this.#example(worse, 0), domain: method.name };
    });
    this.#made.set(key, made);
    return made;
  }

  #stretch(method: Corruption, severity: number, repetition = 0): Stretch {
    return { name: `${method.name} ${severity}`, repetition, rows: this.#domain(method, severity) };
  }

  of(kind: StreamKind): Stretch[] {
    const { severity, repetitions, seed } = this.#options;
    const once = (repetition: number) => this.#corruptions.map((method) => this.#stretch(method, severity, repetition));
    if (kind === "continual") return once(0);
    if (kind === "recurring") return Array.from({ length: repetitions }, (_, i) => once(i)).flat();
    if (kind === "gradual")
      return this.#corruptions.flatMap((method) => GRADUAL.map((degree) => this.#stretch(method, degree)));
    const rows = once(0).flatMap((stretch) => stretch.rows);
    return [{ name: `mixed ${severity}`, repetition: 0, rows: new Random(seed, "mixed stream").shuffled(rows) }];
  }
}
