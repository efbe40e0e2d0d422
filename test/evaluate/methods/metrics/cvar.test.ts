/** The loss of the worst groups, by hand. */
import { expect, test } from "bun:test";
import { method } from "../../../../src/evaluate/methods/metrics/cvar.ts";
import type { ScoredRow } from "../../../../src/run/scoring/scored-row.ts";
import { CONTEXT } from "../../../support/scored-rows.ts";

const row = (group: number, ...nll: number[]): ScoredRow => ({
  group,
  nll: Float32Array.from(nll),
  targets: new Int32Array(nll.length),
  argmax: new Uint32Array(nll.length),
  confidence: new Float32Array(nll.length),
});

test("the mean of the worst groups' losses, the last in part", () => {
  // Groups of mean losses 2, 5, 1 and 4; one without tokens.
  const rows = [row(0, 1, 3), row(1, 5), row(2, 1), row(3, 4), row(3, 4), row(4)];
  const value = (cvar_share: number) =>
    method.value(rows, { ...CONTEXT, groups: ["a", "b", "c", "d", "e"], values: { cvar_share } });
  expect(value(0.25)).toBeCloseTo(5, 12);
  expect(value(0.5)).toBeCloseTo(4.5, 12);
  expect(value(0.625)).toBeCloseTo((5 + 4 + 2 / 2) / 2.5, 12);
  expect(value(1)).toBeCloseTo(3, 12);
});
