/**
 * The world in which merges are compared: one base and three experts, each tuned to one of three languages over the
 * same symbols. A language says of every symbol which one follows it nine times in ten. The base has read the language
 * that the three are made from: each differs from it in six of sixteen symbols. A row begins with a token that tells
 * the task, so one model can know all three.
 */
import { runScript } from "../support/command.ts";
import { decoder, inLab, type Lab, mean, type Row, rowOf } from "./curriculum-lab.ts";
import { uniform } from "./support.ts";

const TASKS = ["one", "two", "three"] as const;
const SYMBOLS = 16;
export const CONFIG = decoder({ hidden_size: 48, intermediate_size: 96, num_hidden_layers: 2, vocab_size: 24 });

const CHANGED = 6;

/** What follows each symbol. */
export type Follows = readonly number[];

/** Numbers below `SYMBOLS` in a random order. */
export function shuffled(next: () => number): number[] {
  const order = Array.from({ length: SYMBOLS }, (_, i) => i);
  for (let i = SYMBOLS - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** A language that differs from another in so many symbols. */
export function changed(common: Follows, next: () => number, symbols: number): Follows {
  const own = [...common];
  for (const symbol of shuffled(next).slice(0, symbols))
    own[symbol] = (common[symbol]! + 1 + Math.floor(next() * (SYMBOLS - 1))) % SYMBOLS;
  return own;
}

/** Rows of 16 symbols after the token of the task, without loss on the first two. */
export function rowsOf(follows: Follows, task: number, count: number, seed: number): Row[] {
  const next = uniform(seed);
  const any = () => Math.floor(next() * SYMBOLS);
  return Array.from({ length: count }, () => {
    const symbols = [any()];
    while (symbols.length < 16) symbols.push(next() < 0.9 ? follows[symbols.at(-1)!]! : any());
    return rowOf([SYMBOLS + task, ...symbols], 2);
  });
}

/** Accuracy of a model on the next symbol of each task. */
export type Accuracies = readonly number[];

export class Experts {
  readonly lab: Lab;
  readonly tasks = TASKS;
  readonly base = "base.safetensors";
  readonly models = TASKS.map((task) => `${task}.safetensors`);
  #merges = 0;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  /**
   * Writes rows to learn from (`one.jsonl`), to tune on (`one-tune.jsonl`) and to be judged by, and trains the four.
   */
  async make(seed: number): Promise<this> {
    const next = uniform(seed);
    const common = shuffled(next);
    for (const [i, task] of TASKS.entries()) {
      const own = changed(common, next, CHANGED);
      const rows = (follows: Follows, count: number, part: number) =>
        rowsOf(follows, i, count, 1000 * seed + 10 * part + i);
      this.lab.rows(`${task}-base`, rows(common, 200, 3));
      this.lab.rows(task, rows(own, 400, 0));
      this.lab.rows(`${task}-tune`, rows(own, 64, 1));
      this.lab.rows(`${task}-test`, rows(own, 96, 2));
    }
    const every = TASKS.map((task) => `--data ${task}=${task}-base.jsonl`).join(" ");
    const usual = `--batch-size 16 --warmup 10 --seed ${seed}`;
    await this.run("train", `${this.lab.fresh(CONFIG)} ${every} ${usual} --lr 0.01 --steps 100 -o ${this.base}`);
    for (const [i, task] of TASKS.entries())
      await this.run("train", `${this.base} --data ${task}.jsonl ${usual} --lr 0.002 --steps 100 -o ${this.models[i]}`);
    return this;
  }

  /** Merges the experts by a line of options; gives the name of the result. */
  async merge(options: string): Promise<string> {
    const out = `merged-${this.#merges++}.safetensors`;
    await this.run("merge", `${this.models.join(" ")} ${options} -o ${out}`);
    return out;
  }

  async accuracies(model: string): Promise<Accuracies> {
    const data = TASKS.map((task) => `--data ${task}=${task}-test.jsonl`).join(" ");
    const text = await this.run("evaluate", `${model} ${data} --metric accuracy --json`);
    const { rows } = JSON.parse(text) as { rows: { group: string; value: number }[] };
    return TASKS.map((task) => rows.find(({ group }) => group === task)!.value);
  }

  /** Mean over the tasks of a merge's accuracy. */
  async score(options: string): Promise<number> {
    return mean(await this.accuracies(await this.merge(options)));
  }

  /** Runs a script in the lab's folder; gives what it says on stdout. Throws Error where it fails. */
  async run(script: string, line: string): Promise<string> {
    const { code, text, err } = await runScript(script, [...line.split(" "), "-q"], this.lab.folder);
    if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
    return text;
  }
}

/** Gives work the experts of a seed. */
export const withExperts = <T>(seed: number, work: (experts: Experts) => Promise<T>): Promise<T> =>
  inLab(async (lab) => work(await new Experts(lab).make(seed)));
