import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decoder, inLab, Language } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STEPS = 150;
/** Rates of each optimizer, a factor of about 3 apart. */
const RATES: Readonly<Record<string, readonly number[]>> = {
  adamw: [1e-3, 3e-3, 1e-2, 3e-2],
  adan: [3e-3, 1e-2, 3e-2, 1e-1],
  sgd: [3e-2, 1e-1, 3e-1, 1],
  lion: [3e-4, 1e-3, 3e-3, 1e-2],
  muon: [3e-3, 1e-2, 3e-2, 1e-1],
  adafactor: [1e-2, 3e-2, 1e-1, 3e-1],
  "adam-mini": [1e-3, 3e-3, 1e-2, 3e-2],
  "adamw-8bit": [1e-3, 3e-3, 1e-2, 3e-2],
  frugal: [1e-3, 3e-3, 1e-2, 3e-2],
  "frugal, no rest": [1e-3, 3e-3, 1e-2, 3e-2],
  galore: [3e-3, 1e-2, 3e-2, 1e-1],
  apollo: [3e-3, 1e-2, 3e-2, 1e-1],
  "schedule-free": [3e-3, 1e-2, 3e-2, 1e-1],
  sophia: [3e-4, 1e-3, 3e-3, 1e-2],
};
/** What else they are asked for: subspaces and choices for small matrices and few steps, the schedule they are for. */
const MORE: Readonly<Record<string, string>> = {
  "adamw-8bit": "--least-values 0",
  frugal: "--frugal-every 20",
  "frugal, no rest": "--frugal-every 20 --frugal-rest none",
  galore: "--galore-rank 8 --galore-every 20",
  apollo: "--apollo-rank 8 --apollo-every 20",
  "schedule-free": "--schedule constant",
};
const COLUMNS = [
  "best loss above the least",
  "best rate",
  "spread over rates",
  "states, bytes a weight",
  "seconds a step",
];
const bounds: Readonly<Record<string, Bound>> = {
  "adafactor: states, bytes a weight": { below: 2 },
  "adam-mini: states, bytes a weight": { below: 6 },
  "lion: states, bytes a weight": { below: 4.5 },
  "adamw-8bit: states, bytes a weight": { below: 2.5 },
  "adamw-8bit: best loss above the least": { below: 0.5 },
  "adamw: best loss above the least": { below: 0.5 },
};

interface Step {
  readonly event: string;
  readonly loss: number;
  readonly tokens: number;
  readonly tokens_per_s: number;
  readonly memory?: { readonly optimizer: number; readonly weights: number };
}

export const experiment: Experiment = {
  title: "Optimizers at equal steps, each at its best rate",
  about: `A language of 24 symbols whose best possible loss is known, a decoder of two layers of width 32, ${STEPS} steps of 16 rows of 16 symbols with a cosine
after 10 steps of warm-up, without decay (a constant rate for schedule-free). Subspaces and choices of 8 directions or a quarter, anew every 20 steps. Four rates for each optimizer; the loss is that of 200 held-out rows, less the least there is; *spread* is the mean over
rates of what each loses to the best, as in "Small-scale proxies" ([arXiv:2309.14322](https://arxiv.org/abs/2309.14322)). Bytes of states are those that are told
(and allocated), with what rules work in; seconds are of software Vulkan on two cores, and no more than a rough guide.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    Object.keys(RATES)
      .flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`))
      .map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const language = new Language({ seed, size: 24, sharpness: 5 });
      const held = language.rows(200, 1000 + seed);
      const least = language.least(held);
      const [data, test] = [lab.rows("rows", language.rows(2400, seed)), lab.rows("held", held)];
      const net = decoder({ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, vocab_size: 24 });
      const figures: Record<string, number> = {};
      for (const [name, rates] of Object.entries(RATES)) {
        const found: { rate: number; loss: number }[] = [];
        const times: number[] = [];
        for (const rate of rates) {
          const line = `${lab.fresh(net)} --data ${data} --steps ${STEPS} --batch-size 16 --optimizer ${name.split(",")[0]} ${MORE[name] ?? ""} --lr ${rate} --warmup 10`;
          const log = `${name.replaceAll(/\W+/g, "-")}-${rate}.log`;
          await run("train", `${line} --weight-decay 0 --seed ${seed} --save-every 0 --log ${log} --overwrite -o out/`);
          const text = await run("evaluate", `out/ --data held=${test} --metric loss --json`);
          const [result] = (JSON.parse(text) as { rows: { value: number }[] }).rows;
          found.push({ rate, loss: Math.min(result!.value, Math.log(24)) - least });
          const lines: Step[] = readFileSync(join(lab.folder, log), "utf8")
            .trimEnd()
            .split("\n")
            .map((one) => JSON.parse(one));
          const { memory } = lines.find((one) => one.memory)!;
          figures[`${name}: states, bytes a weight`] = (4 * memory!.optimizer) / memory!.weights;
          times.push(
            ...lines.filter(({ event }) => event === "step").map(({ tokens, tokens_per_s: speed }) => tokens / speed),
          );
        }
        const best = found.reduce((a, b) => (b.loss < a.loss ? b : a));
        figures[`${name}: best loss above the least`] = best.loss;
        figures[`${name}: best rate`] = best.rate;
        figures[`${name}: spread over rates`] =
          found.reduce((sum, { loss }) => sum + loss - best.loss, 0) / found.length;
        figures[`${name}: seconds a step`] = times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
      }
      return figures;
    }),
};
