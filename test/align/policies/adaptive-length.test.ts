/** Group RL with a penalty of length for easy prompts: right answers stay, and get shorter. */
import { expect, test } from "bun:test";
import { method } from "../../../src/align/methods/verifiers/adaptive-length.ts";
import type { Answered, VerifierSetup } from "../../../src/align/verifying/contract.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Training } from "../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { bound, policyWorld, tinyModel } from "./world.ts";

const gpu = await sharedGpu();
const MOST = 8;
/** Right where there is an a or a b somewhere: an answer of any length may be. */
const isRight = ({ answer }: Answered) => (/[ab]/.test(answer) ? 1 : 0);

/** Share of right answers and mean length over the last rollouts of a run. */
async function trained(lambda: number) {
  const model = await tinyModel(gpu);
  const { values } = bindDefaults(method, { lambda });
  const verifier = await method.make({
    ...{ values, text: "", maxTokens: MOST },
    judge: async () => ({ name: "right", score: async (answers) => answers.map(isRight) }),
  } as Partial<VerifierSetup> as VerifierSetup<typeof method.options>);
  const chosen = await bound("grpo", { group: 8, max_new_tokens: MOST, prompts_per_step: 4 });
  const world = policyWorld({
    ...{ model, chosen, prompts: [[1], [2], [3], [4]], rows: 32 },
    terms: [
      { name: "adaptive-length", weight: 1, verifier: { name: "adaptive-length", ...verifier } },
      // Weighs nothing: it is told.
      { name: "right", weight: 0, verifier: { name: "right", score: async (answers) => answers.map(isRight) } },
    ],
  });
  const training = await Training.make({
    ...{ model, source: world.source, objective: world.objective, controllers: [world.controller], extra: [] },
    ...{ optimizer: bindDefaults(adamw), rate: () => 1e-2, steps: 40, accumulate: 1, seed: 0 },
  });
  await training.run({ signal: new AbortController().signal, onStep: () => {} });
  await training.free();
  world.free();
  model.free();
  const last = world.told.slice(-8);
  const mean = (name: string) => last.reduce((sum, told) => sum + told[name]!, 0) / last.length;
  return { right: mean("reward.right"), length: mean("length") };
}

test("the penalty shortens answers that are right, and without it they stay as long as they may be", async () => {
  const [free, held] = [await trained(0), await trained(0.5)];
  expect(free.right).toBeGreaterThan(0.95);
  expect(held.right).toBeGreaterThan(0.95);
  expect(held.length).toBeLessThan(0.6 * free.length);
});
