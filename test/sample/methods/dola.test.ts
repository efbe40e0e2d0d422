/** DoLa against its formula in plain arithmetic, and on a model whose layers say nothing. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { jensenShannon, logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { method } from "../../../src/sample/methods/dola.ts";
import { combineWith, ruleWith, viewedModels } from "./combine-with.ts";

const logits = (p: readonly number[]) => Float32Array.from(p, Math.log);
const [LAST, NEAR, FAR] = [
  [0.5, 0.3, 0.15, 0.05],
  [0.4, 0.35, 0.2, 0.05],
  [0.1, 0.6, 0.1, 0.2],
];

test("log last - log early of the layer that differs most, among plausible tokens", () => {
  const bound = bindDefaults(method, { dola_layers: "1,3", dola_plausible: 0.2 });
  const notes: Record<string, number> = {};
  const combine = combineWith(bound, 1, { notes });
  for (const [early, layer] of [
    [[NEAR!, FAR!], 3],
    [[FAR!, NEAR!], 1],
  ] as const) {
    const found = logProbabilities(combine([LAST!, ...early].map(logits)));
    expect(notes.layer).toBe(layer);
    const want = [0, 1, 2].map((id) => LAST![id]! / FAR![id]!);
    const total = want.reduce((a, b) => a + b);
    for (const [id, x] of want.entries()) expect(Math.exp(found[id]!)).toBeCloseTo(x / total, 6);
    expect(found[3]).toBe(Number.NEGATIVE_INFINITY);
  }
});

test("the divergence of Jensen and Shannon is 0 of equals, the same either way, and ln 2 of strangers", () => {
  const [p, q] = [LAST!, FAR!].map((x) => Float64Array.from(x, Math.log));
  expect(jensenShannon(p!, p!)).toBeCloseTo(0, 12);
  expect(jensenShannon(p!, q!)).toBeCloseTo(jensenShannon(q!, p!), 12);
  const plain = [0, 1, 2, 3].reduce((sum, id) => {
    const [a, b] = [LAST![id]!, FAR![id]!];
    return sum + (a * Math.log((2 * a) / (a + b)) + b * Math.log((2 * b) / (a + b))) / 2;
  }, 0);
  expect(jensenShannon(p!, q!)).toBeCloseTo(plain, 12);
  const apart = [Float64Array.of(0, Number.NEGATIVE_INFINITY), Float64Array.of(Number.NEGATIVE_INFINITY, 0)];
  expect(jensenShannon(apart[0]!, apart[1]!)).toBeCloseTo(Math.LN2, 12);
});

const layersOf = (dola_layers: string, layers: number) => {
  const sizes = { layers, width: 8, outputs: 4, maxPositions: 64 };
  return ruleWith(bindDefaults(method, { dola_layers }), viewedModels(1, { sizes })).views.map(({ layer }) => layer);
};

test("buckets are every second layer of a half, or within 20 layers of an end", () => {
  expect(layersOf("low", 7)).toEqual([undefined, 0, 2]);
  expect(layersOf("high", 7)).toEqual([undefined, 3, 5]);
  expect(layersOf("high", 1)).toEqual([undefined, 0]);
  expect(layersOf("low", 48)).toEqual([undefined, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  expect(layersOf("high", 48).slice(0, 2)).toEqual([undefined, 28]);
  for (const odd of ["4", "3,2", "middle", "-1", "1.5"])
    expect(() => layersOf(odd, 4)).toThrow(`--dola-layers ${odd} names no early layers of m0, which has 4`);
  expect(() => layersOf("low", 1)).toThrow("names no early layers");
});
