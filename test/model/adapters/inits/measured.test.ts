/** CorDA and LoRA-GA: what they begin with, of known matrices, and what is measured of a network. */
import { expect, test } from "bun:test";
import { stackExamples } from "../../../../src/data/batch.ts";
import type { Example } from "../../../../src/data/examples.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { method as corda, damped } from "../../../../src/model/adapters/inits/corda.ts";
import { method as loraGa } from "../../../../src/model/adapters/inits/lora-ga.ts";
import { targetModules } from "../../../../src/model/adapters/targets.ts";
import { describeConfig } from "../../../../src/model/description.ts";
import { Model } from "../../../../src/model/model.ts";
import { layerCovariances, layerGradients } from "../../../../src/run/training/adapter-measures.ts";
import { symmetricInverse } from "../../../../src/tensor/linear-algebra/cholesky.ts";
import {
  type HostMatrix,
  hostMatrix,
  hostProduct,
  transposed,
} from "../../../../src/tensor/linear-algebra/leading-svd.ts";
import { svd } from "../../../../src/tensor/linear-algebra/svd.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();

const host = (rows: number, columns: number, values: ArrayLike<number>) =>
  hostMatrix(rows, columns, Float64Array.from(values));

/** Some of the triplets of a matrix, put together again. */
function partOf({ rows, columns, values }: HostMatrix, first: number, end: number): HostMatrix {
  const { u, s, v } = svd(values, rows, columns);
  const out = hostMatrix(rows, columns);
  for (let j = first; j < end; j++)
    for (let i = 0; i < rows * columns; i++)
      out.values[i]! += s[j]! * u[Math.floor(i / columns) * s.length + j]! * v[(i % columns) * s.length + j]!;
  return out;
}

const expectClose = (found: HostMatrix, wanted: HostMatrix, factor: number) => {
  for (const [i, x] of found.values.entries()) expect(factor * x).toBeCloseTo(wanted.values[i]!, 5);
};

const SHAPES = [
  [5, 4],
  [4, 6],
] as const;
const covariance = (n: number) => {
  const x = host(
    9,
    n,
    normals(n, 9 * n).map((value, i) => value * (1 + (i % n))),
  );
  return { ...hostProduct(transposed(x), x), rows: n, columns: n };
};

test.each(SHAPES)("corda of (%i, %i): s B A is the part of W that is of the components of W C", async (out, into) => {
  const weight = { rows: out, columns: into, values: normals(3, out * into) };
  const measured = covariance(into);
  const c = damped(measured);
  const trace = measured.values.reduce((sum, x, i) => sum + (i % (into + 1) === 0 ? x : 0), 0);
  expect(c.values[1]).toBeCloseTo((measured.values[1]! * into) / trace, 10);
  const inverse = host(into, into, symmetricInverse(c.values, into)!);
  const product = hostProduct(host(out, into, weight.values), c);
  const most = Math.min(out, into);
  for (const [corda_mode, first, end] of [
    ["ipm", 0, 2],
    ["kpm", most - 2, most],
  ] as const) {
    const values = { corda_mode, corda_rows: 1 };
    const { a, b } = await corda.begin({ weight, measured, rank: 2, scale: 0.5, gpu, values });
    expectClose(hostProduct(b!, a), hostProduct(partOf(product, first, end), inverse), 0.5);
  }
  const values = { corda_mode: "kpm" as const, corda_rows: 1 };
  const whole = await corda.begin({ weight, measured, rank: most, scale: 3, gpu, values });
  expectClose(hostProduct(whole.b!, whole.a), host(out, into, weight.values), 3);
});

test("corda of inputs that are not correlated is pissa; of none too", async () => {
  const weight = { rows: 2, columns: 2, values: Float32Array.of(1, 0, 0, 8) };
  for (const size of [5, 0]) {
    const measured = { rows: 2, columns: 2, values: Float32Array.of(size, 0, 0, size) };
    const values = { corda_mode: "ipm" as const, corda_rows: 1 };
    const { a, b } = await corda.begin({ weight, measured, rank: 1, scale: 2, gpu, values });
    expect(2 * a.values[1]! * b!.values[1]!).toBeCloseTo(8, 10);
    expect([a.values[0]!, b!.values[0]!].map(Math.abs)).toEqual([0, 0]);
  }
});

test.each(SHAPES)("lora-ga of (%i, %i): the first step goes along the 2 r first directions of G", async (out, into) => {
  const g = host(out, into, normals(8, out * into));
  const { values } = bindDefaults(loraGa, { lora_ga_gamma: 4 });
  const rank = 2;
  const job = { weight: g, measured: g, scale: 3, gpu, values };
  const { a, b } = await loraGa.begin({ ...job, rank });
  // dL/dA = s B' G, dL/dB = s G A': the change of s B A for a small rate, over -rate s^2 c^2.
  const c2 = Math.sqrt(out) / 4;
  const [dA, dB] = [hostProduct(transposed(b!), g), hostProduct(g, transposed(a))];
  const change = hostProduct(b!, dA);
  for (const [i, x] of hostProduct(dB, a).values.entries()) change.values[i]! += x;
  expectClose(change, partOf(g, 0, 2 * rank), 1 / c2);
  const { a: all, b: none } = await loraGa.begin({ ...job, rank: 7 });
  expect([all.rows, none!.columns]).toEqual([Math.min(out, into), 0]);
});

test("lora-ga's lengths", async () => {
  const measured = { rows: 16, columns: 3, values: normals(1, 48) };
  const lengthOf = async (lora_ga_scale: "stable" | "gd" | "unit") => {
    const values = { lora_ga_rows: 1, lora_ga_gamma: 1, lora_ga_scale };
    const { a } = await loraGa.begin({ weight: measured, measured, rank: 1, scale: 5, gpu, values });
    return Math.hypot(...a.values);
  };
  expect(await lengthOf("stable")).toBeCloseTo(2, 6); // 16^(1/4)
  expect(await lengthOf("gd")).toBeCloseTo(0.2, 6);
  expect(await lengthOf("unit")).toBeCloseTo(1, 6);
});

const NET = { model_type: "mlp", input_size: 4, hidden_sizes: [6, 5], num_labels: 3 };
const POINTS = Array.from({ length: 7 }, (_, i) => normals(i, 4).map((v, at) => v * (at + 1) + 2));
const ROWS = POINTS.map(
  (x, i) => ({ form: "example", x, shape: [4], label: i % 3, extra: {}, group: 0, place: `${i}` }) as Example,
);
const BATCHES = [stackExamples(ROWS.slice(0, 5)), stackExamples(ROWS.slice(5))];

async function network() {
  const model = await Model.fresh(gpu, NET, "net", { seed: 1 });
  const { architecture, config } = await describeConfig(NET, "net");
  return { model, how: { targets: targetModules(architecture.parameters(config), undefined), signal, flag: "" } };
}

test("the covariance is the mean of x x^T over all rows", async () => {
  const { model, how } = await network();
  const found = [];
  for await (const one of layerCovariances(model, BATCHES, how)) found.push(one);
  model.free();
  expect(found.length).toBe(how.targets.length);
  for (const [i, x] of found[0]!.measured.values.entries()) {
    const [r, c] = [Math.floor(i / 4), i % 4];
    const mean = POINTS.reduce((sum, x) => sum + x[r]! * x[c]!, 0) / 7;
    expect(x).toBeCloseTo(mean, 3);
  }
});

test("the gradient is that of the mean loss of all rows", async () => {
  const { model, how } = await network();
  const found = new Map<string, readonly number[]>();
  for await (const { target, measured } of layerGradients(model, BATCHES, how))
    found.set(target.module, [...measured.values]);
  const loss = async () => {
    let sum = 0;
    for (const [at, batch] of BATCHES.entries()) {
      const logits = await logitsOf(gpu, model, batch);
      for (let i = 0; i < batch.rows; i++) {
        const own = [...logits.subarray(3 * i, 3 * i + 3)];
        sum += Math.log(own.reduce((all, x) => all + Math.exp(x), 0)) - own[(5 * at + i) % 3]!;
      }
    }
    return sum / 7;
  };
  expect(found.size).toBe(how.targets.length);
  for (const [module, gradient] of found) {
    const weight = model.parameters.get(`${module}.weight`)!;
    const values = await gpu.readFloats(weight.buffer, weight.size);
    const most = gradient.reduce((best, x, i) => (Math.abs(x) > Math.abs(gradient[best]!) ? i : best), 0);
    const at = async (by: number) => {
      weight.write(values.map((x, i) => (i === most ? x + by : x)));
      return loss();
    };
    const slope = ((await at(4e-3)) - (await at(-4e-3))) / 8e-3;
    weight.write(values);
    expect(Math.abs(slope - gradient[most]!)).toBeLessThan(2e-3 + 0.01 * Math.abs(slope));
  }
  model.free();
});
