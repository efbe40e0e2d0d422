/** Blobs and glyphs: stated distributions, and the error of the best classifier found by trying it. */
import { describe, expect, test } from "bun:test";
import { bayesError } from "../../../src/data/tasks/blobs.ts";
import { openTask, rowsOf } from "./open-task.ts";

const distance = (a: readonly number[], b: readonly number[]): number =>
  Math.sqrt(a.reduce((sum, x, d) => sum + (x - b[d]!) ** 2, 0));

/** The class whose mean is nearest. */
function nearestMean(x: readonly number[], means: readonly (readonly number[])[]): number {
  const distances = means.map((mean) => distance(x, mean));
  return distances.indexOf(Math.min(...distances));
}

describe("blobs", () => {
  test("the error of the best classifier is what tables of the normal distribution say", () => {
    // Two classes: Phi(-separation / 2 std); values of Phi from tables.
    expect(bayesError(2, 2, 1)).toBeCloseTo(0.15865525393, 9);
    expect(bayesError(2, 3.92, 2)).toBeCloseTo(0.16354305933, 9);
    expect(bayesError(2, 5.1516586071, 1)).toBeCloseTo(0.005, 9);
    for (const classes of [2, 5, 40]) expect(bayesError(classes, 0, 1)).toBeCloseTo(1 - 1 / classes, 9);
    expect(bayesError(3, 100, 1)).toBeLessThan(1e-9);
  });

  test("means lie equally far apart", async () => {
    const { facts } = await openTask("blobs", { classes: 5, dims: 7, separation: 2.5 });
    const means = facts.means as number[][];
    for (let i = 0; i < 5; i++) for (let j = 0; j < i; j++) expect(distance(means[i]!, means[j]!)).toBeCloseTo(2.5, 5);
  });

  test("the nearest mean errs as often as stated, within five standard errors, and labels are balanced", async () => {
    for (const split of ["train", "test"] as const) {
      const source = await openTask("blobs", { classes: 4, dims: 6, separation: 2, split });
      const rows = rowsOf(source, 4000);
      const errors = rows.filter(
        ({ x, label }) => nearestMean(x as number[], source.facts.means as number[][]) !== label,
      );
      const expected = source.facts.bayes_error as number;
      expect(expected).toBeGreaterThan(0.2);
      expect(Math.abs(errors.length / 4000 - expected)).toBeLessThan(5 * Math.sqrt((expected * (1 - expected)) / 4000));
      for (let c = 0; c < 4; c++) expect(rows.filter(({ label }) => label === c).length).toBe(1000);
    }
  });

  test("label noise touches the share asked for, in train alone", async () => {
    const wrong = async (split: "train" | "test") =>
      rowsOf(await openTask("blobs", { label_noise: 0.25, split }), 2000).filter((row) => row.label !== row.clean_label)
        .length;
    expect(Math.abs((await wrong("train")) - 500)).toBeLessThan(5 * Math.sqrt(2000 * 0.25 * 0.75));
    expect(await wrong("test")).toBe(0);
  });

  test("more classes than dimensions are refused", async () => {
    await expect(openTask("blobs", { classes: 5, dims: 4 })).rejects.toThrow(
      "--dims 4 cannot hold 5 equally distant means",
    );
  });
});

const PLAIN = { canvas: 9, shift: 0, noise: 0 };

/** The ten clean pictures, middle of the canvas. */
async function clean(): Promise<Map<number, string>> {
  const pictures = new Map<number, string>();
  for (const { x, label } of rowsOf(await openTask("glyphs", PLAIN), 30)) {
    const picture = (x as number[]).join("");
    expect(pictures.get(label as number) ?? picture).toBe(picture);
    pictures.set(label as number, picture);
  }
  return pictures;
}

describe("glyphs", () => {
  test("digits look like digits", async () => {
    const pictures = await clean();
    expect(new Set(pictures.values()).size).toBe(10);
    const drawn = (label: number) =>
      pictures
        .get(label)!
        .match(/.{9}/g)!
        .slice(1, 8)
        .map((row) => row.slice(2, 7).replaceAll("0", ".").replaceAll("1", "#"));
    expect(drawn(4)).toEqual(["...#.", "..##.", ".#.#.", "#..#.", "#####", "...#.", "...#."]);
    expect(drawn(7)).toEqual(["#####", "....#", "...#.", "..#..", ".#...", ".#...", ".#..."]);
  });

  test("shifted digits are the clean ones elsewhere, and all places occur", async () => {
    const pictures = await clean();
    const places = new Set<string>();
    for (const { x, label } of rowsOf(await openTask("glyphs", { canvas: 13, shift: 3, noise: 0 }), 600)) {
      const values = x as number[];
      const ink = values.flatMap((value, i) => (value === 1 ? [[Math.floor(i / 13), i % 13] as const] : []));
      const clear = [...pictures.get(label as number)!].flatMap((value, i) =>
        value === "1" ? [[Math.floor(i / 9), i % 9] as const] : [],
      );
      const move = [ink[0]![0] - clear[0]![0], ink[0]![1] - clear[0]![1]] as const;
      expect(ink).toEqual(clear.map(([row, column]) => [row + move[0], column + move[1]] as const));
      places.add(move.join());
    }
    expect(places.size).toBe(49);
  });

  test("turned digits keep their ink, up to interpolation", async () => {
    const pictures = await clean();
    for (const { x, label } of rowsOf(
      await openTask("glyphs", { canvas: 13, shift: 0, noise: 0, rotation: 25 }),
      100,
    )) {
      const ink = (x as number[]).reduce((sum, value) => sum + value, 0);
      const whole = [...pictures.get(label as number)!].filter((value) => value === "1").length;
      expect(Math.abs(ink / whole - 1)).toBeLessThan(0.15);
    }
  });

  test("values lie between paper and ink, and labels are balanced", async () => {
    const rows = rowsOf(await openTask("glyphs", { noise: 0.5 }), 200);
    for (const { x } of rows) for (const value of x as number[]) expect(value >= 0 && value <= 1).toBe(true);
    for (let c = 0; c < 10; c++) expect(rows.filter(({ label }) => label === c).length).toBe(20);
  });

  test("long tails have the stated shares in train, and none in test", async () => {
    const source = await openTask("glyphs", { imbalance: 50 });
    const share = source.facts.class_share as number[];
    expect(share[0]! / share[9]!).toBeCloseTo(50, 9);
    const rows = rowsOf(source, 5000);
    for (let c = 0; c < 10; c++) {
      const count = rows.filter(({ label }) => label === c).length;
      expect(Math.abs(count - 5000 * share[c]!)).toBeLessThan(5 * Math.sqrt(5000 * share[c]! * (1 - share[c]!)));
    }
    expect((await openTask("glyphs", { imbalance: 50, split: "test" })).facts.class_share).toEqual(
      new Array(10).fill(0.1),
    );
  });

  test("a shift beyond the canvas is refused", async () => {
    await expect(openTask("glyphs", { canvas: 10, shift: 3 })).rejects.toThrow(
      "--shift 3 moves digits off a canvas of 10 pixels",
    );
  });
});
