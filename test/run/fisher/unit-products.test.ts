import { describe, expect, test } from "bun:test";
import { UnitProducts } from "../../../src/run/fisher/unit-products.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("training/unit-products");

const gpu = await sharedGpu();
const bytesOf = (x: Float32Array) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const SHAPES = [[1], [7], [3, 5], [130, 33], [2, 3, 4], [5, 9000]];

describe("UnitProducts", () => {
  for (const along of ["row", "column"] as const)
    for (const magnitude of [false, true])
      for (const dtype of ["f32", "bf16"] as const)
        test(`sums weight x gradient over every ${along}${magnitude ? ", magnitudes" : ""}, ${dtype}`, async () => {
          const all = SHAPES.map((shape, p) => {
            const parameter = new Parameter(gpu, `w${p}`, shape, dtype);
            const weight = normals(p, parameter.size).map((x) =>
              dtype === "f32" ? x : Math.fround(Math.round(8 * x) / 8),
            );
            if (dtype === "f32") parameter.write(weight);
            else parameter.write(Uint16Array.from(new Uint32Array(weight.buffer), (bits) => bits >>> 16));
            return { parameter, along, weight, columns: shape.length < 2 ? 1 : shape.at(-1)! };
          });
          const products = await UnitProducts.make(gpu, all, { magnitude });
          const expected = all.map(({ parameter, columns }) => {
            return new Float64Array(along === "row" ? parameter.size / columns : columns);
          });
          for (const [pass, share] of [0.25, 2].entries()) {
            for (const [p, { parameter, weight, columns }] of all.entries()) {
              const gradient = normals(100 + 10 * pass + p, parameter.size);
              gpu.write(parameter.gradient, 0, bytesOf(gradient));
              for (const [i, g] of gradient.entries()) {
                const value = share * (magnitude ? Math.abs(weight[i]! * g) : weight[i]! * g);
                expected[p]![along === "row" ? Math.floor(i / columns) : i % columns]! += value;
              }
            }
            products.add(share);
          }
          for (const [p, sums] of expected.entries()) {
            const found = await products.read(p);
            expect(found.length).toBe(sums.length);
            for (const [i, sum] of sums.entries())
              expect(Math.abs(found[i]! - sum)).toBeLessThan(2e-3 * (1 + Math.abs(sum) / 100));
          }
          products.clear();
          expect((await products.read(0)).every((x) => x === 0)).toBe(true);
          products.free();
          for (const { parameter } of all) parameter.free();
        });
});
