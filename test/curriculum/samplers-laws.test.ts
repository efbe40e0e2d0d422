/** Laws that every sampler of the folder obeys, whatever it does. */
import { expect, test } from "bun:test";
import { exponentiated, type Feedback, smoothed } from "../../src/curriculum/contract.ts";
import { UserError } from "../../src/errors.ts";
import { optionValue } from "../../src/method/validate.ts";
import { type AnySampler, drive, exported, groupsOf, linearWorld, make, saturatingWorld, valuesOf } from "./world.ts";

const samplers = await exported<AnySampler>("sampler");
const NAMES = ["a", "b", "c", "d"];
const ROWS: Record<string, number> = { a: 40, b: 10, c: 25, d: 90 };
const STEPS = 600;

/** What a user would give, by the names of the groups in their order. */
const given = (names: readonly string[]): Record<string, Record<string, unknown>> => {
  const each = (values: Record<string, number>) => names.map((name) => values[name]);
  return {
    aioli: { round: 0.25 },
    doremi: { reference_losses: each({ a: 0.5, b: 1, c: 0.2, d: 0.8 }) },
    dmt: { special: ["c", "a"] },
    meco: { conditioned: ["a", "b"], plain: ["d", "c"] },
    mpts: { features: each({ a: 1, b: 4, c: 2, d: 7 }), fits: 2, samples: 10, hidden: 8 },
    powerlaw: { tasks: ["b", "a", "d", "c"] },
    "stable-cpt": { domain: ["b"] },
    "task-balance": { group_weights: each({ a: 1, b: 2, c: 3, d: 4 }) },
  };
};

const GRAPH: Record<string, Record<string, number>> = {
  a: { a: 1, b: 0.5, c: 0, d: 0.1 },
  b: { a: 0, b: 1, c: 0.7, d: 0 },
  c: { a: 0.2, b: 0, c: 1, d: 0.3 },
  d: { a: 0, b: 0, c: 0, d: 1 },
};
const HEIGHT: Record<string, number> = { a: 3, b: 1, c: 2, d: 2.5 };
const SPEED: Record<string, number> = { a: 0.01, b: 0.03, c: 0.02, d: 0.004 };

/** Options under which a sampler remembers other things than by default. */
const VARIANTS: Record<string, Record<string, unknown>[]> = {
  "skill-it": [
    {},
    { normalize_loss: true, halve_edges: true },
    { targets: ["b"], window: 7 },
    { ignore_isolated: true },
  ],
  aioli: [{}, { gamma: 0.3 }, { diagonal: true, prior_steps: 100 }],
  doremi: [{}, { apply: "weights" }],
  sec: [{}, { rule: "greedy" }, { rule: "proportional", reward: "raw" }],
  "task-balance": [{}, { strategy: "random" }, { strategy: "dwa" }, { strategy: "gap" }, { strategy: "equal" }],
};

/** A sampler over these groups, in this order. */
function over(method: AnySampler, names: readonly string[], more: Record<string, unknown> = {}) {
  const graph = method.graph && names.map((i) => names.map((j) => GRAPH[i]![j]!));
  return make(method, {
    groups: groupsOf(Object.fromEntries(names.map((name) => [name, ROWS[name]!]))),
    steps: STEPS,
    seed: 5,
    ...(graph && { graph }),
    values: { ...given(names)[method.name], ...more },
  });
}

const saturating = (names: readonly string[]) =>
  saturatingWorld(
    names.map(() => 0.4),
    names.map((name) => HEIGHT[name]!),
    names.map((name) => SPEED[name]!),
  );
const linear = (names: readonly string[]) =>
  linearWorld(
    names.map((name) => 5 + HEIGHT[name]!),
    names.map((i) => names.map((j) => 0.003 * SPEED[i]! * 30 * GRAPH[j]![i]!)),
  );

/** What is heard when nothing is known of group b. */
function withoutB(feedback: Feedback): Feedback {
  const without = (values: readonly number[] = []) => values.map((value, i) => (i === 1 ? Number.NaN : value));
  return { ...feedback, losses: without(feedback.losses), training: without(feedback.training) };
}

test("there is a sampler for every technique", () => {
  expect(samplers.length).toBeGreaterThanOrEqual(15);
});

for (const { file, method } of samplers) {
  test(`${file}: says what it is`, async () => {
    expect(method.name).toBe(file);
    for (const text of [method.title, method.about, method.cite]) expect(text.length).toBeGreaterThan(2);
    for (const [name, spec] of Object.entries(method.options) as [string, never][]) {
      const { help, default: value } = spec as { help: string; default?: unknown };
      expect(help.length).toBeGreaterThan(3);
      if (value !== undefined) {
        expect(await optionValue(name, spec, { texts: [String(value)], origin: `--${name}` })).toEqual(value);
      }
    }
  });

  test(`${file}: shares are a mixture at every step, whatever is heard`, () => {
    const worlds = [saturating(NAMES), linear(NAMES)];
    for (const [round, world] of [...worlds, ...worlds].entries()) {
      const silent = round >= 2; // group b is never heard of
      const sampler = over(method, NAMES);
      const heard = drive(sampler, world, STEPS, {
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

  for (const values of VARIANTS[file] ?? [{}]) {
    test(`${file} ${JSON.stringify(values)}: goes on from a saved state as if nothing had been saved`, () => {
      for (const hear of [(feedback: Feedback) => feedback, withoutB]) {
        const whole = drive(over(method, NAMES, values), saturating(NAMES), STEPS, { hear });
        const resumed = drive(over(method, NAMES, values), saturating(NAMES), STEPS, {
          hear,
          next: (sampler) => {
            const fresh = over(method, NAMES, values);
            fresh.load(JSON.parse(JSON.stringify(sampler.state())));
            expect(fresh.state()).toEqual(sampler.state());
            return fresh;
          },
        });
        expect(resumed).toEqual(whole);
        expect(whole.at(-1)!.step).toBeLessThan(STEPS);
      }
    });
  }

  test(`${file}: a saved state is a copy, and another sampler's is refused`, () => {
    const sampler = over(method, NAMES);
    const before = JSON.stringify(sampler.state());
    const saved = sampler.state();
    drive(sampler, saturating(NAMES), STEPS);
    expect(JSON.stringify(saved)).toBe(before);
    expect(() => sampler.load({ nothing: 1 })).toThrow("the state of the sampler lacks");
  });

  test(`${file}: one group gets everything, or is refused in words`, () => {
    try {
      for (const { segment } of drive(over(method, ["a"]), saturating(["a"]), STEPS)) {
        expect(segment.probs).toEqual([1]);
        expect(segment.weights ?? [1]).toEqual([1]);
      }
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
    }
  });

  test(`${file}: does not depend on the order of the groups`, () => {
    const turned = ["c", "a", "d", "b"];
    const there = drive(over(method, NAMES), linear(NAMES), STEPS);
    const here = drive(over(method, turned), linear(turned), STEPS);
    const byName = (heard: typeof there, names: readonly string[], file: string) =>
      heard
        // Probes of aioli come in an order of their own.
        .filter(({ segment }) => file !== "aioli" || segment.steps > 4)
        .map(({ segment: { probs, weights = [] } }) =>
          NAMES.flatMap((name) => [probs, weights].map((values) => values[names.indexOf(name)] ?? 1)),
        );
    const [first, second] = [byName(there, NAMES, file), byName(here, turned, file)];
    expect(second.length).toBe(first.length);
    for (const [i, values] of first.entries()) {
      for (const [j, value] of values.entries()) expect(second[i]![j]!).toBeCloseTo(value, 9);
    }
  });
}

const LEARNING = ["skill-it", "aioli", "doremi", "ado", "progress", "sec", "dump"];

for (const name of LEARNING) {
  const { method } = samplers.find(({ file }) => file === name)!;
  test(`${name}: learns, or the laws would say nothing`, () => {
    const heard = drive(over(method, NAMES), saturating(NAMES), STEPS).map(({ segment }) => segment.probs);
    expect(Math.max(...heard.at(-1)!.map((p, i) => Math.abs(p - heard[0]![i]!)))).toBeGreaterThan(0.01);
  });
}

for (const name of ["aioli", "progress", "sec", "dump"]) {
  const { method } = samplers.find(({ file }) => file === name)!;
  test(`${name}: adding a constant to all losses changes nothing`, () => {
    const shifted = (by: number) =>
      drive(over(method, NAMES), saturating(NAMES), STEPS, {
        hear: (feedback) => ({ ...feedback, losses: feedback.losses!.map((loss) => loss + by) }),
      });
    const [first, second] = [shifted(0), shifted(3)];
    for (const [i, { segment }] of first.entries()) {
      for (const [j, p] of segment.probs.entries()) expect(second[i]!.segment.probs[j]!).toBeCloseTo(p, 9);
    }
  });
}

for (const [name, values] of [
  ["skill-it", {}],
  ["aioli", { mixture: [4, 3, 2, 1] }],
  ["doremi", {}],
] as const) {
  const { method } = samplers.find(({ file }) => file === name)!;
  test(`${name}: eta 0 never leaves the first mixture`, () => {
    const heard = drive(over(method, NAMES, { ...values, eta: 0 }), saturating(NAMES), STEPS);
    const mixtures = heard.filter(({ segment }) => name !== "aioli" || segment.steps !== 4);
    expect(mixtures.length).toBeGreaterThan(2);
    for (const { segment } of mixtures) {
      for (const [i, p] of segment.probs.entries()) expect(p).toBeCloseTo(mixtures[0]!.segment.probs[i]!, 12);
    }
  });
}

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
  expect(valuesOf({ eta: { type: "number", help: "", default: 2 } }, {})).toEqual({ eta: 2 } as never);
});
