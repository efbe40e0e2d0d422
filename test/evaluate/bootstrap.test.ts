import { expect, test } from "bun:test";
import { bootstrap } from "../../src/evaluate/bootstrap.ts";
import { summedLoss } from "../../src/run/scoring/scored-row.ts";
import { scoredRow } from "../support/scored-rows.ts";

const rows = (...losses: number[]) => losses.map((x) => scoredRow({ nll: [x] }));
const OPTIONS = { draws: 100, seed: 3 };

test("rows of one place are drawn together", () => {
  const [a, b] = [rows(1, 2, 3, 4), rows(11, 12, 13, 14)];
  const apart = bootstrap([a, b], ([x, y]) => summedLoss(y![0]!) - summedLoss(x![0]!), OPTIONS);
  expect(apart).toEqual([10, 10]);
});

test("with strata every group keeps its size", () => {
  const strata = [0, 0, 1];
  const groups = rows(0, 0, 1);
  const sizes = bootstrap([groups], ([drawn]) => drawn!.filter((row) => summedLoss(row) === 1).length, {
    ...OPTIONS,
    strata,
  });
  expect(sizes).toEqual([1, 1]);
});
