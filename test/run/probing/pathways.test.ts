import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { editDistance, pathwayOf, pathwaysOf, type RowRoutes } from "../../../src/run/probing/pathways.ts";

const OPTIONS = { share: 0.7, pairs: 500, seed: 0 };
const [LAYERS, EXPERTS, WIDTH] = [3, 6, 4];
const random = new Random(1, "pathways");
const drawn = (sharpness: number): Float64Array => {
  const values = Float64Array.from({ length: EXPERTS }, () => Math.exp(sharpness * random.normal()));
  const sum = values.reduce((a, b) => a + b, 0);
  return values.map((value) => value / sum);
};
const rows: RowRoutes[] = Array.from({ length: 12 }, (_, i) => ({
  ...{ group: i % 2, layers: Array.from({ length: LAYERS }, () => drawn(2)) },
}));
const embeddings = Array.from({ length: LAYERS }, () =>
  Float32Array.from({ length: EXPERTS * WIDTH }, () => random.normal()),
);

test("a pathway has the likeliest experts of each layer until they reach the share", () => {
  expect(pathwayOf([Float64Array.of(0.1, 0.6, 0.3), Float64Array.of(0.8, 0.1, 0.1)], 0.7)).toEqual([
    "0.1",
    "0.2",
    "1.0",
  ]);
});

test("the distance is Levenshtein's, over the longer", () => {
  expect(editDistance([..."kitten"], [..."sitting"])).toBeCloseTo(3 / 7, 12);
  expect([editDistance([], []), editDistance(["a"], []), editDistance(["a"], ["a"])]).toEqual([0, 1, 0]);
});

test("other names of experts change nothing, the same route is no distance, and routes without a common expert are all", () => {
  const found = pathwaysOf(rows, embeddings, OPTIONS);
  const order = random.shuffled(Array.from({ length: EXPERTS }, (_, e) => e));
  const renamed = rows.map(({ layers, group }) => ({
    group,
    layers: layers.map((own) => own.map((_, e) => own[order[e]!]!)),
  }));
  const moved = embeddings.map((own) =>
    Float32Array.from(own, (_, i) => own[order[Math.floor(i / WIDTH)]! * WIDTH + (i % WIDTH)]!),
  );
  const again = pathwaysOf(renamed, moved, OPTIONS);
  for (const key of ["distance", "within", "across", "inconsistency"] as const)
    expect(again[key]!).toBeCloseTo(found[key]!, 9);
  const same = rows.map(({ group }) => ({ group, layers: rows[0]!.layers }));
  expect(pathwaysOf(same, embeddings, OPTIONS).distance).toBe(0);
  const apart = [0, 1].map((e) => ({
    group: 0,
    layers: [Float64Array.from({ length: 2 }, (_, i) => (i === e ? 1 : 0))],
  }));
  expect(pathwaysOf(apart, [new Float32Array(4)], OPTIONS)).toEqual({ distance: 1 });
});

test("layers whose routers have the same rows and shares are consistent", () => {
  const shares = drawn(1);
  const steady = rows.map(({ group }) => ({ group, layers: Array.from({ length: LAYERS }, () => shares) }));
  expect(pathwaysOf(steady, Array(LAYERS).fill(embeddings[0]!), OPTIONS).inconsistency!).toBeCloseTo(0, 9);
  expect(pathwaysOf(rows, embeddings, OPTIONS).inconsistency!).toBeGreaterThan(0.1);
});
