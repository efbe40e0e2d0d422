/** Losses, gradients and advantages of policy gradients against TRL's, in test/golden/align. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { finished, groupRelative, weightedSums } from "../../../src/align/policies/advantages.ts";
import type { Advantages, PolicyMethod, Rewarded } from "../../../src/align/policies/contract.ts";
import { policyLoss } from "../../../src/align/policies/objective.ts";
import { tokenWeights } from "../../../src/align/policies/token-weights.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod, type MethodInfo } from "../../../src/method/registry.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import { neg, scale } from "../../../src/tensor/ops/elementwise.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { largest, readTensors } from "../../golden/formats/tensors.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = await sharedGpu();
const folder = join(import.meta.dir, "../../golden/align");
const methodAt = new URL("../../../src/align/methods/policies/", import.meta.url);
const policy = async (name: string) => (await loadMethod(methodAt, name)) as MethodInfo as PolicyMethod;

interface LossCase {
  readonly loss_type: string;
  readonly epsilon_low: number;
  readonly epsilon_high: number;
  readonly beta?: number;
  readonly delta?: number;
  readonly level?: "sequence";
  readonly temperature?: number;
  readonly no_old?: boolean;
  readonly bias_kl?: boolean;
  readonly max_completion_length?: number;
  readonly num_items_in_batch?: number;
  readonly loss: number;
  readonly grad: string;
  readonly metrics?: Readonly<Record<string, number>>;
}

const files: Record<string, { prompt_length: number; cases: LossCase[] }> = JSON.parse(
  readFileSync(join(folder, "cases.json"), "utf8"),
);

/** The options that mean what a case says. */
const settingsOf = (one: LossCase) => ({
  clip_low: one.loss_type === "cispo" ? 1 : one.epsilon_low,
  clip_high: one.loss_type === "cispo" ? one.epsilon_high - 1 : one.epsilon_high,
  kl: one.beta ?? 0,
  ...(one.loss_type === "rloo" ? {} : { ratio: one.level ?? "token" }),
  ...(one.delta ? { clip_delta: one.delta } : {}),
  kl_unbiased: one.bias_kl ?? false,
  temperature: one.temperature ?? 1,
});

for (const name of ["policy-1", "policy-2"]) {
  const { prompt_length: p, cases } = files[name]!;
  const tensors = await readTensors(join(folder, `${name}.safetensors`));
  const read = (tensor: string) => tensors.get(tensor)!.data;
  const [rows, length, v] = tensors.get("logits")!.shape as [number, number, number];
  const c = length - p;
  const mask = read("completion_mask");
  /** What completions have, (B, C), where the token before each stands: (B, T). */
  const placed = (of: (row: number, j: number) => number) => {
    const all = new Float32Array(rows * length);
    for (let row = 0; row < rows; row++)
      for (let j = 0; j < c; j++) if (mask[row * c + j]! > 0) all[row * length + p - 1 + j] = of(row, j);
    return all;
  };
  const counted = Array.from({ length: rows }, (_, row) =>
    [...mask.subarray(row * c, (row + 1) * c)].reduce((sum, m) => sum + m, 0),
  );

  /** The loss of a method on the logits of the file, its gradient, and what it tells. */
  const run = async (one: LossCase) => {
    const bound = bindDefaults(await policy(one.loss_type.replace("_", "-")), settingsOf(one));
    const { aggregate, temperature } = bound.values as { aggregate: never; temperature: number };
    const [weights] = tokenWeights(aggregate, [counted.map((n) => ({ counted: n }))], one.max_completion_length ?? 0);
    const tokens = counted.reduce((a, b) => a + b, 0);
    // TRL's count of the items of a batch is one of its own, beside the mask.
    const items = aggregate === "global-token" ? tokens / one.num_items_in_batch! : 1;
    const rec = new Recorder(profileOf(gpu));
    const logits = rec.watched(rec.input("logits", [rows * length, v]));
    const cooled = temperature === 1 ? logits : scale(rec, logits, 1 / temperature);
    const nll = crossEntropy(rec, cooled, rec.input("targets", [rows * length], "i32"));
    const { backward, metrics } = policyLoss(rec, bound, neg(rec, rec.reshape(nll, [rows, length])), {
      fresh: one.no_old ?? false,
      rows,
    });
    for (const [key, value] of Object.entries(metrics)) rec.output(key, value);
    rec.backward(backward);
    rec.output("gradient", rec.incoming(logits)!);
    const program = await Program.compile(gpu, rec);
    const given: Record<string, Float32Array | Int32Array> = {
      logits: Float32Array.from(read("logits")),
      targets: Int32Array.from(
        placed((row, j) => read("completion_ids")[row * c + j]! + 1),
        (id) => id - 1,
      ),
      weights: placed((row) => weights![row]! * items),
      shares: placed(() => 1 / tokens),
      lengths: Float32Array.from(counted, (n) => Math.max(1, n)),
      advantages: placed((row) => read("advantages")[row]!),
      old: placed((row, j) => read("old_logps")[row * c + j]!),
      reference: placed((row, j) => read("ref_logps")[row * c + j]!),
    };
    for (const [key, data] of Object.entries(given)) if (program.takes(key)) program.write(key, data);
    program.run({ accumulate: 0, kl_weight: one.beta ?? 0 });
    const told: Record<string, number> = {};
    for (const key of Object.keys(metrics)) told[key] = (await program.read(key))[0]!;
    const gradient = await program.read("gradient");
    program.free();
    return { told, gradient };
  };

  describe(name, () => {
    test.each(cases.map((one, i) => [`${i} ${one.loss_type}`, one] as const))("%s", async (_, one) => {
      const { told, gradient } = await run(one);
      expect(Math.abs(told.loss! - one.loss)).toBeLessThanOrEqual(Math.max(2e-6, 2e-5 * Math.abs(one.loss)));
      const wanted = read(one.grad);
      const off = largest(Array.from(wanted, (g, i) => g - gradient[i]!));
      expect(off).toBeLessThanOrEqual(1e-5 * largest(wanted) + 1e-7);
      const clip = one.metrics?.["clip_ratio/low_mean"];
      // Of whole answers TRL's shares are of answers, and here of tokens.
      if (clip !== undefined && !one.level) {
        expect(told.clip_low).toBeCloseTo(clip, 5);
        expect(told.clip_high).toBeCloseTo(one.metrics!["clip_ratio/high_mean"]!, 5);
      }
      if (one.metrics?.kl !== undefined && !one.bias_kl) expect(told.kl).toBeCloseTo(one.metrics.kl, 5);
    });
  });
}

interface AdvantageCase {
  readonly kind: "grpo" | "rloo";
  readonly scale_rewards?: "group" | "batch" | "none";
  readonly aggregation?: "normalize_then_sum";
  readonly normalize?: boolean;
  readonly advantages: readonly number[];
}

describe.each(["advantages-1", "advantages-2"])("%s", (name) => {
  const { group, reward_weights, rewards, cases } = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
  test.each((cases as AdvantageCase[]).map((one, i) => [`${i} ${one.kind}`, one] as const))("%s", async (_, one) => {
    const { method, values } = bindDefaults(await policy(one.kind), {
      advantage_eps: 1e-4,
      combine: one.aggregation ? "normalized" : "sum",
      whiten: one.normalize ?? false,
      ...(one.scale_rewards ? { scale_rewards: one.scale_rewards } : {}),
    });
    const terms = { terms: rewards, weights: reward_weights };
    const lengths = rewards.map(() => 1);
    const given: Rewarded<never> = {
      ...{
        ...terms,
        rewards: weightedSums(terms),
        group,
        lengths,
        truncated: rewards.map(() => false),
        entropies: undefined,
        measured: undefined,
        modes: undefined,
        penalties: undefined,
        estimates: undefined,
        greedy: undefined,
        values,
      },
    };
    const found: Advantages = finished(
      (method.advantages ?? ((all) => [...groupRelative(all as Rewarded)]))(given),
      values,
    );
    for (const [i, wanted] of one.advantages.entries())
      expect(Math.abs((found[i] as number) - wanted)).toBeLessThan(1e-6);
  });
});
