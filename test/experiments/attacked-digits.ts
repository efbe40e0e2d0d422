/** Scripts on rendered digits, and how models fare as rows are and under attack. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

/** Digits of 9 x 9 pixels from 0 to 1. */
export const SIDE = 9;

/** A radius, with which digits of one class come near to others. */
export const RADIUS = 0.15;

export const pgd = (steps: number) => `--pgd-epsilon ${RADIUS} --pgd-steps ${steps} --pgd-range 0,1`;

export interface Digit {
  readonly x: readonly number[];
  readonly label: number;
}

export class AttackedDigits {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** What a script says. Throws Error when it fails. */
  async run(script: string, line: string): Promise<string> {
    const { err, code, text } = await runScript(script, `${line} -q`.split(/ +/), this.folder);
    if (code !== 0) throw new Error(`${line}\n${err}`);
    return text;
  }

  /** Writes digits with noise, and gives them. */
  async digits(out: string, seed: number, size: number, split: "train" | "test"): Promise<Digit[]> {
    const options = `--canvas ${SIDE} --shift 1 --noise 0.1 --seed ${seed} --size ${size} --split ${split}`;
    await this.run("data", `glyphs ${options} -o ${out}`);
    const lines = readFileSync(join(this.folder, out), "utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line));
  }

  /** Accuracy as rows are and under attack of a model, by group. `data` names groups and files. */
  async judged(model: string, data: string): Promise<Map<string, { clean: number; attacked: number }>> {
    const text = await this.run("evaluate", `${model} ${data} --attack pgd ${pgd(20)} --metric accuracy --json`);
    const { rows } = JSON.parse(text) as { rows: { group: string; before: number; after: number }[] };
    return new Map(rows.map(({ group, before, after }) => [group, { clean: before, attacked: after }]));
  }
}
