/** A folder with rows and a tiny model that knows them by heart, in which command lines of unlearning run. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript, runShell, startScript } from "../support/command.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

/** Options of most runs. */
export const ROWS = "--forget forget.jsonl --retain retain.jsonl --batch-size 3 -q";

export class Workshop {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Makes the folder, its rows, and `base`, which has read them so many times. */
  static async make(epochs = 60): Promise<Workshop> {
    const shop = new Workshop(mkdtempSync(join(tmpdir(), "ingot-unlearn-")));
    const unit = randomUnits(7);
    const word = (n: number) => String.fromCharCode(...Array.from({ length: n }, () => 97 + Math.floor(26 * unit())));
    const rows = Array.from({ length: 15 }, (_, i) => ({
      prompt: `${word(2)}${i}:`,
      completion: ` ${word(3 + (i % 4))}`,
      ...(i % 2 ? { refusal: "no", alternative: word(4) } : {}),
    }));
    shop.write("forget.jsonl", rows.slice(0, 6));
    shop.write("retain.jsonl", rows.slice(6));
    shop.write(
      "pd.jsonl",
      rows.slice(0, 6).map(({ prompt }) => ({ prompt: `ok ${prompt}`, completion: " yes" })),
    );
    shop.write(
      "named.jsonl",
      rows.slice(0, 6).map((row) => ({ ...row, subject: row.prompt.slice(0, -1) })),
    );
    shop.write(
      "first.jsonl",
      rows.slice(0, 1).map((row) => ({ ...row, subject: row.prompt[0] })),
    );
    writeFileSync(shop.at("llama.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264 }));
    await shop.made(
      `$TRAIN --init llama.json --tokenizer byte --data forget.jsonl --data retain.jsonl --data pd.jsonl --batch-size 7 --epochs ${epochs} --lr 0.01 -q -o base/`,
    );
    return shop;
  }

  /** Makes `mlp`, a classifier of blobs, of which zero.jsonl holds one class and others.jsonl the others. */
  async classifier(): Promise<void> {
    const config = { model_type: "mlp", input_size: 8, hidden_sizes: [24], num_labels: 4 };
    writeFileSync(this.at("mlp.json"), JSON.stringify(config));
    await this.made(`set -e
      $DATA blobs --classes 4 --dims 8 --separation 6 --size 200 -q -o blobs.jsonl
      grep '"label":0}' blobs.jsonl > zero.jsonl
      grep -v '"label":0}' blobs.jsonl > others.jsonl
      $TRAIN --init mlp.json --data blobs.jsonl --batch-size 20 --epochs 20 --lr 0.02 -q -o mlp/`);
  }

  at = (name: string): string => join(this.folder, name);
  bytesOf = (name: string): Buffer => readFileSync(this.at(name));
  run = (script: string, line: string) => runScript(script, line.split(" "), this.folder);
  unlearn = (line: string) => this.run("unlearn", line);
  start = (line: string) => startScript("unlearn", line.split(" "), this.folder);
  shell = (line: string) => runShell(line, this.folder);

  async made(line: string): Promise<void> {
    const { code, err } = await this.shell(line);
    if (code !== 0) throw new Error(err);
  }

  /** Writes rows as JSONL. */
  write(name: string, rows: readonly object[]): void {
    writeFileSync(this.at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }

  #tensorsOf(file: string): Promise<Map<string, Float32Array>> {
    return tensorsOf(this.at(file));
  }

  /** Largest difference of every tensor, relative to its largest value. */
  differences = async (one: string, other: string): Promise<Record<string, number>> => {
    const [a, b] = [await this.#tensorsOf(one), await this.#tensorsOf(other)];
    if ([...a.keys()].join() !== [...b.keys()].join()) throw new Error(`${one} and ${other} have other tensors`);
    const found = [...a].map(([name, values]) => {
      const most = values.reduce((x, y) => Math.max(x, Math.abs(y)), 1e-30);
      const error = values.reduce((x, y, i) => Math.max(x, Math.abs(y - b.get(name)![i]!)), 0);
      return [name, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / most] as const;
    });
    return Object.fromEntries(found);
  };
  apart = async (one: string, other: string): Promise<number> =>
    Math.max(...Object.values(await this.differences(one, other)));

  /** Metrics by model and group. */
  measure = async (
    models: readonly string[],
    metric: string,
    data = "--data forget=forget.jsonl --data retain=retain.jsonl",
  ): Promise<(model: string, group: string) => number> => {
    const line = `${models.join(" ")} ${data} --metric ${metric} --bootstrap 0 --json -q`;
    const { text, err } = await this.run("evaluate", line);
    if (err !== "") throw new Error(err);
    const { rows } = JSON.parse(text) as { rows: { model: string; group: string; metric: string; value: number }[] };
    return (model, group) =>
      rows.find((row) => row.model === model && row.group === group && row.metric === metric)!.value;
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
