/** Recipes of stages: dmt, meco, stable-cpt, powerlaw. */
import { expect, test } from "bun:test";
import { method as dmt } from "../../src/curriculum/methods/samplers/dmt.ts";
import { method as meco } from "../../src/curriculum/methods/samplers/meco.ts";
import { method as phased } from "../../src/curriculum/methods/samplers/phased.ts";
import { method as powerlaw } from "../../src/curriculum/methods/samplers/powerlaw.ts";
import { method as stable } from "../../src/curriculum/methods/samplers/stable-cpt.ts";
import { method as stacked } from "../../src/curriculum/methods/samplers/stacked.ts";
import { stageSteps } from "../../src/curriculum/staged.ts";
import { type AnySampler, drive, type Given, groupsOf, make, saturatingWorld } from "./world.ts";

const close = (values: readonly number[], digits = 9) => values.map((value) => expect.closeTo(value, digits));

/** Every stage: its first step and its mixture. */
function stages(method: AnySampler, given: Given): [number, readonly number[]][] {
  const k = given.groups!.length;
  const none = Array.from({ length: k }, () => 0);
  return drive(make(method, given), saturatingWorld(none, none, none), given.steps ?? 1000).map(({ segment, step }) => [
    step,
    segment.probs,
  ]);
}

test("steps of stages are whole and sum to all", () => {
  expect(stageSteps([1, 1, 1], 100)).toEqual([33, 34, 33]);
  expect(stageSteps([0, 5, 0], 7)).toEqual([0, 7, 0]);
  for (let steps = 1; steps < 50; steps++) {
    expect(stageSteps([3, 1.5, 0.1, 7], steps).reduce((a, b) => a + b, 0)).toBe(steps);
  }
});

const groups = groupsOf({ chat: 600, maths: 100, code: 300 });
const special = ["maths", "code"];

test("dmt: special groups, then general ones with a little of them", () => {
  const [first, second, ...more] = stages(dmt, { groups, values: { special, replay: 0.1 } });
  expect(more).toEqual([]);
  expect(first).toEqual([0, close([0, 0.25, 0.75]) as never]);
  expect(second![0]).toBe(Math.round((1000 * 400) / 1040));
  expect(second![1]).toEqual(close([600 / 640, 10 / 640, 30 / 640]));
});

test("dmt: what is replayed is one part of the special rows, and every stage has a schedule of its own", () => {
  const made = (values: Record<string, unknown>) => make(dmt, { groups, values: { special, ...values } });
  const sampler = made({ replay: 0.1 });
  expect(sampler.restarts).toEqual([385, 615]);
  expect(sampler.segment().rows).toBeUndefined();
  sampler.update({ step: 385, drawn: [0, 0, 0] });
  expect(sampler.segment().rows).toEqual([undefined, 10, 30]);
  // A part of every group is left, however small.
  const least = made({ replay: 0.0001 });
  least.update({ step: 385, drawn: [0, 0, 0] });
  expect(least.segment().rows).toEqual([undefined, 1, 1]);
  expect(made({ one_schedule: true }).restarts).toBeUndefined();
  expect(made({ strategy: "sequential" }).restarts).toHaveLength(3);
});

test("dmt: replay 1 is multi-task in the second stage, replay 0 is mixed-sequential", () => {
  const probs = (values: Record<string, unknown>) => stages(dmt, { groups, values: { special, ...values } });
  expect(probs({ replay: 1 })[1]![1]).toEqual(close([...probs({ strategy: "multi-task" })[0]![1]]));
  expect(probs({ strategy: "multi-task" })).toEqual([[0, close([0.6, 0.1, 0.3]) as never]]);
  expect(probs({ replay: 0 })).toEqual(probs({ strategy: "mixed-sequential" }));
});

test("dmt: sequential takes special groups in their order; --first sets where general data begin", () => {
  const at = (values: Record<string, unknown>) => stages(dmt, { groups, values: { special, ...values } });
  expect(at({ strategy: "sequential" })).toEqual([
    [0, [0, 1, 0]],
    [100, [0, 0, 1]],
    [400, [1, 0, 0]],
  ]);
  expect(at({ strategy: "sequential", first: 0.8 }).map(([step]) => step)).toEqual([0, 200, 800]);
  expect(at({ first: 0.5 }).map(([step]) => step)).toEqual([0, 500]);
});

test("dmt: every group has one role", () => {
  const refused = (values: Record<string, unknown>) => () => make(dmt, { groups, values });
  expect(refused({ special: ["math"] })).toThrow("--special: there is no group math");
  expect(refused({ special: ["maths", "maths"] })).toThrow("--special names maths twice");
  expect(refused({ special: ["maths"], general: ["chat"] })).toThrow("code is neither in --special nor in --general");
  expect(refused({ special, general: ["chat", "code"] })).toThrow("code is both in --special and in --general");
  expect(refused({ special: ["maths", "code", "chat"] })).toThrow("--special names all groups");
});

const pairs = groupsOf({ "web+": 10, "web": 30, "books+": 40, "books": 20 }); // biome-ignore format: quotes alike

test("meco: the same sources with metadata first, without for the cool-down", () => {
  const given = { groups: pairs, values: { conditioned: ["web+", "books+"] } };
  expect(stages(meco, given)).toEqual([
    [0, close([0.4, 0, 0.6, 0]) as never],
    [900, close([0, 0.4, 0, 0.6]) as never],
  ]);
  const mixture = stages(meco, { groups: pairs, values: { ...given.values, mixture: [3, 1], plain_share: 0.2 } });
  expect(mixture[0]![1]).toEqual(close([0.6, 0.15, 0.2, 0.05]));
});

test("meco: cool-down 1 is plain training, 0 never is", () => {
  const at = (cooldown_share: number) =>
    stages(meco, { groups: pairs, values: { conditioned: ["web+", "books+"], cooldown_share } });
  expect(at(1)).toEqual([[0, close([0, 0.4, 0, 0.6]) as never]]);
  expect(at(0)).toEqual([[0, close([0.4, 0, 0.6, 0]) as never]]);
});

test("meco: refuses groups without a counterpart", () => {
  const refused = (values: Record<string, unknown>) => () => make(meco, { groups: pairs, values });
  expect(refused({ conditioned: ["web+"] })).toThrow("--conditioned names 1 groups, and there are 3 plain ones");
  expect(refused({ conditioned: ["web+"], plain: ["web+"] })).toThrow("web+ is both in --conditioned and in --plain");
  expect(refused({ conditioned: ["web+"], plain: ["web"], mixture: [1, 2] })).toThrow(
    "--mixture 1,2 is no mixture of 1",
  );
});

test("phased: groups in their order, as long as their rows; one phase is all of them stacked", () => {
  expect(stages(phased, { groups })).toEqual([
    [0, [1, 0, 0]],
    [600, [0, 1, 0]],
    [700, [0, 0, 1]],
  ]);
  expect(stages(stacked, { groups })).toEqual([[0, close([0.6, 0.1, 0.3]) as never]]);
  const one = { groups: groupsOf({ all: 40 }) };
  expect(stages(phased, one)).toEqual(stages(stacked, one));
});

test("stable-cpt: the domain takes the place of the crawl", () => {
  const three = groupsOf({ law: 100, wiki: 30, code: 10 });
  const probs = (values: Record<string, unknown>) => make(stable, { groups: three, values }).segment().probs;
  expect(probs({ domain: ["law"], mixture: [67, 20, 13] })).toEqual(close([0.67, 0.2, 0.13]));
  expect(probs({ domain: ["law"] })).toEqual(close([0.7, 0.225, 0.075]));
  expect(() => probs({ domain: ["law", "wiki", "code"] })).toThrow("--domain names all groups");
});

const tasks = groupsOf({ one: 10, two: 10, three: 10, four: 20 });

test("powerlaw: shares of earlier tasks fall by a power of their distance and sum to the budget", () => {
  const found = stages(powerlaw, { groups: tasks, values: { budget: 0.3 } });
  expect(found.map(([step]) => step)).toEqual([0, 250, 500, 750]);
  expect(found[0]![1]).toEqual([1, 0, 0, 0]);
  const harmonic = 1 + 1 / 2 + 1 / 3;
  const last = [1 / 3, 1 / 2, 1].map((x) => (0.3 * x) / harmonic);
  expect(found[3]![1]).toEqual(close([...last, 0.7]));
});

test("powerlaw: decay 0 is uniform, budget 0 is one task at a time, and the other kernels", () => {
  const last = (values: Record<string, unknown>) => stages(powerlaw, { groups: tasks, values }).at(-1)![1];
  const even = close([0.1, 0.1, 0.1, 0.7]);
  expect(last({ rehearsal_decay: 0 })).toEqual(even);
  expect(last({ kernel: "uniform" })).toEqual(even);
  expect(last({ kernel: "exponential", rehearsal_decay: 0 })).toEqual(even);
  expect(last({ budget: 0 })).toEqual([0, 0, 0, 1]);
  expect(last({ kernel: "none" })).toEqual([0, 0, 0, 1]);
  expect(last({ kernel: "recent" })).toEqual(close([0, 0, 0.3, 0.7]));
  const exponential = last({ kernel: "exponential", rehearsal_decay: 2 });
  expect(exponential[1]! / exponential[2]!).toBeCloseTo(Math.exp(-2), 9);
});

test("powerlaw: order and lengths", () => {
  const found = stages(powerlaw, { groups: tasks, values: { tasks: ["four", "two"], lengths: "rows", budget: 0 } });
  expect(found).toEqual([
    [0, [0, 0, 0, 1]],
    [400, [0, 1, 0, 0]],
    [600, [1, 0, 0, 0]],
    [800, [0, 0, 1, 0]],
  ]);
  expect(() => make(powerlaw, { groups: tasks, values: { tasks: ["five"] } })).toThrow(
    "--tasks: there is no group five",
  );
});
