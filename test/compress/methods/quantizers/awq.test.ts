import { describe, expect, test } from "bun:test";
import { matrixValues } from "../../../../src/checkpoint/quantized/matrix.ts";
import { scaleInputs } from "../../../../src/compress/input-scales.ts";
import { relativeError } from "../../../../src/compress/layer.ts";
import { method as awq } from "../../../../src/compress/methods/quantizers/awq.ts";
import { method as rtn } from "../../../../src/compress/methods/quantizers/rtn.ts";
import type { InputGroup, Scheme } from "../../../../src/compress/quantizer.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { gramOf, measuredLayer, mixedRows } from "../../../support/layer.ts";
import { normals } from "../../../support/random.ts";
import { fitGroup, roundedTo } from "../../../support/rounding.ts";

covers("compress/keep-least");

const gpu = await sharedGpu();
const scheme = (bits: number, group = 128): Scheme => ({
  ...{ bits, group, symmetric: false, scales: "f32", keepZeros: false },
});

/** E of AWQ and of rounding to nearest on layers that read the same, and the factors of the inputs. */
async function errorsOf(weights: readonly Float32Array[], rows: number, x: Float32Array, how: Scheme, clip: boolean) {
  const held = weights.map((weight) => measuredLayer(gpu, weight, rows, x));
  try {
    const plain = [];
    for (const [k, { layer }] of held.entries()) {
      const values = matrixValues(await rtn.quantize(layer, how, { mse: false, absmax: false }));
      plain.push(await relativeError(layer, weights[k]!, values));
    }
    let factors: Float32Array | undefined;
    const group: InputGroup = {
      gpu,
      layers: held.map(({ layer }) => ({ layer, scheme: how })),
      async scale(given) {
        factors = given;
        for (const { layer } of held) await scaleInputs(layer, given);
      },
    };
    await awq.prepare?.(group, { clip });
    const found = [];
    for (const { layer } of held) {
      const before = await gpu.readFloats(layer.weight.buffer, layer.rows * layer.columns);
      found.push(await relativeError(layer, before, matrixValues(await awq.quantize(layer, how, { clip }))));
    }
    return { plain, found, factors };
  } finally {
    for (const one of held) one[Symbol.dispose]();
  }
}

const sum = (values: readonly number[]) => values.reduce((all, x) => all + x, 0);

describe.each([4, 3, 2])("%i bits", (bits) => {
  test("scaling inputs costs no more than rounding to nearest, and clipping less still", async () => {
    const x = mixedRows(7, 256, 32);
    const weights = [normals(8, 16 * 32), normals(9, 16 * 32)];
    const scaled = await errorsOf(weights, 16, x, scheme(bits), false);
    expect(scaled.factors).toBeDefined();
    expect(sum(scaled.found)).toBeLessThan(0.9 * sum(scaled.plain));
  });
});

test("inputs of one magnitude are left as they are", async () => {
  const x = Float32Array.from({ length: 64 * 8 }, (_, i) => (((i * 7919) >> 3) % 2 === 0 ? 1 : -1));
  const { factors } = await errorsOf([normals(1, 4 * 8)], 4, x, scheme(3), false);
  expect(factors).toBeUndefined();
});

test("the range of a group is clipped at the share that costs its inputs least", async () => {
  const [rows, columns, group] = [9, 40, 16];
  const weight = normals(3, rows * columns).map((w) => w ** 3); // heavy tails
  const x = mixedRows(4, 200, columns);
  using held = measuredLayer(gpu, weight, rows, x);
  const found = await awq.quantize(held.layer, scheme(3, group), { clip: true });
  const { gram } = gramOf(x, columns);
  let clipped = 0;
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < 3; g++) {
      const [first, last] = [g * group, Math.min(columns, (g + 1) * group)];
      const own = Array.from(weight.subarray(row * columns + first, row * columns + last));
      const most = Math.max(...own.map(Math.abs));
      const tried = Array.from({ length: 10 }, (_, i) => {
        const bound = (1 - i / 20) * most;
        const [scale, zero] = fitGroup(
          own.map((w) => Math.min(bound, Math.max(-bound, w))),
          { bits: 3 },
        );
        // Where both ends are clipped the zero point lies between two integers, and f32 decides.
        const costs = [zero, zero - 1, zero + 1].flatMap((z) => {
          if (z !== zero && Math.abs(z - bound / scale) > 0.5 + 1e-5) return [];
          const d = own.map((w) => roundedTo(w, scale, z, 7) - w);
          return d.reduce(
            (all, a, i) => all + d.reduce((part, b, j) => part + a * b * gram[(first + i) * columns + first + j]!, 0),
            0,
          );
        });
        return { scale, low: Math.min(...costs), high: Math.max(...costs) };
      });
      const best = tried.reduce((a, b) => (b.high < a.high ? b : a));
      const scale = found.scales[row * 3 + g]!;
      const taken = tried.reduce((a, b) => (Math.abs(b.scale - scale) < Math.abs(a.scale - scale) ? b : a));
      expect(Math.abs(taken.scale / scale - 1)).toBeLessThan(1e-5);
      expect(taken.low).toBeLessThanOrEqual(best.high * 1.0001);
      clipped += Number(best !== tried[0]);
    }
  }
  expect(clipped).toBeGreaterThan(5);
});

test("queries and keys are not clipped", async () => {
  const weight = normals(3, 4 * 32).map((w) => w ** 3);
  using held = measuredLayer(gpu, weight, 4, mixedRows(4, 100, 32));
  const plain = await rtn.quantize(held.layer, scheme(3), { mse: false, absmax: false });
  for (const name of ["model.layers.0.self_attn.q_proj.weight", "h.0.attn.c_attn.weight", "l.query_key_value.weight"]) {
    const { scales } = await awq.quantize({ ...held.layer, name }, scheme(3), { clip: true });
    expect(scales).toEqual(plain.scales);
  }
  const { scales } = await awq.quantize({ ...held.layer, name: "model.layers.0.mlp.up_proj.weight" }, scheme(3), {
    clip: true,
  });
  expect(scales).not.toEqual(plain.scales);
});
