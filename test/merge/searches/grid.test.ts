import { expect, test } from "bun:test";
import { method } from "../../../src/merge/searches/grid.ts";
import type { Searcher } from "../../../src/run/searching/contract.ts";
import type { Space } from "../../../src/run/searching/space.ts";

const SPACE: Space = [
  { kind: "real", name: "weight", low: 0, high: 1, default: 0.5 },
  { kind: "choice", name: "sign", choices: ["sum", "count"], default: "sum" },
];
const SETUP = { space: SPACE, seed: 0, objectives: ["a"], models: 1 };

async function all(searcher: Searcher) {
  const points = [];
  for (let asked = await searcher.ask(); asked.length > 0; asked = await searcher.ask())
    points.push(...asked.map(({ values }) => values));
  return points;
}

test("tries all combinations, ends of ranges among them", async () => {
  const points = await all(await method.make({ ...SETUP, budget: 6, values: { levels: undefined } }));
  expect(points).toEqual([
    [0, "sum"],
    [0, "count"],
    [0.5, "sum"],
    [0.5, "count"],
    [1, "sum"],
    [1, "count"],
  ]);
});

test("takes whole numbers once, and the default for one level", async () => {
  const rank: Space = [{ kind: "integer", name: "rank", low: 1, high: 3, default: 2 }];
  const points = (levels: number) => method.make({ ...SETUP, space: rank, budget: 9, values: { levels } });
  expect(await all(await points(9))).toEqual([[1], [2], [3]]);
  expect(await all(await points(2))).toEqual([[1], [3]]);
  expect(await all(await points(1))).toEqual([[2]]);
});

test("refuses a grid that the budget does not allow", () => {
  expect(() => method.make({ ...SETUP, budget: 5, values: { levels: 3 } })).toThrow(
    "a grid of 3 values for each of 2 numbers has 6 points; --budget is 5",
  );
});
