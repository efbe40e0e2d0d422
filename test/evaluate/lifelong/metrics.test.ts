import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { recovery, saturation, smoothed, terminal, theilSen } from "../../../src/evaluate/lifelong/curves.ts";
import type { Block } from "../../../src/evaluate/lifelong/log.ts";
import { lifelongMetrics, normalized, rangesOf, recoveryTimes } from "../../../src/evaluate/lifelong/metrics.ts";

const OPTIONS = { reference: "evaluation", terminal: 0.1, smooth: 0 } as const;
const NONE = new Map<string, number[][]>();

/** A block from its type and values by task. */
const block = (block: number, type: Block["type"], performance: Record<string, number | number[]>): Block => ({
  block,
  type,
  performance: new Map(Object.entries(performance).map(([task, values]) => [task, [values].flat()])),
});

/** Tests around the training of a, of b, and of a again. */
const LIFE = [
  block(0, "test", { a: 10, b: 20 }),
  block(1, "train", { a: [10, 40, 60, 80] }),
  block(2, "test", { a: 80, b: 30 }),
  block(3, "train", { b: [30, 60, 90] }),
  block(4, "test", { a: 50, b: 90 }),
  block(5, "train", { a: [55, 80, 90] }),
  block(6, "test", { a: 90, b: 70 }),
];

describe("curves", () => {
  test("the window is cut where the curve ends", () => {
    expect(smoothed([1, 2, 6, 3, 8], 0.4)).toEqual([1.5, 3, 11 / 3, 17 / 3, 5.5]);
    expect(smoothed([1, 2, 6], 0)).toEqual([1, 2, 6]);
    expect(smoothed([], 0.5)).toEqual([]);
  });

  test("the end of a block is its last part, at least one experience", () => {
    expect(terminal([1, 2, 3, 5], 0.5)).toBe(4);
    expect(terminal([1, 2, 3, 5], 0.01)).toBe(5);
  });

  test("saturation is the first highest value, recovery the first that is high enough", () => {
    expect(saturation([1, 4, 3, 4], 0)).toEqual({ value: 4, experiences: 2 });
    expect(recovery([1, 2, 5], 2, 0)).toBe(2);
    expect(recovery([1, 2, 5], 6, 0)).toBeUndefined();
  });

  test("Theil and Sen: the median of all slopes, which one outlier does not move", () => {
    expect(theilSen([3])).toBeUndefined();
    expect(theilSen([1, 3])).toBe(2);
    // Slopes 1, 1, -7/3... of (0, 1), (1, 2), (2, 3), (3, -8), worked by hand: -11, -5, -3, 1, 1, 1.
    expect(theilSen([1, 2, 3, -8])).toBe(-1);
    fc.assert(
      fc.property(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 2, max: 9 }), (slope, count) => {
        const line = Array.from({ length: count }, (_, i) => 7 + slope * i);
        expect(theilSen(line)).toBe(slope);
        line[0] = 1e6;
        if (count >= 6) expect(theilSen(line)).toBe(slope);
      }),
    );
  });
});

test("a life worked by hand", () => {
  const { tasks, lifetime, transfers } = lifelongMetrics(LIFE, NONE, OPTIONS);
  expect(transfers).toEqual([
    { from: "b", to: "a", kind: "backward", contrast: -30 / 130, ratio: 50 / 80 },
    { from: "a", to: "b", kind: "forward", contrast: 10 / 50, ratio: 1.5 },
    { from: "a", to: "b", kind: "backward", contrast: -20 / 160, ratio: 70 / 90 },
  ]);
  expect(tasks).toEqual({
    // Tests of a after its first training: 80 is the reference, 50 comes later; after the second 90 is a new reference.
    a: {
      performance_maintenance: -30,
      backward_transfer_contrast: -30 / 130,
      backward_transfer_ratio: 50 / 80,
    },
    b: {
      performance_maintenance: -20,
      forward_transfer_contrast: 0.2,
      forward_transfer_ratio: 1.5,
      backward_transfer_contrast: -0.125,
      backward_transfer_ratio: 70 / 90,
    },
  });
  expect(lifetime.performance_maintenance).toBe(-25);
  expect(lifetime.backward_transfer_ratio).toBeCloseTo((50 / 80 + 70 / 90) / 2, 12);
});

test("the end of training as the reference", () => {
  const { tasks } = lifelongMetrics(LIFE, NONE, { ...OPTIONS, reference: "training" });
  expect(tasks.a!.performance_maintenance).toBe((0 - 30 + 0) / 3); // 80 - 80, 50 - 80, 90 - 90
  expect(tasks.b!.performance_maintenance).toBe((0 - 20) / 2);
});

test("nothing changed: contrast 0, ratio 1, nothing lost; at 0 too", () => {
  for (const level of [0, 42]) {
    const same = LIFE.map(({ block: number, type, performance }) =>
      block(
        number,
        type,
        Object.fromEntries([...performance].map(([task, values]) => [task, values.map(() => level)])),
      ),
    );
    const { lifetime } = lifelongMetrics(same, NONE, OPTIONS);
    expect(lifetime).toEqual({
      performance_maintenance: 0,
      forward_transfer_contrast: 0,
      forward_transfer_ratio: 1,
      backward_transfer_contrast: 0,
      backward_transfer_ratio: 1,
    });
  }
});

test("a ratio from 0 is none, its contrast is 1", () => {
  const blocks = [block(0, "test", { b: 0 }), block(1, "train", { a: 5 }), block(2, "test", { b: 3 })];
  expect(lifelongMetrics(blocks, NONE, OPTIONS).transfers).toEqual([
    { from: "a", to: "b", kind: "forward", contrast: 1 },
  ]);
});

test("where two tasks were trained between tests, neither is the cause", () => {
  const blocks = [
    block(0, "test", { c: 5 }),
    block(1, "train", { a: 5 }),
    block(2, "train", { b: 5 }),
    block(3, "test", { c: 9 }),
  ];
  expect(lifelongMetrics(blocks, NONE, OPTIONS).transfers).toEqual([]);
});

test("an expert beside itself: relative performance and sample efficiency are 1", () => {
  const curve = [10, 40, 60, 80, 55, 80, 90];
  const { tasks } = lifelongMetrics(LIFE, new Map([["a", [curve, curve]]]), { ...OPTIONS, smooth: 0.3 });
  expect([tasks.a!.relative_performance, tasks.a!.sample_efficiency]).toEqual([1, 1]);
  expect(tasks.b).not.toContainKey("relative_performance");
});

test("beside an expert, by hand: areas over the experiences of both, height times speed", () => {
  const experts = new Map([["b", [[60, 90, 120, 120, 120]]]]);
  const { tasks } = lifelongMetrics(LIFE, experts, OPTIONS);
  expect(tasks.b!.relative_performance).toBeCloseTo(180 / 270, 12);
  expect(tasks.b!.sample_efficiency).toBeCloseTo((90 / 120) * (3 / 3), 12);
});

test("recovery: how many experiences until the level before, and whether these fall", () => {
  const trainings = [
    [1, 5, 10],
    [2, 5, 8, 10],
    [3, 10, 10],
    [10, 11],
  ];
  expect(recoveryTimes(trainings, OPTIONS)).toEqual({ times: [4, 2, 1], never: 0 });
  const blocks = trainings.flatMap((values, i) => [
    block(2 * i, "train", { a: values }),
    block(2 * i + 1, "test", { a: 1 }),
  ]);
  expect(lifelongMetrics(blocks, NONE, OPTIONS).tasks.a!.performance_recovery).toBe(1.5); // slopes -2, -1.5, -1
  expect(recoveryTimes([[9], [1, 2, 3]], OPTIONS)).toEqual({ times: [3], never: 1 });
});

test("performances go from 0 to 100 by task, by run, or from a range", () => {
  const blocks = [block(0, "train", { a: [0.2, 0.6] }), block(1, "test", { a: 0.4, b: 1 })];
  const values = (by: "task" | "run") =>
    normalized(blocks, rangesOf(blocks, by)).map(({ performance }) => [...performance]);
  const [train, tests] = values("task");
  expect(train).toEqual([["a", [0, 100]]]);
  expect(tests![0]![1][0]).toBeCloseTo(50, 12);
  expect(tests![1]).toEqual(["b", [100]]);
  expect(values("run")[0]![0]![1]![1]).toBeCloseTo(50, 12);
  expect([...normalized(blocks, () => [0, 2])[1]!.performance.get("b")!]).toEqual([50]);
});
