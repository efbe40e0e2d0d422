/** What all samplers promise, and the laws that each claims in its file. */
import { describe, expect, test } from "bun:test";
import type { Feedback, SamplerLaw } from "../../src/curriculum/contract.ts";
import { UserError } from "../../src/errors.ts";
import { claimed } from "../../src/method/laws.ts";
import { methodFiles } from "../../src/method/registry.ts";
import { optionValue } from "../../src/method/validate.ts";
import { exponentiated, smoothed } from "../../src/run/simplex.ts";
import {
  type AnySampler,
  driveAny,
  groupsOf,
  type Heard,
  linearWorld,
  make,
  samplers,
  saturatingWorld,
} from "./world.ts";

type Settings = Readonly<Record<string, unknown>>;

const NAMES = ["a", "b", "c", "d"];
const ROWS: Record<string, number> = { a: 40, b: 10, c: 25, d: 90 };
const STEPS = 600;
const GRAPH: Record<string, Record<string, number>> = {
  a: { a: 1, b: 0.5, c: 0, d: 0.1 },
  b: { a: 0, b: 1, c: 0.7, d: 0 },
  c: { a: 0.2, b: 0, c: 1, d: 0.3 },
  d: { a: 0, b: 0, c: 0, d: 1 },
};
const HEIGHT: Record<string, number> = { a: 3, b: 1, c: 2, d: 2.5 };
const SPEED: Record<string, number> = { a: 0.01, b: 0.03, c: 0.02, d: 0.004 };

/** Settings for groups in another order, or fewer: lists of four numbers have one for each of a, b, c and d. */
const settingsFor = (trial: Settings, names: readonly string[]): Settings =>
  Object.fromEntries(
    Object.entries(trial).map(([name, value]) => [
      name,
      Array.isArray(value) && value.length === NAMES.length && typeof value[0] === "number"
        ? names.map((group) => value[NAMES.indexOf(group)])
        : value,
    ]),
  );

/** A sampler over these groups, in this order. */
function over(method: AnySampler, trial: Settings, names: readonly string[] = NAMES) {
  return make(method, {
    groups: groupsOf(Object.fromEntries(names.map((name) => [name, ROWS[name]!]))),
    steps: STEPS,
    seed: 5,
    values: settingsFor(trial, names),
  });
}

const saturating = (names: readonly string[] = NAMES) =>
  saturatingWorld(
    names.map(() => 0.4),
    names.map((name) => HEIGHT[name]!),
    names.map((name) => SPEED[name]!),
  );
const linear = (names: readonly string[] = NAMES) =>
  linearWorld(
    names.map((name) => 5 + HEIGHT[name]!),
    names.map((i) => names.map((j) => 0.003 * SPEED[i]! * 30 * GRAPH[j]![i]!)),
  );

/** What is heard when nothing is known of group b. */
function withoutB(feedback: Feedback): Feedback {
  const without = (values: readonly number[] = []) => values.map((value, i) => (i === 1 ? Number.NaN : value));
  const unknown = { product: Number.NaN, norm: Number.NaN };
  const alignments = feedback.alignments?.map((known, i) => (i === 1 ? unknown : known)) ?? [];
  return { ...feedback, losses: without(feedback.losses), training: without(feedback.training), alignments };
}

/** Shares and weights of every segment, in the order of the names. */
const mixtures = (heard: readonly Heard[], names: readonly string[] = NAMES): number[][] =>
  heard.map(({ segment: { probs, weights = [] } }) =>
    NAMES.flatMap((name) => [probs, weights].map((values) => values[names.indexOf(name)] ?? 1)),
  );

function expectSame(found: readonly number[][], expected: readonly number[][]): void {
  expect(found.length).toBe(expected.length);
  for (const [i, values] of expected.entries())
    for (const [j, value] of values.entries()) expect(found[i]![j]!).toBeCloseTo(value, 9);
}

type LawOfTrial = Exclude<SamplerLaw, "followsLosses">;
const LAWS: Record<LawOfTrial, (method: AnySampler, trial: Settings) => Promise<void>> = {
  async keepsEveryGroup(method, trial) {
    for (const world of [saturating(), linear()])
      for (const { segment } of await driveAny(over(method, trial), world, STEPS))
        expect(Math.min(...segment.probs)).toBeGreaterThan(0);
  },
  async anyGroupOrder(method, trial) {
    const turned = ["c", "a", "d", "b"];
    const there = await driveAny(over(method, trial), linear(), STEPS);
    const here = await driveAny(over(method, trial, turned), linear(turned), STEPS);
    expectSame(mixtures(here, turned), mixtures(there));
  },
  async shiftInvariant(method, trial) {
    const shifted = async (by: number) => {
      const hear = (feedback: Feedback) => ({ ...feedback, losses: feedback.losses!.map((loss) => loss + by) });
      return mixtures(await driveAny(over(method, trial), saturating(), STEPS, { hear }));
    };
    expectSame(await shifted(3), await shifted(0));
  },
  async stepZero(method, trial) {
    const [first, ...more] = mixtures(await driveAny(over(method, { ...trial, eta: 0 }), saturating(), STEPS));
    expect(more.length).toBeGreaterThan(1);
    for (const mixture of more) expectSame([mixture], [first!]);
  },
};

/** How far shares or weights move in a training. */
async function movement(method: AnySampler, trial: Settings): Promise<number> {
  const heard = mixtures(await driveAny(over(method, trial), saturating(), STEPS));
  return Math.max(...heard.at(-1)!.map((value, i) => Math.abs(value - heard[0]![i]!)));
}

describe.each(samplers.map((method) => [method.name, method] as const))("%s", (_, method) => {
  const { laws, trials = [{}] } = method;

  test("says what it is", async () => {
    expect(methodFiles("curriculum").has(method.name)).toBe(true);
    for (const text of [method.title, method.about]) expect(text.length).toBeGreaterThan(2);
    for (const [name, spec] of Object.entries(method.options)) {
      expect(spec.help.length).toBeGreaterThan(3);
      if (spec.default !== undefined)
        expect(await optionValue(name, spec, { texts: [String(spec.default)], origin: `--${name}` })).toEqual(
          spec.default,
        );
    }
  });

  test("one group gets everything, or is refused in words", async () => {
    try {
      for (const { segment } of await driveAny(over(method, trials[0]!, ["a"]), saturating(["a"]), STEPS)) {
        expect(segment.probs).toEqual([1]);
        expect(segment.weights ?? [1]).toEqual([1]);
      }
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
  });

  test("a saved state is a copy, and another sampler's is refused", async () => {
    const sampler = over(method, trials[0]!);
    const before = JSON.stringify(sampler.state());
    const saved = sampler.state();
    await driveAny(sampler, saturating(), STEPS);
    expect(JSON.stringify(saved)).toBe(before);
    expect(() => sampler.load({ nothing: 1 })).toThrow("the state of the sampler lacks");
  });

  if (laws.followsLosses === true)
    // Other settings of the same method may be fixed on purpose.
    test("law: followsLosses, in one trial at least", async () => {
      const moved = await Promise.all(trials.map((trial) => movement(method, trial)));
      expect(Math.max(...moved)).toBeGreaterThan(0.01);
    });

  describe.each(trials.map((trial) => [JSON.stringify(trial), trial] as const))("%s", (_, trial) => {
    test("shares are a mixture at every step, whatever is heard", async () => {
      for (const world of [saturating, linear])
        for (const silent of [false, true]) {
          const sampler = over(method, trial);
          const heard = await driveAny(sampler, world(), STEPS, {
            hear: (feedback) => {
              expect(sampler.segment()).toEqual(sampler.segment());
              return silent ? withoutB(feedback) : feedback;
            },
          });
          for (const { segment } of heard) {
            const { probs, steps, weights = probs.map(() => 1) } = segment;
            expect([probs.length, weights.length]).toEqual([4, 4]);
            expect(probs.every((p) => p >= 0 && p <= 1)).toBe(true);
            expect(probs.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
            expect(weights.every((weight) => weight >= 0 && Number.isFinite(weight))).toBe(true);
            expect(steps === Number.POSITIVE_INFINITY || (Number.isInteger(steps) && steps >= 0)).toBe(true);
          }
          // Only the very first segment may have no steps: the losses before any training.
          expect(heard.filter(({ segment }, i) => i > 0 && segment.steps === 0)).toEqual([]);
        }
    });

    test("it continues from a saved state as if nothing had been saved", async () => {
      for (const hear of [(feedback: Feedback) => feedback, withoutB]) {
        const whole = await driveAny(over(method, trial), saturating(), STEPS, { hear });
        const resumed = await driveAny(over(method, trial), saturating(), STEPS, {
          hear,
          next: (sampler) => {
            const fresh = over(method, trial);
            fresh.load(JSON.parse(JSON.stringify(sampler.state())));
            expect(fresh.state()).toEqual(sampler.state());
            sampler.free?.();
            return fresh;
          },
        });
        expect(resumed).toEqual(whole);
        expect(whole.at(-1)!.step).toBeLessThan(STEPS);
      }
    });

    for (const law of claimed(laws)) if (law !== "followsLosses") test(`law: ${law}`, () => LAWS[law](method, trial));
  });
});

test("the step of exponentiated gradient obeys its laws", () => {
  const p = [0.5, 0.3, 0.2];
  const g = [1, -2, 0.5];
  const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 12));
  expect(exponentiated(p, g, 0)).toEqual(close(p));
  expect(exponentiated(p, [8, 5, 7.5], 0.7)).toEqual(close(exponentiated(p, g, 0.7)));
  const [a, b, c] = exponentiated(p, g, 0.7);
  expect(exponentiated([0.2, 0.5, 0.3], [0.5, 1, -2], 0.7)).toEqual(close([c!, a!, b!]));
  expect(a! / b!).toBeCloseTo((0.5 / 0.3) * Math.exp(0.7 * 3), 9);
  expect(exponentiated(p, [1e6, 0, -1e6], 5)).toEqual([1, 0, 0]);
  expect(smoothed([1, 0], 0.1)).toEqual(close([0.95, 0.05]));
});
