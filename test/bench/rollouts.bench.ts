/**
 * Rollouts beside `sample`, and a step of policy gradients beside one of `train`.
 *
 *   bun test/bench/rollouts.bench.ts [--device NAME] [--rounds N]
 *
 * The small Llama of the other benches; 8 prompts of 32 tokens with 8 answers of 32 tokens each, and steps over 8 rows
 * of 64 tokens. Everything takes turns in one run, and the least of each is compared.
 */

import { method as grpo } from "../../src/align/methods/policies/grpo.ts";
import type { PolicyBatch } from "../../src/align/policies/objective.ts";
import { policyObjective } from "../../src/align/policies/objective.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { Rollouts } from "../../src/run/generating/rollouts.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { option, rowsOf, SMALL_DECODER } from "./small-decoder.ts";
import { trainerOf } from "./small-training.ts";

const ROUNDS = Number(option("--rounds") ?? 5);
const [PROMPTS, GROUP, PROMPT, ANSWER] = [8, 8, 32, 32];
const [ROWS, LENGTH] = [8, PROMPT + ANSWER];

const gpu = await openGpu({ device: option("--device") });
const model = await Model.fresh(gpu, SMALL_DECODER, "bench", { seed: 0 });
const prompts = Array.from({ length: PROMPTS }, (_, i) => ({
  ids: Array.from({ length: PROMPT }, (_, j) => (i * 7919 + j * j * 31 + j) % SMALL_DECODER.vocab_size),
  key: `${i}`,
  name: `prompt ${i + 1}`,
}));

const tokens = rowsOf(ROWS, LENGTH);
const chosen = bindDefaults(grpo);
const counted = ROWS * (LENGTH - 1);
const batch: PolicyBatch = {
  tokens,
  weights: new Float32Array(ROWS * LENGTH).fill(1 / counted),
  shares: new Float32Array(ROWS * LENGTH).fill(1 / counted),
  lengths: new Float32Array(ROWS).fill(LENGTH),
  advantages: Float32Array.from({ length: ROWS * LENGTH }, (_, i) => (Math.floor(i / LENGTH) % 2 ? 1 : -1)),
  traits: undefined,
  old: new Float32Array(ROWS * LENGTH).fill(-6),
  reference: undefined,
  estimates: undefined,
  returns: undefined,
  best: undefined,
  worst: undefined,
  pairs: undefined,
  told: {},
};
const plain = await trainerOf(gpu, model, crossEntropyObjective(model));
const policy = await trainerOf(gpu, model, policyObjective({ model, chosen, recompute: false }));
const rollouts = new Rollouts(model, undefined);
const [many, one] = [new Generator(model), new Generator(model)];
const sampled = { ...GREEDY, temperature: 1, maxTokens: ANSWER, stop: [] };
const rows = prompts.flatMap(({ ids }) => Array.from({ length: GROUP }, () => ids));

let step = 0;
/** Each gives how many tokens it made or trained on. */
const works: Readonly<Record<string, () => Promise<number>>> = {
  "rollouts, 8 x 8": async () => {
    const settings = { group: GROUP, temperature: 1, maxTokens: ANSWER, ends: [], stops: [], seed: 0 };
    const made = await rollouts.sample(prompts, settings);
    return made.reduce((sum, { ids }) => sum + ids.length, 0);
  },
  "sample, batches of 64": async () => {
    const made = await many.complete(rows, { ...sampled, batch: rows.length });
    return made.reduce((sum, { length }) => sum + length, 0);
  },
  "sample, one by one (8)": async () => {
    const made = await one.complete(rows.slice(0, PROMPTS), { ...sampled, batch: 1 });
    return made.reduce((sum, { length }) => sum + length, 0);
  },
  "train, a step": async () => {
    await (await plain.step(++step, 1e-5, [tokens])).result;
    return ROWS * LENGTH;
  },
  "align grpo, a step": async () => {
    await (await policy.step(++step, 1e-5, [batch])).result;
    return ROWS * LENGTH;
  },
};

const least = new Map<string, { seconds: number; tokens: number }>();
for (let round = 0; round <= ROUNDS; round++) {
  for (const [name, work] of Object.entries(works)) {
    const began = performance.now();
    const made = await work();
    const seconds = (performance.now() - began) / 1000;
    // The first round compiles.
    if (round > 0 && seconds < (least.get(name)?.seconds ?? Number.POSITIVE_INFINITY))
      least.set(name, { seconds, tokens: made });
  }
}
process.stdout.write(`${gpu.adapter.description || gpu.adapter.device}\n`);
for (const [name, { seconds, tokens: made }] of least)
  process.stdout.write(`${name.padEnd(24)}${seconds.toFixed(3)} s  ${Math.round(made / seconds)} tokens/s\n`);
process.exit(0);
