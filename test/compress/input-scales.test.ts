import { expect, test } from "bun:test";
import { Energies, roundedDifference, scaleInputs } from "../../src/compress/input-scales.ts";
import { relativeError } from "../../src/compress/layer.ts";
import { GroupGrids } from "../../src/compress/nearest-codes.ts";
import { covers } from "../support/covers.ts";
import { expectWithin } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { gramOf, measuredLayer } from "../support/layer.ts";
import { normals, randomUnits } from "../support/random.ts";
import { fitGroup, roundedTo } from "../support/rounding.ts";

covers("compress/scale-sides", "compress/rounded-difference");

const gpu = await sharedGpu();

test.each([
  [1, 1],
  [7, 13],
  [33, 65],
])("a matrix %i x %i and what it reads are scaled against each other", async (rows, columns) => {
  const weight = normals(1, rows * columns);
  const x = normals(2, 40 * columns);
  const unit = randomUnits(3);
  const factors = Float32Array.from({ length: columns }, () => 0.1 + 3 * unit());
  using held = measuredLayer(gpu, weight, rows, x);
  const { layer } = held;
  const magnitudes = layer.inputs.magnitudes.slice();
  await scaleInputs(layer, factors);
  const scaled = await gpu.readFloats(layer.weight.buffer, rows * columns);
  expectWithin(
    scaled,
    weight.map((w, i) => w * factors[i % columns]!),
    (i) => 1e-6 * Math.abs(scaled[i]!) + 1e-30,
  );
  const { gram } = gramOf(
    x.map((v, i) => v / factors[i % columns]!),
    columns,
  );
  const found = await gpu.readFloats(layer.inputs.gram.buffer, columns ** 2);
  expectWithin(found, gram, () => 1e-5 * Math.max(...gram));
  expectWithin(
    layer.inputs.magnitudes,
    magnitudes.map((m, j) => m / factors[j]!),
    (j) => (1e-6 * magnitudes[j]!) / factors[j]!,
  );
});

test("energies are those of what rounding changes in scaled columns", async () => {
  const [rows, columns, group] = [5, 19, 8];
  const weight = normals(1, rows * columns);
  const factors = Float32Array.from({ length: columns }, (_, j) => 0.5 + (j % 3));
  using held = measuredLayer(
    gpu,
    weight.map((w, i) => w * factors[i % columns]!),
    rows,
    normals(2, 60 * columns),
  );
  const { layer } = held;
  const scheme = { bits: 3, group, symmetric: false, scales: "f32", keepZeros: false } as const;
  using grids = new GroupGrids(layer, scheme);
  await grids.fit(layer);
  using right = gpu.upload(factors, "factors");
  using into = gpu.buffer(4 * rows * columns, "difference");
  await roundedDifference(gpu, grids, { weight: layer.weight, factors: right, into });
  const expected = Array.from(weight, (w, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const first = row * columns + Math.floor(column / group) * group;
    const last = Math.min(first + group, (row + 1) * columns);
    const own = Array.from(weight.subarray(first, last), (v, k) => v * factors[(first + k) % columns]!);
    const [scale, zero] = fitGroup(own, { bits: 3 });
    return roundedTo(w * factors[column]!, scale, zero, 7) / factors[column]! - w;
  });
  const difference = await gpu.readFloats(into.buffer, rows * columns);
  expectWithin(difference, expected, () => 1e-5);
  using energies = new Energies(gpu, 2, rows * columns);
  await energies.add(into, rows, layer.inputs.gram);
  await energies.add(into, rows, layer.inputs.gram);
  const [first, second] = await energies.read();
  const energy = await relativeError(
    layer,
    weight,
    weight.map((w, i) => w + difference[i]!),
  );
  const whole = await relativeError(layer, difference, new Float32Array(rows * columns));
  expect([second, whole]).toEqual([first!, 1]);
  const gram = await gpu.readFloats(layer.inputs.gram.buffer, columns ** 2);
  let by = 0;
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < columns; i++)
      for (let j = 0; j < columns; j++)
        by += difference[r * columns + i]! * gram[i * columns + j]! * difference[r * columns + j]!;
  expect(first! / by).toBeCloseTo(1, 5);
  expect(energy).toBeGreaterThan(0);
});
