/** What all corruptions have in common, and what each does. */
import { describe, expect, test } from "bun:test";
import type { Corruption, ImageShape } from "../../../src/data/corrupting/contract.ts";
import { Random } from "../../../src/data/random.ts";
import { loadMethods } from "../../../src/method/registry.ts";

const all = (await loadMethods("corruption")) as Corruption[];
const named = (name: string) => all.find((one) => one.name === name)!;
const SHAPE: ImageShape = [2, 9, 12];
const IMAGE = Array.from({ length: 2 * 9 * 12 }, (_, i) => (Math.floor(i / 3) % 2) * 0.8 + 0.1);
const WORDS = Array.from({ length: 200 }, (_, i) => `w${i}`);

/** What becomes of numbers or words at a severity. */
function worse(method: Corruption, severity: number, seed = 0): readonly (number | string)[] {
  const amount = method.amounts[severity - 1]!;
  const random = new Random(seed, method.name, severity);
  if (method.words) return method.words(WORDS, amount, { mask: "?", random });
  return method.image ? method.image(IMAGE, amount, { shape: SHAPE, random }) : method.numbers!(IMAGE, amount, random);
}

/** How far it is from what it was: a root mean square, or a share of words that are gone. */
function distance(method: Corruption, severity: number): number {
  const found = [0, 1, 2, 3, 4].map((seed) => worse(method, severity, seed));
  if (method.words)
    return 1 - found.reduce((sum, words) => sum + words.filter((w) => WORDS.includes(`${w}`)).length, 0) / 5 / 200;
  const squares = found.map((x) => x.reduce<number>((sum, v, i) => sum + (Number(v) - IMAGE[i]!) ** 2, 0));
  return Math.sqrt(squares.reduce((a, b) => a + b, 0) / 5 / IMAGE.length);
}

describe.each(all.map((method) => [method.name, method] as const))("%s", (_, method) => {
  test("is of one kind of input", () => {
    expect([method.numbers, method.image, method.words].filter(Boolean)).toHaveLength(1);
  });
  test("keeps the number of values, and follows its seed", () => {
    expect(worse(method, 3)).toEqual(worse(method, 3));
    if (!method.words) expect(worse(method, 3)).toHaveLength(IMAGE.length);
  });
  test("gets worse from severity to severity", () => {
    const found = [1, 2, 3, 4, 5].map((severity) => distance(method, severity));
    expect(found[0]).toBeGreaterThan(0);
    for (let i = 1; i < 5; i++) expect(found[i]!).toBeGreaterThanOrEqual(found[i - 1]! * 0.999);
    expect(found[4]).toBeGreaterThan(1.3 * found[0]!);
  });
});

const flat = Array<number>(40_000).fill(0.5);
const meanOf = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / x.length;

test("noises have the moments that they claim", () => {
  const deviationOf = (x: readonly number[]) => {
    const mean = meanOf(x);
    return Math.sqrt(meanOf(x.map((v) => (v - mean) ** 2)));
  };
  const gauss = named("gaussian-noise").numbers!(flat, 0.18, new Random(0, "a"));
  expect([meanOf(gauss), deviationOf(gauss)]).toEqual([expect.closeTo(0.5, 2), expect.closeTo(0.18, 2)]);
  const shot = named("shot-noise").numbers!(flat, 12, new Random(0, "b"));
  expect([meanOf(shot), deviationOf(shot)]).toEqual([expect.closeTo(0.5, 2), expect.closeTo(Math.sqrt(0.5 / 12), 2)]);
  const hit = named("impulse-noise").numbers!(flat, 0.27, new Random(0, "c"));
  const ends = [0, 1].map((end) => hit.filter((v) => v === end).length / flat.length);
  expect(ends).toEqual([expect.closeTo(0.135, 2), expect.closeTo(0.135, 2)]);
});

test("blur and pixelate leave a flat image alone and keep the mean of blocks; channels do not mix", () => {
  const one = Array.from({ length: 2 * 64 }, (_, i) => (i < 64 ? 0.25 : 0.75));
  const given = { shape: [2, 8, 8] as ImageShape, random: new Random(0, "d") };
  for (const name of ["blur", "pixelate"])
    for (const [i, v] of named(name).image!(one, 0.5, given).entries()) expect(v).toBeCloseTo(one[i]!, 12);
  const steps = Array.from({ length: 64 }, (_, i) => i / 64);
  const blocks = named("pixelate").image!(steps, 0.5, { ...given, shape: [1, 8, 8] });
  expect(blocks[0]).toBeCloseTo((0 + 1 + 8 + 9) / 4 / 64, 12);
  expect(new Set(blocks).size).toBe(16);
});

test("an occlusion hides a square within the image, of all channels", () => {
  for (let seed = 0; seed < 20; seed++) {
    const zeros = Array<number>(2 * 9 * 12).fill(0);
    const x = named("occlusion").image!(zeros, 0.4, { shape: SHAPE, random: new Random(seed, "e") });
    const hidden = x.flatMap((v, i) => (v === 0.5 ? [i] : []));
    expect(hidden).toHaveLength(2 * 4 * 4);
    expect(hidden.slice(16)).toEqual(hidden.slice(0, 16).map((i) => i + 108));
  }
});

test("spans are masked whole, and as many words as asked for", () => {
  const words = named("span-mask").words!(WORDS, 0.3, { mask: "?", random: new Random(0, "f") });
  const kept = words.filter((word) => word !== "?");
  expect(kept).toHaveLength(140);
  expect(words.some((word, i) => word === "?" && words[i + 1] === "?")).toBe(false);
  expect(kept).toEqual(WORDS.filter((word) => kept.includes(word)));
});
