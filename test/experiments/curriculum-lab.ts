/** What experiments with curricula share: little languages whose best loss is known, and runs of the script on them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../src/model/architecture.ts";
import { runScript } from "../support/command.ts";
import { uniform } from "./support.ts";

export interface Row {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}

/** A row in which the first `hidden` tokens carry no loss. */
export const rowOf = (ids: readonly number[], hidden = 1): Row => ({
  input_ids: ids,
  labels: ids.map((id, t) => (t < hidden ? -100 : id)),
});

/** Symbols that follow one another by a random table: `first` to `first + size - 1`. */
export class Language {
  readonly #table: readonly Float64Array[];
  readonly #first: number;

  /** `sharpness` 0: all symbols follow alike, and nothing can be learnt; large: one symbol follows almost surely. */
  constructor(given: { seed: number; size: number; sharpness: number; first?: number }) {
    const next = uniform(given.seed);
    this.#first = given.first ?? 0;
    this.#table = Array.from({ length: given.size }, () => {
      const row = Float64Array.from({ length: given.size }, () => Math.exp(given.sharpness * next()));
      const sum = row.reduce((a, b) => a + b, 0);
      return row.map((x) => x / sum);
    });
  }

  /** Rows of `length` symbols, after those of `prefix`; neither the prefix nor the first symbol carries loss. */
  rows(count: number, seed: number, { length = 16, prefix = [] as readonly number[] } = {}): Row[] {
    const next = uniform(seed);
    return Array.from({ length: count }, () => {
      let at = Math.floor(next() * this.#table.length);
      const symbols = [at];
      while (symbols.length < length) {
        let u = next();
        let to = 0;
        while (to < this.#table.length - 1 && u >= this.#table[at]![to]!) u -= this.#table[at]![to++]!;
        at = to;
        symbols.push(at);
      }
      return rowOf([...prefix, ...symbols.map((symbol) => this.#first + symbol)], prefix.length + 1);
    });
  }

  /** Mean loss on rows of one who knows the table: no model can do better in the long run. */
  least(rows: readonly Row[]): number {
    let [sum, count] = [0, 0];
    for (const { input_ids, labels } of rows)
      for (const [t, label] of labels.entries()) {
        if (label < 0) continue;
        sum -= Math.log(this.#table[input_ids[t - 1]! - this.#first]![label - this.#first]!);
        count++;
      }
    return sum / count;
  }
}

export const decoder = (given: Json = {}): Json => ({
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  vocab_size: 64,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  initializer_range: 0.1,
  ...given,
});

export interface Outcome {
  /** Held-out loss of every group at the end. */
  readonly losses: Readonly<Record<string, number>>;
  /** Held-out losses as they went. */
  readonly course: readonly { readonly step: number; readonly group: string; readonly value: number }[];
  readonly mixtures: readonly Readonly<
    { step: number; probs: number[]; weights?: number[] } & Record<string, unknown>
  >[];
  /** Tokens that were computed with, padding included. */
  readonly tokens: number;
}

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
export const all = (losses: Readonly<Record<string, number>>): number => mean(Object.values(losses));

/** Gives work a folder, which is removed afterwards. */
export async function inLab<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = new Lab();
  try {
    return await work(lab);
  } finally {
    lab.close();
  }
}

/** A folder in which the script runs. */
export class Lab {
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-curricula-"));
  #runs = 0;

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Writes rows; gives the name of the file. */
  rows(name: string, rows: readonly unknown[]): string {
    writeFileSync(join(this.folder, `${name}.jsonl`), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
    return `${name}.jsonl`;
  }

  /** Writes a config.json to start from; gives the options for it. */
  fresh(config: Json, name = "fresh"): string {
    writeFileSync(join(this.folder, `${name}.json`), JSON.stringify(config));
    return `--init ${name}.json`;
  }

  /** Options that name groups of training data, and held-out ones. */
  groups(
    groups: Readonly<Record<string, readonly unknown[]>>,
    held: Readonly<Record<string, readonly unknown[]>>,
  ): string {
    const place = `set-${this.#runs++}`;
    mkdirSync(join(this.folder, place));
    const option =
      (flag: string, kind: string) =>
      ([name, rows]: [string, readonly unknown[]]) =>
        `${flag} ${name}=${this.rows(join(place, `${name}-${kind}`), rows)}`;
    return [
      ...Object.entries(groups).map(option("--data", "train")),
      ...Object.entries(held).map(option("--eval-data", "held")),
    ].join(" ");
  }

  /** Runs any script on a line of arguments; gives what it writes to stdout. Throws when it fails. */
  readonly script = (name: string, line: string): Promise<string> =>
    this.words(
      name,
      line.split(" ").filter((word) => word !== ""),
    );

  /** The same on words, which may have spaces. */
  readonly words = async (name: string, argv: readonly string[]): Promise<string> => {
    const { err, code, text } = await runScript(name, [...argv, "-q"], this.folder);
    if (code !== 0) throw new Error(`${name} ${argv.join(" ")}\n${err}`);
    return text;
  };

  /** Runs `curriculum` on a line of options; the weights end up in `out`. Throws when it fails. */
  async run(line: string, out = "out.safetensors"): Promise<Outcome> {
    const log = `run-${this.#runs++}.log`;
    const argv = `${line} -q --save-every 0 --log ${log} -o ${out} --overwrite`
      .split(" ")
      .filter((word) => word !== "");
    const { err, code } = await runScript("curriculum", argv, this.folder);
    if (code !== 0) throw new Error(`${line}\n${err}`);
    const events: { event: string; [key: string]: unknown }[] = readFileSync(join(this.folder, log), "utf8")
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text));
    const of = (name: string) => events.filter(({ event }) => event === name) as never[];
    const course = (of("eval") as { step: number; group?: string; value: number }[]).flatMap(
      ({ step, group, value }) => (group === undefined ? [] : [{ step, group, value }]),
    );
    const last = course.at(-1)?.step;
    return {
      losses: Object.fromEntries(course.filter(({ step }) => step === last).map(({ group, value }) => [group, value])),
      course,
      mixtures: of("mixture"),
      tokens: (of("step") as { tokens: number }[]).reduce((sum, { tokens }) => sum + tokens, 0),
    };
  }
}
