/** A folder with tiny models and groups of data in which the curriculum script runs as a user runs it. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { type Ran, runScript, startScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

export interface Event {
  readonly event: string;
  readonly step: number;
  readonly [key: string]: unknown;
}
export interface Mixture extends Event {
  readonly groups: string[];
  readonly probs: number[];
  readonly weights?: number[];
}

export const words = (line: string): string[] => line.split(" ").filter((word) => word !== "");

/** Tokens that count in a row of every group; all rows are equally long, so that few programs are compiled. */
export const COUNTED = { a: 15, b: 9, c: 5, d: 15 };
export const DATA = "--data a=a.jsonl --data b=b.jsonl --data c=c.jsonl";
export const HELD = "--eval-data a=a-held.jsonl --eval-data b=b-held.jsonl --eval-data c=c-held.jsonl";
export const RUN = "--batch-size 4 --lr 0.01 -q";
export const GRAPH = [
  [1, 0.5, 0],
  [0, 1, 0],
  [0.2, 0, 1],
];

const SMALL = { ...TINY_TEXT.llama!, hidden_size: 16, head_dim: 8, num_hidden_layers: 1 };

export class CurriculumLab {
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-curriculum-"));
  readonly #runs = new Map<string, Promise<void>>();

  at(name: string): string {
    return join(this.folder, name);
  }
  write(name: string, text: string): void {
    writeFileSync(this.at(name), text);
  }
  read(name: string): string {
    return readFileSync(this.at(name), "utf8");
  }
  lines(name: string): string[] {
    return this.read(name)
      .split("\n")
      .filter((line) => line !== "");
  }

  /** A model of random weights; `broken` names a weight that is made NaN. */
  async model(name: string, config: Json, seed: number, broken?: string): Promise<void> {
    const model = await Model.fresh(await sharedGpu(), config, name, { seed });
    const weight = broken === undefined ? undefined : model.parameters.get(broken)!;
    weight?.write(new Float32Array(weight.size).fill(Number.NaN));
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]);
    await saveModel(model, this.at(`${name}/`), { files, lineage: [] });
    model.free();
  }

  /**
   * Models "model", "mlp" and "broken"; groups a, b, c and d of text with held-out rows, mixed lengths, and classes x
   * and y.
   */
  async prepare(): Promise<void> {
    await this.model("model", SMALL, 1);
    await this.model("mlp", { ...TINY_EXAMPLES.mlp!, hidden_sizes: [16] }, 2);
    await this.model("broken", SMALL, 3, "model.norm.weight");
    const unit = randomUnits(7);
    const row = (length: number, from: number, counted = length - 1) => {
      const ids = Array.from({ length }, () => from + Math.floor(unit() * 16));
      return JSON.stringify({ input_ids: ids, labels: ids.map((id, t) => (t < length - counted ? -100 : id)) });
    };
    const rows = (count: number, of: (i: number) => string) =>
      `${Array.from({ length: count }, (_, i) => of(i)).join("\n")}\n`;
    // Every group has its own tokens.
    for (const [g, [name, counted]] of Object.entries(COUNTED).entries()) {
      const from = (16 * g) % 48;
      this.write(
        `${name}.jsonl`,
        rows(16, () => row(16, from, counted)),
      );
      this.write(
        `${name}-held.jsonl`,
        rows(4, () => row(16, from, counted)),
      );
    }
    this.write(
      "mixed.jsonl",
      rows(40, (i) => row([6, 12, 20][i % 3]!, 0)),
    );
    // Classes are thirds of the first coordinate, in either half of the second.
    for (const [g, name] of ["x", "y", "x-held", "y-held"].entries())
      this.write(
        `${name}.jsonl`,
        rows(24, () => {
          const x = Array.from({ length: 7 }, () => 2 * unit() - 1);
          return JSON.stringify({
            x: x.with(1, Math.abs(x[1]!) * (1 - 2 * (g % 2))),
            label: Math.floor(1.5 * (x[0]! + 1)),
          });
        }),
      );
    this.write("graph.json", JSON.stringify(GRAPH));
  }

  run(line: string): Promise<Ran> {
    return runScript("curriculum", words(line), this.folder);
  }
  start(line: string) {
    return startScript("curriculum", words(line), this.folder);
  }
  async succeeds(line: string, script = "curriculum"): Promise<void> {
    const { err, code } = await runScript(script, words(line), this.folder);
    expect(err).toBe("");
    expect(code).toBe(0);
  }
  /** Runs a line once, however many tests of a file ask for what it writes. */
  once(line: string): Promise<void> {
    const known = this.#runs.get(line) ?? this.succeeds(line);
    this.#runs.set(line, known);
    return known;
  }

  /** Whole lines of a log. */
  events(log: string, name: string): Event[] {
    return existsSync(this.at(log))
      ? this.read(log)
          .split("\n")
          .filter((line) => line.includes(`"event":"${name}"`) && line.endsWith("}"))
          .map((line) => JSON.parse(line))
      : [];
  }
  mixtures(log: string): Mixture[] {
    return this.events(log, "mixture") as Mixture[];
  }
  losses(log: string): number[] {
    return this.events(log, "step").map(({ loss }) => loss as number);
  }
  /** Held-out loss of every group, the last one. */
  held(log: string): Record<string, number> {
    return Object.fromEntries(
      this.events(log, "eval").flatMap(({ group, value }) => (group ? [[group as string, value as number]] : [])),
    );
  }

  tensors(file: string): Promise<Map<string, Float32Array>> {
    return tensorsOf(this.at(file));
  }

  /** Largest difference of two checkpoints; 0 when they hold the same numbers. */
  async apart(one: string, other: string): Promise<number> {
    const [a, b] = [await this.tensors(one), await this.tensors(other)];
    expect([...b.keys()]).toEqual([...a.keys()]);
    let worst = 0;
    for (const [name, values] of a) {
      const difference = values.reduce((most, x, i) => Math.max(most, Math.abs(x - b.get(name)![i]!)), 0);
      worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
    }
    return worst;
  }
}

/** A lab for the tests of a file: prepared before the first, removed after the last. */
export function openLab(): CurriculumLab {
  const lab = new CurriculumLab();
  beforeAll(() => lab.prepare());
  afterAll(() => rmSync(lab.folder, { recursive: true, force: true }));
  return lab;
}
