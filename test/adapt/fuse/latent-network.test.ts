/** The latent network against a loop in f64, its gradients against differences, and mixtures of it. */
import { afterAll, expect, test } from "bun:test";
import { LatentNetwork, paddedWidth, weightsOf } from "../../../src/adapt/fuse/latent-network.ts";
import { Mixture } from "../../../src/adapt/fuse/mixture.ts";
import { add } from "../../../src/tensor/ops/elementwise.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
/** 11 numbers are no multiple of what two convolutions take: one zero is behind them. */
const SIZES = { count: 11, condition: 3, latent: 4, channels: [3, 5] };
const network = new LatentNetwork(gpu, SIZES, 7);
afterAll(() => network.free());

const values = new Map<string, Float64Array>();
for (const parameter of network.parameters) {
  // Biases that are not zero, so that a test sees them.
  if (parameter.name.endsWith("bias"))
    parameter.write(Float32Array.from(normals(parameter.size, parameter.size), (x) => 0.3 * x));
  values.set(parameter.name, Float64Array.from(await gpu.readFloats(parameter.buffer, parameter.size)));
}

const silu = (x: number) => x / (1 + Math.exp(-x));
/** One row through a matrix of the network. */
function layer(name: string, x: readonly number[]): number[] {
  const [weight, bias] = ["weight", "bias"].map((part) => values.get(`fvae.${name}.${part}`)!);
  return [...bias!].map((b, o) => x.reduce((sum, value, i) => sum + weight![o * x.length + i]! * value, b));
}

/** Means and logarithms of variances, by convolutions as written down: y_o(p) = b_o + sum W_okc x_c(2 p + k). */
function encoded(row: readonly number[], condition: readonly number[]): number[] {
  let x = row.map((value) => [value]); // (positions, channels)
  for (const i of SIZES.channels.keys())
    x = Array.from({ length: x.length / 2 }, (_, p) =>
      layer(`encoder.${i}`, [...x[2 * p]!, ...x[2 * p + 1]!]).map(silu),
    );
  return layer("encoder.latent", [...x.flat(), ...condition]);
}

function decodedOf(z: readonly number[], condition: readonly number[]): number[] {
  let x = layer("decoder.latent", [...z, ...condition]);
  for (const i of [1, 0]) {
    const width = SIZES.channels[i]!;
    const active = x.map(silu);
    x = Array.from({ length: active.length / width }, (_, p) =>
      layer(`decoder.${i}`, active.slice(p * width, (p + 1) * width)),
    ).flat();
  }
  return x;
}

const BATCH = 3;
const width = paddedWidth(SIZES);
const rows = Float32Array.from(normals(1, BATCH * width), (x, i) => (i % width < SIZES.count ? x : 0));
const conditions = Float32Array.from(normals(2, BATCH * SIZES.condition));
const noise = Float32Array.from(normals(3, BATCH * SIZES.latent));
const part = (of: Float32Array, row: number, size: number) => [...of.subarray(row * size, (row + 1) * size)];

/** Error and divergence of all rows. */
function lossOf(): number {
  let [error, far] = [0, 0];
  for (let b = 0; b < BATCH; b++) {
    const c = part(conditions, b, SIZES.condition);
    const row = part(rows, b, width);
    const both = encoded(row, c);
    const [mean, log] = [both.slice(0, SIZES.latent), both.slice(SIZES.latent)];
    const z = mean.map((m, i) => m + noise[b * SIZES.latent + i]! * Math.exp(log[i]! / 2));
    decodedOf(z, c).forEach((made, i) => {
      error += (made - row[i]!) ** 2 / (BATCH * SIZES.count);
    });
    mean.forEach((m, i) => {
      far += (m * m + Math.exp(log[i]!) - log[i]!) / (2 * BATCH);
    });
  }
  return error + 0.1 * far;
}

test("has as many weights as it says, and is as wide as its convolutions take", () => {
  expect(width).toBe(12);
  expect(weightsOf(SIZES)).toBe(network.parameters.reduce((sum, { size }) => sum + size, 0));
});

test("its losses are those of a loop, and their gradients those of differences", async () => {
  const rec = new Recorder(profileOf(gpu));
  const { error, divergence } = network.losses(rec, rec.input("rows", [BATCH, width]), {
    condition: rec.input("conditions", [BATCH, SIZES.condition]),
    noise: rec.input("noise", [BATCH, SIZES.latent]),
    weight: 0.1,
  });
  const total = add(rec, error, divergence);
  rec.output("total", total);
  rec.backward([[total, rec.constant(Float32Array.of(1), [1], "one")]]);
  const program = await Program.compile(gpu, rec);
  program.write("rows", rows);
  program.write("conditions", conditions);
  program.write("noise", noise);
  program.run({ accumulate: 0 });
  expect((await program.read("total"))[0]!).toBeCloseTo(lossOf(), 4);
  for (const { name, gradient, size } of network.parameters) {
    const found = await gpu.readFloats(gradient, size);
    const own = values.get(name)!;
    for (const i of new Set([0, Math.floor(size / 2), size - 1])) {
      const before = own[i]!;
      const [up, down] = [1e-5, -1e-5].map((step) => {
        own[i] = before + step;
        return lossOf();
      });
      own[i] = before;
      expect([name, i, Math.abs(found[i]! - (up! - down!) / 2e-5) < 2e-4]).toEqual([name, i, true]);
    }
  }
  program.free();
});

test("all the share on one task is the reconstruction of its adapter; a shift moves it", async () => {
  const spread = { mean: Float32Array.from(normals(4, 11)), deviation: new Float32Array(11).fill(0.5) };
  const mixture = new Mixture(gpu, { network, conditions, shares: [0, 1, 0], spread });
  const rec = new Recorder(profileOf(gpu), { training: false });
  rec.output("numbers", mixture.record(rec, rec.input("anchors", [BATCH, width]), "nothing"));
  const program = await Program.compile(gpu, rec);
  program.write("anchors", rows);
  const run = () => {
    program.run({ accumulate: 0 });
    return program.read("numbers");
  };
  const c = part(conditions, 1, SIZES.condition);
  const z = encoded(part(rows, 1, width), c).slice(0, SIZES.latent);
  const expected = decodedOf(z, c)
    .slice(0, 11)
    .map((value, i) => spread.mean[i]! + 0.5 * value);
  const alone = await run();
  for (const [i, value] of expected.entries()) expect(alone[i]!).toBeCloseTo(value, 5);
  expect(await mixture.shares()).toEqual([expect.closeTo(0, 12), 1, expect.closeTo(0, 12)]);

  mixture.begin([0.5, 0.25, 0.25]);
  expect((await mixture.shares()).map((share) => Number(share.toFixed(6)))).toEqual([0.5, 0.25, 0.25]);
  const mixed = await run();
  expect([...mixed]).not.toEqual([...alone]);
  const mix = (of: (b: number) => number[]) =>
    [0.5, 0.25, 0.25]
      .map((share, b) => of(b).map((value) => share * value))
      .reduce((sum, own) => sum.map((value, i) => value + own[i]!));
  const both = decodedOf(
    mix((b) => encoded(part(rows, b, width), part(conditions, b, SIZES.condition)).slice(0, SIZES.latent)),
    mix((b) => part(conditions, b, SIZES.condition)),
  );
  for (const i of mixed.keys()) expect(mixed[i]!).toBeCloseTo(spread.mean[i]! + 0.5 * both[i]!, 5);
  program.free();
  mixture.free();
});
