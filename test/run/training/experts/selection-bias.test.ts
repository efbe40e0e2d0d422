/** Biases of the choice: their rules against plain arithmetic, and what theory says of fixed scores. */
import { expect, test } from "bun:test";
import { StepLoads } from "../../../../src/run/training/experts/router-losses.ts";
import { parseBiasStep, SelectionBias } from "../../../../src/run/training/experts/selection-bias.ts";
import { expertLoad } from "../../../../src/tensor/ops/balance.ts";
import { route } from "../../../../src/tensor/ops/router.ts";
import { Parameter } from "../../../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../../../src/tensor/program.ts";
import { Recorder } from "../../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";
import { choicesFor, loadsOf, mixture, OTHERS, ROWS, training } from "./mixtures.ts";

const gpu = await sharedGpu();

test("steps are constant, or fall with the number of the step or its root", () => {
  expect([1, 4].map(parseBiasStep("1e-3"))).toEqual([1e-3, 1e-3]);
  expect([1, 4].map(parseBiasStep("0.2/n"))).toEqual([0.2, 0.05]);
  expect([1, 4].map(parseBiasStep("0.2/sqrt-n"))).toEqual([0.2, 0.1]);
  for (const wrong of ["", "fast", "-1", "1/2", "1/sqrt"])
    expect(() => parseBiasStep(wrong)).toThrow("is not U, U/n or U/sqrt-n");
});

const biasOf = async (model: { parameters: ReadonlyMap<string, Parameter> }, layer = 1) => {
  const bias = model.parameters.get(`model.layers.${layer}.mlp.gate.e_score_correction_bias`)!;
  return [...(await gpu.readFloats(bias.buffer, bias.size))];
};

test.each(["sign", "proportional"] as const)("%s: biases follow the counts of the whole step", async (rule) => {
  const u = 0.01;
  const options = { moe_balance: "bias", bias_step: `${u}/n`, bias_rule: rule, bias_until: 0.2 } as const;
  const run = await training(mixture("glm4_moe"), options, { steps: 10 });
  const expected = new Float64Array((await biasOf(run.model)).length);
  for (const step of [1, 2]) {
    const own = await Promise.all(
      [ROWS, OTHERS].map(async (b) => loadsOf(b, (await choicesFor(run.model, b)).get(1)!)),
    );
    const counts = own[0]!.counts.map((count, i) => count + own[1]!.counts[i]!);
    const even = counts.reduce((a, b) => a + b) / counts.length;
    for (const [i, count] of counts.entries())
      expected[i]! += (u / step) * (rule === "sign" ? Math.sign(even - count) : (even - count) / even);
    const metrics = await run.step(step, [ROWS, OTHERS]);
    expect(metrics).not.toHaveProperty("balance_loss");
    expect(metrics.max_violation).toBeGreaterThan(0);
    for (const [i, x] of (await biasOf(run.model)).entries()) expect(x).toBeCloseTo(expected[i]!, 6);
  }
  const last = await biasOf(run.model);
  expect(Math.max(...last)).toBeGreaterThan(0);
  await run.step(3, [ROWS, OTHERS]); // a fifth of ten steps is over
  expect(await biasOf(run.model)).toEqual(last);
  run.free();
});

test("a step of 0 is a training without balance, and a loss of rows may join", async () => {
  const plain = await training(mixture("glm4_moe"), { moe_balance: "none" });
  const still = await training(mixture("glm4_moe"), { moe_balance: "bias", bias_step: "0" });
  const beside = await training(mixture("glm4_moe"), { moe_balance: "bias", moe_balance_coef: 0.1 });
  const [a, b, c] = await Promise.all([plain, still, beside].map((run) => run.step(1, [ROWS])));
  expect(b!.loss).toBe(a!.loss!);
  expect(c!.loss! - a!.loss!).toBeCloseTo(0.1 * c!.balance_loss!, 5);
  for (const run of [plain, still, beside]) run.free();
});

/** Fixed scores of tokens, of which most like the first experts; their choice under the bias, and how it moves. */
async function fixedScores(u: number, k: number) {
  const [n, e] = [240, 6];
  const logits = normals(5, n * e).map((x, i) => x + (i % e < 2 ? 1.2 : 0));
  const bias = new Parameter(gpu, "bias", [e], "f32", false);
  bias.write(new Float32Array(e));
  const loads = new StepLoads(gpu);
  const rec = new Recorder(profileOf(gpu), { training: false });
  const scores = rec.input("logits", [n, e]);
  const marks = rec.constant(new Float32Array(n).fill(1), [n], "marks");
  const options = { k, normalize: false, scoring: "sigmoid", bias: rec.parameter(bias) } as const;
  const { plan, weights } = route(rec, scores, options);
  loads.add(rec, 0, expertLoad(rec, plan.expertOf, marks, { experts: e }), 0);
  rec.output("experts", plan.expertOf);
  rec.output("weights", weights);
  const program = await Program.compile(gpu, rec);
  program.write("logits", logits);
  const mover = new SelectionBias(gpu, new Map([[0, bias]]), loads, { step: () => u, rule: "sign", last: 1e9 });
  const look = async () => {
    program.run();
    const experts = new Uint32Array((await program.read("experts")).slice().buffer);
    const counts = new Float64Array(e);
    for (const expert of experts) counts[expert]!++;
    return { experts, counts, weights: await program.read("weights"), bias: await gpu.readFloats(bias.buffer, e) };
  };
  return {
    ...{ n, e, logits, bias, look },
    move: () => mover.after(1),
    free: () => {
      program.free();
      mover.free();
      loads.free();
      bias.free();
    },
  };
}

test("fixed scores: tokens leave full experts for emptier ones, until all are even within a step", async () => {
  const u = 0.01;
  const { n, e, logits, look, move, free } = await fixedScores(u, 1);
  const score = (token: number, expert: number) => 1 / (1 + Math.exp(-logits[token * e + expert]!));
  let before = await look();
  const dual = ({ bias }: typeof before) => {
    // The price of the experts' places, and the best that each token finds at these prices.
    let value = -(n / e) * bias.reduce((sum, b) => sum + b, 0);
    for (let i = 0; i < n; i++) value += Math.max(...bias.map((b, j) => score(i, j) + b));
    return value;
  };
  const violation = ({ counts }: typeof before) => Math.max(...counts) / (n / e) - 1;
  const start = violation(before);
  for (let round = 0; round < 20; round++) {
    await move();
    const now = await look();
    for (let i = 0; i < n; i++) {
      const [from, to] = [before.experts[i]!, now.experts[i]!];
      if (from === to) continue;
      expect(before.counts[from]!).toBeGreaterThanOrEqual(before.counts[to]!);
      const gap = score(i, from) + before.bias[from]! - score(i, to) - before.bias[to]!;
      expect(gap).toBeLessThanOrEqual(2 * u + 1e-6);
    }
    // It falls until loads are even within a step, and then stays there.
    if (violation(before) > 0.3) expect(dual(now)).toBeLessThan(dual(before));
    before = now;
  }
  expect(start).toBeGreaterThan(1);
  expect(violation(before)).toBeLessThan(0.25);
  free();
});

test("mixing weights know nothing of the bias: a constant on all changes no choice and no weight", async () => {
  const { e, bias, look, free } = await fixedScores(0.01, 2);
  const before = await look();
  bias.write(new Float32Array(e).fill(0.5));
  const after = await look();
  expect(after.experts).toEqual(before.experts);
  expect(after.weights).toEqual(before.weights);
  free();
});
