/**
 * Policies in the smallest world there is: a decoder of a few thousand weights writes letters, and rewards are
 * functions of them. A run takes seconds.
 */
import type { SharedValues } from "../../src/align/policies/contract.ts";
import type { RewardTerm } from "../../src/align/verifying/rewards.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Training } from "../../src/run/training/train-model.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { bound, policyWorld, tinyModel, type World } from "../align/policies/world.ts";

export interface LetterRun {
  readonly method: string;
  readonly settings: Partial<SharedValues> & Record<string, unknown>;
  readonly terms: readonly RewardTerm[];
  readonly seed: number;
  readonly steps: number;
  readonly lr?: number;
  readonly held?: World["held"];
  readonly tuning?: World["tuning"];
  /** Whether --temperature auto is asked for. */
  readonly warms?: boolean;
  /** Trainings that follow one another, each with an optimizer of its own; one when left out. */
  readonly rounds?: number;
  /** Whether the model as it was takes part. */
  readonly reference?: boolean;
}

let opened: Promise<Gpu> | undefined;

/** One of four letters each. */
export const PROMPTS = [[1], [2], [3], [4]];

/** What is told of every rollout of a run, the first one by the model as it was. */
export async function lettersRun(run: LetterRun): Promise<readonly Readonly<Record<string, number>>[]> {
  const { method, settings, terms, seed, steps, lr = 1e-2, held, tuning, warms, rounds = 1, reference } = run;
  opened ??= openGpu({});
  const gpu = await opened;
  const models = await Promise.all((reference ? [0, 1] : [0]).map(() => tinyModel(gpu, undefined, seed)));
  const [model, other] = models;
  const chosen = await bound(method, { group: 8, prompts_per_step: 8, max_new_tokens: 6, ...settings });
  const rows = 8 * (chosen.method.choice?.most(chosen.values) ?? 8);
  const world = policyWorld({
    ...{ model: model!, chosen, prompts: PROMPTS, terms, rows, seed },
    ...(held ? { held } : {}),
    ...(tuning ? { tuning } : {}),
    ...(warms ? { warms } : {}),
    ...(other ? { reference: other } : {}),
  });
  for (let round = 0; round < rounds; round++) {
    const training = await Training.make({
      ...{ model: model!, source: world.source, objective: world.objective, controllers: [world.controller] },
      ...{ extra: world.head?.parameters() ?? [], optimizer: bindDefaults(adamw, { weight_decay: 0 }) },
      ...{ rate: () => lr, steps: steps / rounds, accumulate: 1, seed },
    });
    await training.run({ signal: new AbortController().signal });
    await training.free();
  }
  world.free();
  for (const own of models) own.free();
  return world.told;
}
