/** Weighted sums per row or column: the inner products that the weights are made from, and what is done with them. */
import { expect, test } from "bun:test";
import { combineAlong } from "../../../src/merge/job/along-axis.ts";
import { covers } from "../../support/covers.ts";
import { expectWithin } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { withJob } from "../../support/job.ts";
import { normals } from "../../support/random.ts";

covers("merge/combine-along", "merge/dots-along");

for (const [rows, columns] of [
  [1, 257],
  [300, 1],
  [41, 51],
] as const) {
  for (const axis of ["rows", "columns"] as const) {
    test(`${axis} of a (${rows}, ${columns}) tensor in several chunks, of task vectors too`, async () => {
      const gpu = await sharedGpu();
      const [a, b, base] = [1, 2, 3].map((seed) => normals(seed, rows * columns)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      for (const delta of [false, true]) {
        const vector = (i: number) => (axis === "rows" ? Math.floor(i / columns) : i % columns);
        const from = (x: Float32Array) => Float64Array.from(x, (value, i) => value - (delta ? base[i]! : 0));
        const [x, y] = [from(a), from(b)];
        const dots = new Float64Array(axis === "rows" ? rows : columns);
        for (let i = 0; i < x.length; i++) dots[vector(i)]! += x[i]! * y[i]!;
        const given = {
          models: [a, b],
          ...(delta && { base }),
          shape: [rows, columns],
          settings: { chunkValues: 104 },
        };
        let asked = 0;
        const { written } = await withJob(gpu, given, (job) =>
          combineAlong(job, axis, delta, (gram) => {
            asked++;
            expect(gram[0]![1]).toBe(gram[1]![0]!);
            return [0.01 * gram[0]![1]!, 1];
          }),
        );
        expect(asked).toBe(dots.length);
        const wanted = x.map((value, i) => (delta ? base[i]! : 0) + 0.01 * dots[vector(i)]! * value + y[i]!);
        expectWithin(written, wanted, () => 2e-5);
      }
    });
  }
}
