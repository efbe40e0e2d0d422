import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { decoding, gradientCode } from "../../src/train/coded/gradient-code.ts";
import { SCHEMES, schemeOf } from "../../src/train/coded/schemes.ts";
import { compareSchemes, simulate } from "../../src/train/coded/stragglers.ts";
import { runScript } from "../support/command.ts";
import { normals, randomUnits } from "../support/random.ts";

describe("a gradient code", () => {
  test.each([
    [6, 0],
    [6, 2],
    [7, 2],
    [8, 3],
    [5, 4],
    [9, 4],
  ])("of %d workers stands %d stragglers, whoever they are, to rounding", (n, s) => {
    const code = gradientCode(n, s, 1);
    for (const row of code) expect(row.filter((weight) => weight !== 0)).toHaveLength(s + 1);
    const parts = Array.from({ length: n }, (_, part) => normals(part, 20));
    const whole = Array.from({ length: 20 }, (_, i) => parts.reduce((sum, part) => sum + part[i]!, 0));
    const sums = code.map((row) =>
      Float32Array.from({ length: 20 }, (_, i) =>
        row.reduce((sum, weight, part) => sum + weight * parts[part]![i]!, 0),
      ),
    );
    const unit = randomUnits(n + s);
    for (let draw = 0; draw < 20; draw++) {
      const came = Array.from({ length: n }, (_, worker) => [unit(), worker] as const)
        .sort(([a], [b]) => a - b)
        .slice(s)
        .map(([, worker]) => worker);
      const weights = decoding(code, came)!;
      const size = Math.max(...weights.map(Math.abs), 1) * Math.max(...code.flat().map(Math.abs));
      for (const [i, expected] of whole.entries()) {
        const found = came.reduce((sum, worker, k) => sum + weights[k]! * sums[worker]![i]!, 0);
        expect(Math.abs(found - expected)).toBeLessThan(1e-6 * n * size);
      }
    }
    if (s < n - 1) expect(decoding(code, [0])).toBeUndefined();
  });

  test("without stragglers is plain data parallelism: each worker sends its own part", () => {
    expect(gradientCode(3, 0, 5)).toEqual([
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ]);
    expect(decoding(gradientCode(3, 0, 5), [0, 2])).toBeUndefined();
  });
});

const SETTINGS = { workers: 6, stragglers: 2, window: 4, burst: 2, distinct: 3 };

describe("schemes", () => {
  test("have the loads and delays of their formulas", () => {
    const found = SCHEMES.map((name) => schemeOf(name, SETTINGS, 9)).map(({ load, delay }) => [load, delay]);
    expect(found).toEqual([
      [1 / 6, 0],
      [3 / 6, 0],
      [(Math.ceil(6 / 5) + 1) / 6, 2],
      [(4 * 5) / (6 * (2 + 3 * 4)), 4],
    ]);
  });

  test.each([1, 2, 3])(
    "wait for nobody where stragglers are as they expect, and know every gradient (seed %d)",
    (seed) => {
      // Two neighbours are slow for two rounds, then nobody for three: at most two in four rounds, in bursts of two.
      const unit = randomUnits(seed);
      const first = Array.from({ length: 30 }, () => Math.floor(6 * unit()));
      const isSlow = (round: number, worker: number) =>
        round % 5 < 2 && [0, 1].some((next) => (first[Math.floor(round / 5)]! + next) % 6 === worker);
      const trace = (round: number, worker: number) => (isSlow(round, worker) ? 100 : 1);
      for (const name of ["sr-sgc", "m-sgc"] as const) {
        const { time, rounds, done } = simulate(name, { ...SETTINGS, distinct: 2 }, { jobs: 60, trace, overhead: 1 });
        expect([done, rounds]).toEqual([60, name === "m-sgc" ? 64 : 62]);
        expect(time).toBeLessThan(2 * rounds);
      }
      const coded = simulate("gc", SETTINGS, { jobs: 60, trace, overhead: 1 });
      expect([coded.done, coded.time]).toEqual([60, 60 * 1.5]);
      expect(simulate("plain", SETTINGS, { jobs: 60, trace, overhead: 1 }).time).toBeGreaterThan(1000);
    },
  );

  test.each([1])(
    "coded ways are faster than waiting for all, m-sgc faster than gc, exact all of them (seed %d)",
    (seed) => {
      const slowness = { begin: 0.05, stay: 0.4, times: 6, overhead: 0.05, spread: 0.05 };
      const found = compareSchemes(slowness, { workers: 12, jobs: 60, seed });
      for (const { done } of found) expect(done).toBe(60);
      const [plain, gc, again, interleaved] = found.map(({ time }) => time) as [number, number, number, number];
      expect(gc).toBeLessThan(plain);
      expect(again).toBeLessThan(gc);
      expect(interleaved).toBeLessThan(0.9 * gc);
    },
  );

  test("where nobody is slow there is nothing to gain, and the command says so", async () => {
    const line = "stragglers --workers 4 --jobs 20 --slow-begin 0 --spread 0 --json";
    const { text } = await runScript("train", line.split(" "), tmpdir());
    const { schemes } = JSON.parse(text);
    expect(schemes).toHaveLength(4);
    for (const { over_plain } of schemes) expect(over_plain).toBeGreaterThan(1 - 1e-9);
  });
});
