/** A folder with tiny models and rows, in which command lines of distillation run. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript, runShell, startScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

export const LLAMA = TINY_TEXT.llama!;
export const SMALL = { ...LLAMA, hidden_size: 16, head_dim: 8, num_hidden_layers: 1 };
/** Options of most runs. */
export const TEXT = "--data rows.jsonl --batch-size 4 -q";

/** tokenizer.json of these tokens. */
export const tokenizer = (tokens: readonly string[]): string =>
  JSON.stringify({
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
  });
export const letters = (n: number, from = 0x100): string[] =>
  Array.from({ length: n }, (_, i) => String.fromCodePoint(from + i));

const spoken = (tokens: readonly string[]) => ({ "tokenizer.json": tokenizer(tokens) });

/** Models by name: config, seed, and files beside config.json. */
const MODELS: Readonly<Record<string, readonly [config: Json, seed: number, files?: Record<string, string>]>> = {
  large: [LLAMA, 1],
  other: [LLAMA, 5],
  small: [SMALL, 2],
  "mlp-large": [TINY_EXAMPLES.mlp!, 3],
  "mlp-small": [{ ...TINY_EXAMPLES.mlp!, hidden_sizes: [4] }, 4],
  "mlp-wide": [{ ...TINY_EXAMPLES.mlp!, num_labels: 4 }, 4],
  // Of the same tokens, and as wide: teachers and student of any method.
  "first-teacher": [LLAMA, 11, spoken(letters(48))],
  "second-teacher": [LLAMA, 12, spoken(letters(48))],
  student: [LLAMA, 13, spoken(letters(48))],
  named: [{ ...SMALL, vocab_size: 50 }, 6, spoken(letters(48))],
  padded: [{ ...LLAMA, vocab_size: 56 }, 7, spoken(letters(48))],
  foreign: [LLAMA, 8, spoken(letters(48, 0x200))],
  wordy: [{ ...LLAMA, vocab_size: 56 }, 9, spoken(letters(54))],
  reversed: [LLAMA, 10, spoken(letters(48).reverse())],
};

const encoded = (files: Readonly<Record<string, string>>): Map<string, Uint8Array> =>
  new Map(Object.entries(files).map(([file, text]) => [file, new TextEncoder().encode(text)]));

export class Workshop {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Makes the folder, its models and its rows. */
  static async make(): Promise<Workshop> {
    const shop = new Workshop(mkdtempSync(join(tmpdir(), "ingot-distill-")));
    for (const [name, [config, seed, files]] of Object.entries(MODELS)) await shop.model(name, config, seed, { files });
    const unit = randomUnits(11);
    const rows = Array.from({ length: 12 }, (_, i) => {
      const ids = Array.from({ length: 8 + ((5 * i) % 9) }, () => Math.floor(unit() * 48));
      return i % 3 === 0 ? { input_ids: ids, labels: ids.map((id, t) => (t < 4 ? -100 : id)) } : { input_ids: ids };
    });
    const points = Array.from({ length: 20 }, (_, i) => ({
      x: Array.from({ length: 7 }, () => 2 * unit() - 1),
      label: i % 3,
    }));
    shop.write("rows.jsonl", rows);
    shop.write("points.jsonl", points);
    return shop;
  }

  at = (name: string): string => join(this.folder, name);
  bytesOf = (name: string): Buffer => readFileSync(this.at(name));
  distill = (line: string) => runScript("distill", line.split(" "), this.folder);
  start = (line: string) => startScript("distill", line.split(" "), this.folder);
  shell = (line: string) => runShell(line, this.folder);

  /** Writes rows as JSONL. */
  write(name: string, rows: readonly object[]): void {
    writeFileSync(this.at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }

  /** Makes a model of random weights; `change` may set them. */
  async model(
    name: string,
    config: Json,
    seed: number,
    given: { readonly files?: Record<string, string> | undefined; readonly change?: (model: Model) => void } = {},
  ): Promise<void> {
    const model = await Model.fresh(await sharedGpu(), config, name, { seed });
    given.change?.(model);
    const files = encoded({ "config.json": JSON.stringify(config), ...given.files });
    await saveModel(model, this.at(`${name}/`), { files, lineage: [] });
    model.free();
  }

  tensorsOf = (file: string): Promise<Map<string, Float32Array>> => tensorsOf(this.at(file));

  /** Largest difference between two checkpoints, relative to the largest value of the tensor. */
  apart = async (one: string, other: string): Promise<number> => {
    const [a, b] = [await this.tensorsOf(one), await this.tensorsOf(other)];
    if ([...a.keys()].join() !== [...b.keys()].join()) throw new Error(`${one} and ${other} have other tensors`);
    let worst = 0;
    for (const [name, values] of a) {
      const most = values.reduce((x, y) => Math.max(x, Math.abs(y)), 1e-30);
      const error = values.reduce((x, y, i) => Math.max(x, Math.abs(y - b.get(name)![i]!)), 0);
      worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / most);
    }
    return worst;
  };

  /** Steps of a log, as far as it is written. */
  steps = (log: string): Record<string, number>[] =>
    existsSync(this.at(log))
      ? readFileSync(this.at(log), "utf8")
          .split("\n")
          .filter((line) => line.includes('"event":"step"') && line.endsWith("}"))
          .map((line) => JSON.parse(line))
      : [];

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
