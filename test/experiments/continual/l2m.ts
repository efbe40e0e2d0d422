import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContinualMetrics } from "../../../src/run/continual/matrix.ts";
import { runScript } from "../../support/command.ts";
import { decoder, inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const TRAINING = "--batch-size 20 --lr 1e-2 --save-every 0 -q --overwrite";

export const experiment = experimentOf({
  title: "A pool of adapters for four languages, one after the other",
  about: `Languages of twelve symbols in which each follows the one before by another table, 240 rows of 24 symbols each. A decoder of one
layer learns the fifth for four epochs and then stays frozen; adapters of rank 8 learn the other four, eight epochs each: one LoRA by *seq*
and by *er* with its usual buffer, and *l2m* with eight slots, which finds the slot of a row by its symbols or, with \`--l2m-partition\`, is
told its language. Mean loss in nats on 200 other rows of each language after the last one. The languages share their symbols, so rows are
hard to tell apart by the mean of their embeddings.`,
  seeds: [1, 2, 3, 4, 5],
  tested: 1,
  long: true,
  figures: {
    "LoRA, seq: loss": {},
    "LoRA, er: loss": {},
    "l2m: loss": {},
    "l2m, language known: loss": {},
    "LoRA, seq: forgetting": {},
    "LoRA, er: forgetting": {},
    "l2m: forgetting": {},
    "l2m, language known: forgetting": { is: 0 },
    "LoRA, seq − l2m, language known, loss": { above: 0 },
  },
  run: (seed) =>
    inLab(async ({ folder }) => {
      const call = async (script: string, line: string) => {
        const { code, text, err } = await runScript(script, line.split(" "), folder);
        if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
        return text;
      };
      const worlds = [1, 2, 3, 4, 5].map((world) => 10 * seed + world).join(",");
      const stream = `markov --alphabet 12 --order 1 --length 24 --form ids --stream seed=${worlds} --size 240`;
      await call("data", `${stream} --seed ${seed} -q -o stream`);
      writeFileSync(join(folder, "config.json"), JSON.stringify(decoder({ vocab_size: 12 })));
      const files = readdirSync(join(folder, "stream")).filter((name) => name.endsWith(".jsonl"));
      files.sort((a, b) => Number(a.match(/\d+/)) - Number(b.match(/\d+/)));
      const first = files.pop();
      const own = `--seed ${seed} ${TRAINING}`;
      await call("train", `--init config.json --data stream/${first} --epochs 4 ${own} -o base.safetensors`);
      const names = (at: string) => files.map((name) => `${at}/${name}`).join(",");
      const data = `base.safetensors --tasks ${names("stream")} --eval-tasks ${names("stream/test")} --epochs 8 --json`;
      const learnt = async (options: string) => {
        const text = await call("adapt", `${data} ${own} ${options} -o learnt`);
        return (JSON.parse(text) as { metrics: { loss: ContinualMetrics } }).metrics.loss;
      };
      const pool = "--method seq --adapter l2m --l2m-slots 8 --l2m-tasks 4";
      const seq = await learnt("--method seq --lora --lora-rank 8");
      const er = await learnt("--method er --lora --lora-rank 8");
      const l2m = await learnt(pool);
      const known = await learnt(`${pool} --l2m-partition`);
      return {
        "LoRA, seq: loss": seq.average!,
        "LoRA, er: loss": er.average!,
        "l2m: loss": l2m.average!,
        "l2m, language known: loss": known.average!,
        "LoRA, seq: forgetting": seq.forgetting!,
        "LoRA, er: forgetting": er.forgetting!,
        "l2m: forgetting": l2m.forgetting!,
        "l2m, language known: forgetting": known.forgetting!,
        "LoRA, seq − l2m, language known, loss": seq.average! - known.average!,
      };
    }),
});
