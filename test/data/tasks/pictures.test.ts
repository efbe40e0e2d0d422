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

  test("some digits alone, by their own labels or by their places", async () => {
    const [plain, own, placed] = await Promise.all([
      openTask("glyphs", { noise: 0 }),
      openTask("glyphs", { digits: "72", noise: 0 }),
      openTask("glyphs", { digits: "72", labels: "place", noise: 0 }),
    ]);
    expect(own.facts).toMatchObject({ classes: 10, class_share: [0, 0, 0.5, 0, 0, 0, 0, 0.5, 0, 0] });
    expect(placed.facts).toMatchObject({ classes: 2, class_share: [0.5, 0.5] });
    const rows = rowsOf(own, 40);
    expect(rows.filter(({ label }) => label === 7).length).toBe(20);
    expect(rows.filter(({ label }) => label === 2).length).toBe(20);
    for (const [i, { x, label }] of rowsOf(placed, 40).entries())
      expect([x, [7, 2][label as number]]).toEqual([rows[i]!.x, rows[i]!.label]);
    // The same pictures as without, where the digit is the same.
    const both = rowsOf(plain, 40).flatMap(({ x, label }, i) => (label === rows[i]!.label ? [[x, rows[i]!.x]] : []));
    expect(both.length).toBeGreaterThan(0);
    for (const [a, b] of both) expect(a).toEqual(b);
  });

  test("permuted pixels are the same pixels elsewhere, one permutation for all rows of a seed", async () => {
    const of = async (pixels: number, seed = 0) => rowsOf(await openTask("glyphs", { pixels, seed }), 200);
    const [plain, one, two, other] = await Promise.all([of(0), of(1), of(2), of(1, 1)]);
    const track = (rows: readonly { x?: unknown }[]) =>
      Array.from({ length: 144 }, (_, i) => rows.map(({ x }) => (x as number[])[i]).join());
    const [before, after] = [track(plain), track(one)];
    expect([...after].sort()).toEqual([...before].sort());
    expect(after.filter((pixel, i) => pixel === before[i]).length).toBeLessThan(10);
    expect(track(two)).not.toEqual(after);
    expect(one.map(({ label }) => label)).toEqual(plain.map(({ label }) => label));
    expect(other.map(({ label }) => label)).not.toEqual(one.map(({ label }) => label));
  });

  test("a turn of 180 degrees, and of -90, is the picture read the other way round", async () => {
    const still = { shift: 0, noise: 0, canvas: 9 };
    const of = async (angle: number) => rowsOf(await openTask("glyphs", { ...still, angle }), 10);
    const [plain, half, quarter] = await Promise.all([of(0), of(180), of(-90)]);
    const close = (a: readonly number[], b: readonly number[]) => a.every((v, i) => Math.abs(v - b[i]!) <= 0.001);
    for (const [i, { x }] of plain.entries()) {
      const picture = x as number[];
      expect(close(half[i]!.x as number[], [...picture].reverse())).toBe(true);
      const turned = picture.map((_, at) => picture[9 * (at % 9) + 8 - Math.floor(at / 9)]!);
      expect(close(quarter[i]!.x as number[], turned)).toBe(true);
    }
  });

  test("an offset moves every digit to the right, and not off the canvas", async () => {
    const of = async (offset: number) => rowsOf(await openTask("glyphs", { noise: 0, shift: 1, offset }), 20);
    const [plain, moved] = await Promise.all([of(0), of(2)]);
    for (const [i, { x }] of plain.entries())
      expect(moved[i]!.x).toEqual((x as number[]).map((_, at) => (at % 12 < 2 ? 0 : (x as number[])[at - 2]!)));
    await expect(openTask("glyphs", { offset: 2, shift: 2 })).rejects.toThrow(
      "--offset 2 and --shift 2 move digits off a canvas of 12 pixels",
    );
  });

  test("the tail goes over the digits that occur", async () => {
    const source = await openTask("glyphs", { digits: "935", imbalance: 16 });
    const share = source.facts.class_share as number[];
    expect([share[9]! / share[5]!, share[9]! / share[3]!].map((p) => Number(p.toFixed(9)))).toEqual([16, 4]);
  });
});
