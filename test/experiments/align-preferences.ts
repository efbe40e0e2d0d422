/** A world of preferences whose utility is known, a model that finds all answers alike, and runs of align on it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { decoder, inLab } from "./curriculum-lab.ts";

/** What a run leaves. */
export interface Judged {
  /** Share of held-out pairs whose chosen answer is likelier. */
  readonly accuracy: number;
  /** Nats by which chosen answers are likelier than rejected ones, over held-out pairs. */
  readonly margin: number;
  /** By how many nats chosen answers became likelier in training. */
  readonly gained: number;
}

export class PreferenceLab {
  readonly #folder: string;
  readonly #seed: number;
  /** Accuracy of the best judge there can be of the held-out labels. */
  readonly bayes: number;

  private constructor(folder: string, seed: number, bayes: number) {
    [this.#folder, this.#seed, this.bayes] = [folder, seed, bayes];
  }

  /** Makes rows, `pairs` of them, and the model, which has read answers without knowing which is better. */
  static on<T>(
    { seed, pairs, world }: { readonly seed: number; readonly pairs: number; readonly world: string },
    work: (lab: PreferenceLab) => Promise<T>,
  ): Promise<T> {
    return inLab(async ({ folder }) => {
      const data = async (line: string) => {
        const argv = `preferences --shortest 5 --longest 5 --seed ${seed} --json ${world} ${line}`;
        const { code, err, text } = await runScript("data", argv.split(" "), folder);
        if (code !== 0) throw new Error(err);
        return JSON.parse(text) as { bayes_accuracy: number };
      };
      await data(`--size ${pairs} -o pairs.jsonl`);
      await data(`--size ${2 * pairs} --form unpaired -o judged.jsonl`);
      const { bayes_accuracy: bayes } = await data("--size 400 --split test -o held.jsonl");
      const rows = readFileSync(join(folder, "pairs.jsonl"), "utf8").trimEnd().split("\n");
      const answers = rows.flatMap((row) => {
        const { prompt, chosen, rejected } = JSON.parse(row);
        return [chosen, rejected].map((completion) => JSON.stringify({ prompt, completion }));
      });
      writeFileSync(join(folder, "answers.jsonl"), `${answers.join("\n")}\n`);
      writeFileSync(
        join(folder, "config.json"),
        JSON.stringify(decoder({ vocab_size: 264, hidden_size: 32, intermediate_size: 64 })),
      );
      const lab = new PreferenceLab(folder, seed, bayes);
      await lab.#run(
        "train",
        "--init config.json --tokenizer byte --data answers.jsonl --batch-size 32 --epochs 1 --lr 3e-3 -o base",
      );
      return work(lab);
    });
  }

  async #run(script: string, line: string): Promise<string> {
    const argv = `${line} --seed ${this.#seed} -q --save-every 0 --overwrite`.split(" ");
    const { code, err, text } = await runScript(script, argv, this.#folder);
    if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
    return text;
  }

  /** Aligns the base by a method, and judges held-out pairs with the result. */
  async align(line: string, steps: number): Promise<Judged> {
    const data = line.includes("kto") ? "judged" : "pairs";
    const settings = `--data ${data}.jsonl --batch-size 32 --steps ${steps} --lr 3e-3`;
    await this.#run("align", `base ${line} ${settings} --log run.log -o aligned`);
    const [first, last] = [0, -1].map((at) => this.#steps().at(at)!);
    const judged = JSON.parse(
      (await runScript("evaluate", "aligned --data held.jsonl --metric preference --json".split(" "), this.#folder))
        .text,
    ) as { rows: readonly { metric: string; value: number }[] };
    const figure = (name: string) => judged.rows.find(({ metric }) => metric === name)!.value;
    return {
      accuracy: figure("preference"),
      margin: figure("preference margin"),
      gained: (last!.logp_chosen ?? last!.logp_wanted!) - (first!.logp_chosen ?? first!.logp_wanted!),
    };
  }

  #steps(): Record<string, number>[] {
    const log = readFileSync(join(this.#folder, "run.log"), "utf8").trimEnd().split("\n");
    return log.map((line) => JSON.parse(line)).filter(({ event }) => event === "step");
  }
}
