/** Shares of matrices where the smallest weights of all go, against a sort. */
import { expect, test } from "bun:test";
import { GlobalCut } from "../../src/compress/global-cut.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { countOf } from "../../src/tensor/weight-selection.ts";
import { normals } from "../support/random.ts";

const MATRICES = [
  normals(1, 50, 0.1),
  normals(2, 70, 2),
  // Few values, so that many weights lie at the cut.
  normals(3, 80).map((x) => Math.round(2 * x) / 2),
  new Float32Array(9),
];

test.each([0, 0.04, 0.3, 0.5, 0.75, 1])("a share of %d, of equal weights those of the first matrices", (share) => {
  const cut = new GlobalCut(share);
  for (let pass = 0; pass < cut.passes; pass++) {
    for (const matrix of MATRICES) cut.see(matrix);
    cut.next();
  }
  const all = MATRICES.flatMap((matrix, m) => Array.from(matrix, (x) => ({ m, size: Math.abs(x) })));
  const order = [...all.keys()].sort((a, b) => all[a]!.size - all[b]!.size || a - b);
  const gone = order.slice(0, countOf(share, all.length)).map((i) => all[i]!.m);
  const wanted = MATRICES.map((_, m) => gone.filter((own) => own === m).length);
  expect(cut.shares().map((own, m) => countOf(own, MATRICES[m]!.length))).toEqual(wanted);
});

test("magnitude asks for it with --scope global alone, and not of a pattern", async () => {
  const method = await loadMethod("pruner", "magnitude");
  const { values } = bindDefaults(method, { scope: "global" });
  expect(method.survey?.({ share: 0.5 }, values)).toBeInstanceOf(GlobalCut);
  expect(method.survey?.({ share: 0.5 }, bindDefaults(method).values)).toBeUndefined();
  expect(() => method.check?.({ keep: 2, of: 4 }, values)).toThrow("a pattern has none");
});
