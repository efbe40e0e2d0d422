/** The laws that objectives, edits and smoothings of unlearning claim. */
import { afterAll, describe, expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed, type Laws } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { Model } from "../../src/model/model.ts";
import {
  EDIT_LAWS,
  type EditLaw,
  OBJECTIVE_LAWS,
  type ObjectiveLaw,
  type UnlearnEdit,
  type UnlearnMethod,
  type UnlearnObjective,
} from "../../src/unlearn/contract.ts";
import { SMOOTHING_LAWS, type Smoothing, type SmoothingLaw } from "../../src/unlearn/smoothing.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { Frame, lengthOf, tokenMean } from "../unlearn/frame.ts";
import { gradient, START, smoothed } from "../unlearn/smoothed.ts";

const gpu = await sharedGpu();
const methods = await loadMethods("unlearn");
const frame = await Frame.make(gpu);
afterAll(() => frame.free());

/** One test for each law that a method claims, and one that it states all of them. */
function describeLaws<M extends { readonly name: string; readonly laws: Laws<L> }, L extends string>(
  list: readonly M[],
  laws: Readonly<Record<L, string>>,
  checks: Readonly<Record<L, (method: M) => Promise<void>>>,
): void {
  describe.each(list.map((method) => [method.name, method] as const))("%s", (_, method) => {
    test("claims every law of its kind, or says why it does not", () => {
      expect(Object.keys(method.laws).sort()).toEqual(Object.keys(laws).sort());
      for (const claim of Object.values(method.laws))
        if (claim !== true) expect(String(claim).length).toBeGreaterThan(10);
    });
    for (const law of claimed(method.laws)) test(laws[law], () => checks[law](method));
  });
}

/** Of theta0's likelihoods, so that the model has forgotten a little or learnt more. */
const SHIFT = 1;

const objectives: Readonly<Record<ObjectiveLaw, (method: UnlearnObjective) => Promise<void>>> = {
  async gradientIsSlope(method) {
    const { gradients } = await frame.run(method, { part: "forget", shift: SHIFT });
    const length = lengthOf(gradients);
    const at = (distance: number) =>
      frame.with(
        (weights, name) => weights.map((w, i) => w + (distance * gradients.get(name)![i]!) / length),
        async () => (await frame.run(method, { part: "forget", shift: SHIFT })).metrics.forget_loss!,
      );
    const h = 2e-3;
    const slope = (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h);
    expect(Math.abs(slope / length - 1)).toBeLessThan(5e-3);
  },

  async forgets(method) {
    const { gradients } = await frame.run(method, { part: "forget" });
    const step = 0.01 / lengthOf(gradients);
    const { metrics } = await frame.with(
      (weights, name) => weights.map((w, i) => w - step * gradients.get(name)![i]!),
      () => frame.run(ascent, { part: "forget" }),
    );
    expect(-metrics.forget_loss!).toBeGreaterThan(tokenMean(frame.nll.forget, (x) => x) + 1e-4);
  },

  async bounded(method) {
    // A louder head is ever surer, and mostly wrong.
    for (const size of [1, 30, 1000]) {
      const { metrics } = await frame.with(
        (weights, name) => (name.startsWith("lm_head") ? weights.map((w) => size * w) : weights),
        () => frame.run(method, { part: "forget" }),
      );
      expect(metrics.forget_loss).toBeGreaterThan(-1);
    }
  },

  async batchesAdd(method) {
    const parts = method.weights.retain === 0 ? (["forget"] as const) : (["forget", "retain"] as const);
    for (const part of parts) {
      const whole = await frame.run(method, { part });
      const cut = await frame.run(method, { part, batches: [[2], [0, 3], [1]], weight: 0.5 });
      const most = [...whole.gradients.values()].reduce((a, g) => Math.max(a, ...g.map(Math.abs)), 0);
      const metric = `${part}_loss`;
      // A model that has not moved yet is not pulled back to where it was; what is left is rounding.
      const still = part === "retain" && (method.retain === "kl" || method.retain === "states");
      expect(most > 1e-4).toBe(!still);
      const allowed = still ? 1e-5 : 3e-5 * most;
      for (const [tensor, g] of whole.gradients)
        for (const [i, x] of g.entries())
          expect(Math.abs(x - 2 * cut.gradients.get(tensor)![i]!)).toBeLessThan(allowed);
      const expected = whole.metrics[metric]!;
      expect(Math.abs(expected - cut.metrics[metric]!)).toBeLessThan(1e-5 * (1 + Math.abs(expected)));
      if (part === "retain" && !still)
        expect(Math.abs(expected - tokenMean(frame.nll.retain, (x) => x))).toBeLessThan(1e-4);
    }
  },
};

const isObjective = (method: UnlearnMethod): method is UnlearnObjective => method.kind === "objective";
const isEdit = (method: UnlearnMethod): method is UnlearnEdit => method.kind === "edit";
/** Tells how likely rows are: its forget loss is the mean log-likelihood of a token. */
const ascent = methods.filter(isObjective).find(({ name }) => name === "grad-ascent")!;

describe("objectives", () => describeLaws(methods.filter(isObjective), OBJECTIVE_LAWS, objectives));

/** An edit of a tiny model under its defaults: the weights before and after. */
async function edited(method: UnlearnEdit, { turned = false, freeze = (_: string): boolean => false } = {}) {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 1, freeze });
  const weights = async () => {
    const found = new Map<string, Float32Array>();
    for (const { name, buffer, size } of model.parameters.values()) found.set(name, await gpu.readFloats(buffer, size));
    return found;
  };
  const before = await weights();
  const rows = (first: number, count: number) =>
    Array.from({ length: count }, (_, row) => {
      const unit = randomUnits(first + row);
      const ids = Int32Array.from({ length: 6 }, () => Math.floor(50 * unit()));
      return collate([[{ ids, labels: ids, group: 0, place: `${row}` }]]);
    });
  const [forget, retain] = [rows(1, 2), rows(20, 9)];
  const { values } = bindDefaults(method);
  await method.edit!({
    model,
    forget: turned ? forget.toReversed() : forget,
    retain: turned ? retain.toReversed() : retain,
    values,
    signal: new AbortController().signal,
    warn: () => {},
    done: () => {},
  });
  const after = await weights();
  model.free();
  return { before, after };
}

const edits: Readonly<Record<EditLaw, (method: UnlearnEdit) => Promise<void>>> = {
  async neverGrows(method) {
    const { before, after } = await edited(method);
    let changed = 0;
    for (const [name, values] of before)
      for (const [i, w] of values.entries()) {
        const now = after.get(name)![i]!;
        if (now !== w) changed++;
        expect(Math.abs(now)).toBeLessThanOrEqual(Math.abs(w));
        expect(now * w).toBeGreaterThanOrEqual(0);
      }
    expect(changed).toBeGreaterThan(10);
  },
  async leavesFrozen(method) {
    const free = await edited(method);
    const moved = [...free.before.keys()].filter(
      (name) => !Bun.deepEquals(free.before.get(name), free.after.get(name)),
    );
    expect(moved.length).toBeGreaterThan(1);
    const frozen = moved.filter((_, i) => i % 2 === 0);
    const { before, after } = await edited(method, { freeze: (name) => frozen.includes(name) });
    for (const name of frozen) expect(after.get(name)).toEqual(before.get(name)!);
    expect(after).not.toEqual(before);
  },
  async orderFree(method) {
    const [one, other] = [(await edited(method)).after, (await edited(method, { turned: true })).after];
    for (const [name, values] of one)
      for (const [i, w] of values.entries())
        expect(Math.abs(other.get(name)![i]! - w)).toBeLessThan(1e-4 * Math.abs(w) + 1e-9);
  },
};

describe("edits", () => describeLaws(methods.filter(isEdit), EDIT_LAWS, edits));

const plain = [...Float32Array.from(gradient([...Float32Array.from(START)]))];
const GIVEN = { rho: 0.05, smooth_weight: 2 };

const smoothings: Readonly<Record<SmoothingLaw, (method: Smoothing) => Promise<void>>> = {
  async plainAtZero(method) {
    const { result, places } = await smoothed(method, { ...GIVEN, rho: 0 });
    expect(result).toEqual(plain);
    expect(places).toHaveLength(1);
  },
  async plainWithoutWeight(method) {
    const { result, places } = await smoothed(method, { ...GIVEN, smooth_weight: 0 });
    expect(result).toEqual(plain);
    expect(places).toHaveLength(1);
  },
  async weightsReturn(method) {
    const { after, reports, result } = await smoothed(method, GIVEN);
    expect(after).toEqual([...Float32Array.from(START)]);
    expect(reports).toBe(1);
    expect(result).not.toEqual(plain);
  },
  async sameForSeed(method) {
    expect(await smoothed(method, GIVEN)).toEqual(await smoothed(method, GIVEN));
  },
};

describe("smoothings", async () => describeLaws(await loadMethods("smoothing"), SMOOTHING_LAWS, smoothings));
