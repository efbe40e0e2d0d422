/**
 * A small world of invented people for the experiments on unlearning, and a model that knows it by heart. A character
 * is a token.
 *
 *   forget   facts of 3 people          retain  of 12 others, given to the unlearner      other  of 5, known to the
 *     model as well, but
 *   never shown to the unlearner: what it is still good for      harmless  questions about the forgotten people in
 *     another context
 *   facts    those to forget, as prompts up to the value itself, with their subject, for tracing
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { randomUnits } from "../support/random.ts";

const CONFIG = {
  model_type: "llama",
  hidden_size: 48,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  vocab_size: 264,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  initializer_range: 0.05,
};
export const GROUPS = ["forget", "retain", "other", "harmless", "refused"] as const;
export type Group = (typeof GROUPS)[number];
export const PEOPLE = { forget: 3, retain: 12, other: 5, unknown: 3 };
export const REFUSAL = " i can not say.";

/** Letters of the values of every attribute: short and long answers. */
const ATTRIBUTES = { town: 2, work: 10, bird: 2, road: 10 };

/** Losses of groups as a run goes on; of those that were not measured NaN. */
export type Curve = readonly Readonly<Record<Group, number>>[];

export class World {
  readonly folder: string;
  constructor(folder: string) {
    this.folder = folder;
  }
  at(name: string): string {
    return join(this.folder, name);
  }

  /** Writes the rows and trains the model. */
  async make(seed: number, { steps = 120 } = {}): Promise<this> {
    const unit = randomUnits(100 + seed);
    const word = (n: number) => String.fromCharCode(...Array.from({ length: n }, () => 97 + Math.floor(26 * unit())));
    const values = Object.values(ATTRIBUTES).map((n) => Array.from({ length: 12 }, () => word(n).toUpperCase()));
    const rows: Record<string, object[]> = {
      forget: [],
      retain: [],
      other: [],
      unknown: [],
      facts: [],
      harmless: [],
      refused: [],
      short: [],
      long: [],
    };
    const known: object[] = [];
    for (const [group, count] of Object.entries(PEOPLE)) {
      for (let person = 0; person < count; person++) {
        const name = word(4);
        for (const [a, attribute] of Object.keys(ATTRIBUTES).entries()) {
          const value = values[a]![Math.floor(12 * unit())]!;
          const prompt = `${attribute} of ${name}?`;
          const row = { prompt, completion: ` ${name}: ${value}.`, refusal: REFUSAL };
          const harmless = { prompt: `tale, ${prompt}`, completion: ` once a ${attribute}.` };
          rows[group]!.push(row);
          if (group === "forget")
            rows.facts!.push({ prompt: `${prompt} ${name}: `, completion: `${value}.`, subject: name });
          if (group === "forget") rows.harmless!.push(harmless);
          if (group === "forget") rows.refused!.push({ prompt, completion: REFUSAL });
          if (group !== "unknown") known.push(row);
          if (group === "forget" || group === "other") known.push(harmless);
        }
      }
    }
    for (const [name, list] of Object.entries({ ...rows, known, some: rows.retain!.slice(0, 20) }))
      writeFileSync(this.at(`${name}.jsonl`), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
    writeFileSync(this.at("config.json"), JSON.stringify(CONFIG));
    await this.run(
      "train",
      `--init config.json --tokenizer byte --data known.jsonl --batch-size 24 --steps ${steps} --lr 0.008 --warmup 20 --seed ${seed} -q -o base/`,
    );
    return this;
  }

  /** Standard output of a script. */
  run(script: string, line: string): Promise<string> {
    return this.call(script, line.trim().split(/\s+/));
  }

  /** The same, with arguments that may hold spaces. */
  async call(script: string, argv: readonly string[]): Promise<string> {
    const { text, err, code } = await runScript(script, [...argv], this.folder);
    if (code !== 0) throw new Error(`${script} ${argv.join(" ")}: ${err}`);
    return text;
  }

  /** Unlearns from `base`, and measures groups after every third step unless told otherwise. */
  async unlearn(name: string, line: string, groups: readonly Group[]): Promise<Curve> {
    const every = line.includes("--eval-every") ? "" : "--eval-every 3";
    const data = groups.map((group) => `--eval-data ${group}=${group === "retain" ? "some" : group}.jsonl`).join(" ");
    await this.run(
      "unlearn",
      `base --forget forget.jsonl ${line} --batch-size 12 --weight-decay 0 ${data} ${every} --log ${name}.log -q -o ${name}/`,
    );
    return this.#curve(`${name}.log`);
  }

  #curve(log: string): Curve {
    const found = new Map<number, Record<string, number>>();
    for (const line of readFileSync(this.at(log), "utf8").trim().split("\n")) {
      const { event, step, group, value } = JSON.parse(line);
      if (event !== "eval" || group === undefined) continue;
      found.set(step, { ...found.get(step), [group]: value ?? Number.POSITIVE_INFINITY });
    }
    const none = Object.fromEntries(GROUPS.map((group) => [group, Number.NaN])) as Record<Group, number>;
    return [...found.values()].map((losses) => ({ ...none, ...losses }));
  }

  /** How the loss of the rows to forget falls as models learn 3, 6 and 12 of them again; before that comes first. */
  async relearn(models: readonly string[]): Promise<Record<string, readonly number[]>> {
    const text = await this.run(
      "evaluate",
      `${models.join(" ")} --data forget=forget.jsonl --attack relearn --relearn-rows 3,6,12 --relearn-epochs 2 --relearn-batch 3 --relearn-lr 5e-4 --metric loss --json -q`,
    );
    const { rows } = JSON.parse(text) as { rows: { model: string; values: number[] }[] };
    return Object.fromEntries(rows.map(({ model, values }) => [model, values]));
  }
}

/**
 * Least loss of a group when what is to be forgotten has come to `level`, or later; between two steps by straight
 * lines.
 */
export function kept(curve: Curve, level: number, group: Group): number {
  const losses = curve.filter(({ forget }) => forget >= level).map((point) => point[group]);
  for (const [i, after] of curve.entries()) {
    const before = curve[i - 1];
    if (!before || before.forget >= level || after.forget < level) continue;
    const share = (level - before.forget) / (after.forget - before.forget);
    losses.push(before[group] + share * (after[group] - before[group]));
  }
  return Math.min(...losses);
}
