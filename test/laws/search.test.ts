/**
 * What every search promises: points lie in the space, the same seed asks for the same, and a search that is told its
 * scores again goes on as the one that was never stopped.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Random } from "../../src/data/random.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethods } from "../../src/method/registry.ts";
import type { Point, Scored, SearchMethod, SearchSetup } from "../../src/run/searching/contract.ts";
import { isIn, type Space } from "../../src/run/searching/space.ts";
import { sharedGpu } from "../support/gpu.ts";

const SPACE: Space = [
  { kind: "real", name: "weight.0", low: -1, high: 1, default: 0.5, weightOf: 0 },
  { kind: "real", name: "weight.1", low: 0.01, high: 10, log: true, default: 1, weightOf: 1 },
  { kind: "integer", name: "rank", low: 1, high: 4, default: 2 },
  { kind: "choice", name: "normalize", choices: [true, false], default: true },
];

setDefaultTimeout(120_000); // the machine may be busy

const BUDGET = 36;

/** Values at which what is promised costs little; it does not hang on them. */
const SMALL: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  nap: { training_steps: 6, candidates: 40 },
};

/** A smooth score per objective with its best place inside the space. */
const scoresOf = ({ values, extra }: Point, objectives: number): number[] =>
  Array.from({ length: objectives }, (_, i) => {
    const [a, b, rank, on] = values as [number, number, number, boolean];
    const changed = extra === undefined ? 0 : (Bun.hash.crc32(JSON.stringify(extra)) % 100) / 1000;
    return -((a - 0.3 * i) ** 2) - Math.log10(b) ** 2 - 0.1 * Math.abs(rank - 2 - i) + (on ? 0.1 : 0) + changed;
  });

async function setupOf({ objectives, needs = [] }: SearchMethod, seed: number): Promise<SearchSetup> {
  const random = new Random("losses");
  const losses = () => Float64Array.from({ length: 20 }, () => random.uniform() * 3);
  return {
    space: SPACE,
    budget: BUDGET,
    seed,
    objectives: objectives === "one" ? ["a"] : ["a", "b"],
    models: 2,
    values: {},
    ...(needs.includes("gpu") && { gpu: await sharedGpu() }),
    ...(needs.includes("token-losses") && { tokenLosses: [losses(), losses()] }),
  };
}

/** Makes trials up to the budget; those in `told` are not scored again. Gives all of them. */
async function searched(method: SearchMethod, seed: number, told: readonly Scored[] = []): Promise<Scored[]> {
  const setup = await setupOf(method, seed);
  const searcher = await method.make({ ...setup, ...bindDefaults(method, SMALL[method.name]) });
  const all: Scored[] = [];
  try {
    while (all.length < BUDGET) {
      const asked = await searcher.ask();
      if (asked.length === 0) break;
      const batch = asked.map((point, i) => {
        const known = told[all.length + i];
        if (known) expect(point).toEqual(known.point);
        return known ?? { point, scores: scoresOf(point, setup.objectives.length) };
      });
      if (all.length + batch.length <= BUDGET) await searcher.tell(batch);
      all.push(...batch);
    }
    const last = searcher.last?.();
    return last ? [...all, { point: last, scores: [] }] : all;
  } finally {
    searcher.free?.();
  }
}

describe.each((await loadMethods("search")).map((method) => [method.name, method] as const))("%s", (_, method) => {
  test("asks for points of the space, at least one, and the same ones again", async () => {
    const first = await searched(method, 1);
    expect(first.length).toBeGreaterThan(1);
    for (const { point } of first) expect([point, isIn(SPACE, point.values)]).toEqual([point, true]);
    expect(await searched(method, 1)).toEqual(first);
  });

  test("goes on as if it had not been stopped", async () => {
    const first = await searched(method, 2);
    expect(await searched(method, 2, first.slice(0, 20))).toEqual(first);
  });

  test("hears failed trials and goes on", async () => {
    const failed = (await searched(method, 3)).slice(0, 1).map(({ point, scores }) => ({
      point,
      scores: scores.map(() => Number.NEGATIVE_INFINITY),
    }));
    for (const { point } of await searched(method, 3, failed)) expect(isIn(SPACE, point.values)).toBe(true);
  });
});
