/** Loss, entropy and EL2N of rows against the probabilities of all outputs, in f64. */
import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import { Model } from "../../../src/model/model.ts";
import { rowFigures } from "../../../src/run/scoring/row-figures.ts";
import { Scorer } from "../../../src/run/scoring/scorer.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

test("figures are means over what counts", async () => {
  const gpu = await sharedGpu();
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 3 });
  const sequence = (list: readonly number[], skip: number): Sequence => {
    const ids = Int32Array.from(list);
    return { ids, labels: ids.map((id, i) => (i < skip ? -100 : id)), group: 0, place: "here" };
  };
  const rows = [sequence([1, 2, 3, 4, 5], 0), sequence([9, 8, 7], 2), sequence([4], 0)];
  const found = await rowFigures(model, rows, { rows: 2, pad: 0, signal: new AbortController().signal });
  const scorer = new Scorer(model, undefined, { probabilities: true });
  for (const [i, row] of rows.entries()) {
    const { targets, probabilities } = await scorer.score(collate([[row]]));
    const outputs = probabilities!.length / targets.length;
    const places = [...targets.keys()].filter((at) => targets[at]! >= 0);
    const mean = (of: (p: Float32Array, target: number) => number) =>
      places.reduce((sum, at) => sum + of(probabilities!.subarray(at * outputs, (at + 1) * outputs), targets[at]!), 0) /
      places.length;
    const expected = {
      loss: mean((p, y) => -Math.log(p[y]!)),
      entropy: mean((p) => p.reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0)),
      el2n: mean((p, y) => Math.sqrt(p.reduce((sum, x, v) => sum + (x - (v === y ? 1 : 0)) ** 2, 0))),
    };
    for (const name of ["loss", "entropy", "el2n"] as const)
      if (places.length === 0) expect(found[i]![name]).toBeNaN();
      else expect(Math.abs(found[i]![name] - expected[name])).toBeLessThan(1e-4);
  }
  await scorer.free();
  model.free();
});
