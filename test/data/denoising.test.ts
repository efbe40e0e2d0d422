import { describe, expect, test } from "bun:test";
import {
  DENOISERS,
  denoise,
  denoisedLabels,
  denoisedSize,
  MODES,
  noiseOf,
  noiseSpans,
  reconstruct,
} from "../../src/data/denoising.ts";
import { Random } from "../../src/data/random.ts";

const ALL = MODES.flatMap((mode) => DENOISERS[mode].map((denoiser) => ({ mode, denoiser })));
const SENTINELS = Array.from({ length: 200 }, (_, k) => 1000 + k);
const MODE_IDS = { R: 2000, S: 2001, X: 2002 };
const textOf = (length: number, seed: number) => {
  const random = new Random("text", seed);
  return Int32Array.from({ length }, () => random.below(900));
};

describe("what denoisers leave out", () => {
  test.each(ALL)("$mode $denoiser: all tokens come back, whatever stands around them", ({ mode, denoiser }) => {
    for (const length of [2, 3, 7, 64, 333])
      for (const tokens of [
        { sentinels: SENTINELS, modes: MODE_IDS, end: 999 },
        { sentinels: SENTINELS },
        { sentinels: SENTINELS, end: 999 },
      ]) {
        const text = textOf(length, length);
        const made = denoise(text, mode, denoiser, tokens, new Random(length));
        expect(reconstruct(made, tokens)).toEqual([...text]);
        const size = denoisedSize(length, denoiser, tokens);
        expect(made.ids.length).toBe(size.tokens);
        expect(new Set(made.ids).intersection(new Set(SENTINELS)).size).toBe(size.sentinels);
        const counted = [...denoisedLabels(made)];
        expect(counted.slice(0, made.start).every((label) => label === -100)).toBe(true);
        expect(counted.slice(made.start)).toEqual([...made.ids.subarray(made.start)]);
      }
  });

  test.each(ALL)("$mode $denoiser: as many tokens as its rate says, in spans of its mean", ({ denoiser }) => {
    for (const length of [20, 128, 500]) {
      const spans = noiseSpans(length, denoiser, new Random("rate", length));
      const noise = spans.reduce((sum, span) => sum + span.length, 0);
      expect(spans.length).toBe(noiseOf(length, denoiser).spans);
      expect(Math.abs(noise / length - denoiser.rate)).toBeLessThanOrEqual(spans.length / length);
      for (const [i, { start, length: size }] of spans.entries()) {
        expect(size).toBeGreaterThanOrEqual(1);
        // Something is kept between spans, so that each has a sentinel of its own.
        expect(start).toBeGreaterThan(i === 0 ? 0 : spans[i - 1]!.start + spans[i - 1]!.length);
      }
      expect(spans.at(-1)!.start + spans.at(-1)!.length).toBe(length);
      if (!denoiser.isSuffix && length === 500) expect(noise / spans.length / denoiser.span).toBeCloseTo(1, 0);
    }
  });

  test("S leaves out the last quarter, and nothing marks it", () => {
    const text = textOf(40, 1);
    const made = denoise(text, "S", DENOISERS.S[0]!, { sentinels: [], modes: MODE_IDS }, new Random(1));
    expect([...made.ids]).toEqual([MODE_IDS.S, ...text]);
    expect(made.start).toBe(31);
  });

  test("spans are everywhere, by the random numbers alone", () => {
    const covered = new Set<number>();
    const denoiser = DENOISERS.R[0]!;
    for (let draw = 0; draw < 200; draw++)
      for (const { start, length } of noiseSpans(30, denoiser, new Random("covered", draw)))
        for (let at = start; at < start + length; at++) covered.add(at);
    expect(covered.size).toBe(29); // the first token is always kept
    expect(noiseSpans(30, denoiser, new Random("covered", 3))).toEqual(
      noiseSpans(30, denoiser, new Random("covered", 3)),
    );
  });

  test("what cannot be is refused", () => {
    const one = { sentinels: [5] };
    expect(() => denoise(Int32Array.of(1), "R", DENOISERS.R[0]!, one, new Random(0))).toThrow("nothing to leave out");
    expect(() => denoise(textOf(100, 0), "X", DENOISERS.X[0]!, one, new Random(0))).toThrow(
      "18 sentinels, and there are 1",
    );
  });
});
