/**
 * What holds of losses of preferences whatever the likelihoods: where they begin, that a pair turned round turns the
 * gradient round, and limits in which one loss is another. Values are in preferences-golden.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { preferenceBatch } from "../../src/align/preferences/batches.ts";
import type { PreferenceMethod } from "../../src/align/preferences/contract.ts";
import { fallWarning } from "../../src/align/preferences/fall-warning.ts";
import { preferenceObjective } from "../../src/align/preferences/objective.ts";
import { rewardMean } from "../../src/align/preferences/reward-mean.ts";
import { targetsOf } from "../../src/data/targets.ts";
import { type Bound, bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { lossOfLogits } from "./stand-in.ts";

const gpu = await sharedGpu();
const WIDTH = 11;
const PAIRS = 3;

/** Tokens of a prompt of 2 and an answer. */
const sequence = (seed: number, answer: number) => {
  const ids = Int32Array.from({ length: 2 + answer }, (_, i) => (seed * 7 + i * 3) % WIDTH);
  return { ids, labels: ids.map((id, i) => (i < 2 ? -100 : id)), group: 0, place: `row ${seed}` };
};
const items = Array.from({ length: PAIRS }, (_, i) => ({
  first: sequence(i, 3 + i),
  second: sequence(i + 10, 5 - i),
  wanted: i !== 1,
}));
const batchOf = (of: typeof items) => preferenceBatch(of, [...of.keys()], 0);
const batch = batchOf(items);
const rows = batch.tokens.rows * batch.tokens.length;
const logits = normals(5, rows * WIDTH);

/** -log likelihoods under logits, as a reference holds them. */
function nllOf(of: Float32Array): Float32Array {
  return Float32Array.from(targetsOf(batch.tokens), (target, i) => {
    if (target < 0) return 0;
    const row = of.subarray(i * WIDTH, (i + 1) * WIDTH);
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[target]!;
  });
}
const reference = nllOf(normals(6, rows * WIDTH));

interface Asked {
  readonly given?: Readonly<Record<string, unknown>>;
  readonly form?: string;
  readonly formGiven?: Readonly<Record<string, unknown>>;
  readonly logits?: Float32Array;
  readonly reference?: Float32Array;
  readonly of?: typeof batch;
}

async function run(name: string, asked: Asked = {}) {
  const method = (await loadMethod("align", name)) as PreferenceMethod;
  const chosen = bindDefaults(method, asked.given) as Bound<PreferenceMethod>;
  const own = asked.form === undefined ? (method.pairLosses ?? []) : [{ name: asked.form, weight: 1 }];
  const pairLosses = await Promise.all(
    own.map(async (one) => ({
      ...bindDefaults(await loadMethod("pair-loss", one.name), asked.formGiven),
      weight: one.weight,
    })),
  );
  const of = asked.of ?? batch;
  return lossOfLogits(gpu, {
    ...{ logits: asked.logits ?? logits, width: WIDTH, batch: of, tokens: of.tokens, values: { reward_mean: 0 } },
    objective: (model) =>
      preferenceObjective({
        ...{ model, chosen, pairLosses, recompute: false },
        reference: { of: () => asked.reference ?? reference } as never,
      }),
  });
}

const half = (rows / 2) * WIDTH;
const turned = (values: Float32Array) => Float32Array.from([...values.subarray(half), ...values.subarray(0, half)]);
const turnedRows = (values: Float32Array) =>
  Float32Array.from([...values.subarray(rows / 2), ...values.subarray(0, rows / 2)]);
const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
const largest = (a: ArrayLike<number>) => worst(a, new Float32Array(a.length));

describe("where the model is the reference", () => {
  const same = { reference: nllOf(logits) };
  test.each(["sigmoid", "cdpo", "robust", "aot", "aot-unpaired", "sigmoid-norm"])("%s is ln 2", async (form) => {
    expect((await run("dpo", { ...same, form })).metrics.loss).toBeCloseTo(Math.LN2, 5);
  });
  test("rewards, margin and accuracy are 0", async () => {
    const { metrics } = await run("dpo", same);
    for (const name of ["reward_chosen", "reward_rejected", "margin"]) expect(metrics[name]).toBeCloseTo(0, 5);
  });
  test("kto loses half of each answer, and has not moved", async () => {
    const { metrics } = await run("kto", same);
    expect(metrics.loss).toBeCloseTo(0.5, 5);
    expect(metrics.kl).toBeCloseTo(0, 5);
  });
  test("ipo is (1 / 2 beta)^2, sppo twice that, hinge 1", async () => {
    const of = async (form: string) => (await run("dpo", { ...same, form, given: { beta: 0.5 } })).metrics.loss;
    expect(await of("ipo")).toBeCloseTo(1, 4);
    expect(await of("sppo-hard")).toBeCloseTo(2, 4);
    expect(await of("hinge")).toBeCloseTo(1, 5);
  });
});

describe("a pair turned round", () => {
  // Tokens stand where they were: chosen and rejected change places with their likelihoods.
  const round = { of: batchOf(items.map(({ first, second, wanted }) => ({ first: second, second: first, wanted }))) };
  const same = { reference: nllOf(logits) };
  test.each(["sigmoid", "cdpo", "robust", "hinge", "ipo", "sigmoid-norm"])(
    "%s turns the gradient round at the start",
    async (form) => {
      const { gradient } = await run("dpo", { ...same, form });
      const other = await run("dpo", { form, ...round, logits: turned(logits), reference: turnedRows(same.reference) });
      expect(largest(gradient)).toBeGreaterThan(1e-4);
      expect(
        worst(
          turned(gradient),
          other.gradient.map((x) => -x),
        ),
      ).toBeLessThan(1e-6);
    },
  );
  test("away from the start, sizes follow sigmoid(-beta h) and signs turn", async () => {
    const [one, other] = [
      await run("dpo"),
      await run("dpo", { ...round, logits: turned(logits), reference: turnedRows(reference) }),
    ];
    // Pair by pair the gradients are (1 - s) and -s times the same direction: their difference is that direction.
    const whole = worst(turned(one.gradient), other.gradient);
    expect(whole).toBeGreaterThan(1e-4);
    const signs = turned(one.gradient).map((x, i) => x * other.gradient[i]!);
    expect(Math.max(...signs)).toBeLessThanOrEqual(0);
  });
});

describe("limits", () => {
  test.each(["sigmoid", "cdpo", "robust", "hinge", "exo-pair", "nca-pair", "apo-zero", "apo-down", "discopop"])(
    "%s has a gradient that falls with beta",
    async (form) => {
      const [small, smaller] = [
        await run("dpo", { form, given: { beta: 1e-3 } }),
        await run("dpo", { form, given: { beta: 1e-5 } }),
      ];
      expect(largest(smaller.gradient)).toBeLessThan(0.02 * largest(small.gradient) + 1e-12);
    },
  );
  test("clipped pairs of the hinge have no gradient", async () => {
    const { metrics, gradient } = await run("dpo", {
      form: "hinge",
      given: { beta: 100 },
      reference: nllOf(logits).map((x, i) => (i < rows / 2 ? x + 1 : x - 1) * Number(x > 0)),
    });
    expect([metrics.loss, metrics.accuracy, largest(gradient)]).toEqual([0, 1, 0]);
  });
  test("rpo without eta is dpo, and its gradient is dpo's and that of the cross-entropy", async () => {
    const dpo = await run("dpo");
    expect(worst((await run("rpo", { given: { eta: 0 } })).gradient, dpo.gradient)).toBe(0);
    const sft = await run("dpo", { form: "sft" });
    const rpo = await run("rpo", { given: { eta: 0.3, nll: "mean" } });
    expect(
      worst(
        rpo.gradient,
        dpo.gradient.map((x, i) => x + 0.3 * sft.gradient[i]!),
      ),
    ).toBeLessThan(1e-6);
    expect(rpo.metrics.loss).toBeCloseTo(dpo.metrics.loss! + 0.3 * sft.metrics.loss!, 5);
  });
  test("an answer of twice the tokens, each as likely, doubles rpo's sum and leaves its mean", async () => {
    const flat = new Float32Array(rows * WIDTH);
    const at = async (tokens: number, nll: string) => {
      const of = batchOf(
        Array.from({ length: PAIRS }, (_, i) => ({
          first: sequence(i, tokens),
          second: sequence(i, tokens),
          wanted: true,
        })),
      );
      const zero = Float32Array.from(targetsOf(of.tokens), (target) => (target < 0 ? 0 : Math.log(WIDTH)));
      const { metrics } = await run("rpo", { of, logits: flat, reference: zero, given: { eta: 1, beta: 1, nll } });
      return metrics.loss! - Math.LN2;
    };
    expect((await at(8, "sum")) / (await at(4, "sum"))).toBeCloseTo(2, 4);
    expect((await at(8, "mean")) / (await at(4, "mean"))).toBeCloseTo(1, 5);
  });
  test("mpo is its three forms, weighed", async () => {
    const [mpo, ...forms] = [
      await run("mpo"),
      await run("dpo", { form: "sigmoid" }),
      await run("dpo", { form: "bco-pair" }),
      await run("dpo", { form: "sft" }),
    ];
    const sum = [0.8, 0.2, 1].reduce((all, weight, i) => all + weight * forms[i]!.metrics.loss!, 0);
    expect(mpo.metrics.loss).toBeCloseTo(sum, 5);
  });
  test("identical answers have no gradient under dpo", async () => {
    const of = batchOf(items.map(({ first }) => ({ first, second: first, wanted: true })));
    const same = Float32Array.from([...logits.subarray(0, half), ...logits.subarray(0, half)]);
    const { gradient } = await run("dpo", { of, logits: same, reference: new Float32Array(rows) });
    const summed = gradient.subarray(0, half).map((x, i) => x + gradient[half + i]!);
    expect(largest(summed)).toBeLessThan(1e-7);
  });
});

test("ipo is bounded where dpo runs away: beyond its margin the gradient turns back", async () => {
  const away = nllOf(logits).map((x, i) => (i < rows / 2 ? x + 40 : x - 40) * Number(x > 0)); // all margins are large
  const step = async (form: string) => {
    const { gradient } = await run("dpo", { form, reference: away });
    const moved = logits.map((x, i) => x - 10 * gradient[i]!);
    return (
      (await run("dpo", { form, reference: away, logits: moved })).metrics.margin! -
      (await run("dpo", { form, reference: away })).metrics.margin!
    );
  };
  expect(await step("ipo")).toBeLessThan(0);
  expect(await step("sigmoid")).toBeGreaterThanOrEqual(0);
});

test("damaged states of what follows the rewards are refused by what they are", () => {
  expect(() => rewardMean().load({ mean: "much", pairs: 1 })).toThrow("the saved mean of rewards cannot be read");
  const warning = () => fallWarning(() => {}, "");
  expect(() => warning().load({ first: [1], chosen: [], rejected: [], said: false })).toThrow("cannot be read");
  const kept = warning();
  kept.load({ first: null, chosen: [-1], rejected: [-2], said: false });
  expect(kept.state()).toEqual({ first: null, chosen: [-1], rejected: [-2], said: false });
});
