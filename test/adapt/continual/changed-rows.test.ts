/** Images that are moved, turned and mixed, by hand. */
import { describe, expect, test } from "bun:test";
import { halved, moved, otherView, turned } from "../../../src/adapt/continual/changed-rows.ts";
import { stackExamples } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";

const images = (...rows: readonly (readonly number[])[]) => {
  const side = Math.sqrt(rows[0]!.length);
  return stackExamples(rows.map((x) => ({ x: Float32Array.from(x), shape: [1, side, side], label: 0 })));
};

const IMAGE = [1, 2, 3, 4, 5, 6, 7, 8, 9];

describe("changed images", () => {
  test("turned to the left by quarters, each row by its own", () => {
    const found = turned(images(IMAGE, IMAGE, IMAGE, IMAGE), [0, 1, 2, 3]);
    expect([...found.subarray(0, 9)]).toEqual(IMAGE);
    expect([...found.subarray(9, 18)]).toEqual([3, 6, 9, 2, 5, 8, 1, 4, 7]);
    expect([...found.subarray(18, 27)]).toEqual([...IMAGE].reverse());
    expect([...found.subarray(27)]).toEqual([7, 4, 1, 8, 5, 2, 9, 6, 3]);
  });

  test("moved by whole pixels, with zeros behind", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const [row] = [moved(images(IMAGE), 1, new Random(seed))];
      const at = row.indexOf(5);
      expect(at).toBeGreaterThanOrEqual(0); // the middle stays in the image
      const [down, right] = [Math.floor(at / 3) - 1, (at % 3) - 1];
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 3; j++) {
          const [a, b] = [i - down, j - right];
          const inside = a >= 0 && a < 3 && b >= 0 && b < 3;
          expect(row[3 * i + j]!).toBe(inside ? IMAGE[3 * a + b]! : 0);
        }
      seen.add(`${down} ${right}`);
    }
    expect(seen.size).toBe(9);
  });

  test("mixed in halves with a partner", () => {
    const found = halved(images([1, 2, 3, 4], [5, 6, 7, 8]), [1, 1]);
    expect([...found]).toEqual([3, 4, 5, 6, 5, 6, 7, 8]);
  });

  test("noise is a function of seed and batch, of the standard deviation asked for", () => {
    const batch = images(Array(400).fill(0));
    const of = (seed: number, draw: string) =>
      otherView({ batch, refs: [], draw }, { shift: 0, noise: 0.5 }, seed, "a");
    const found = of(1, "first");
    expect(of(1, "first")).toEqual(found);
    expect(of(1, "second")).not.toEqual(found);
    expect(of(2, "first")).not.toEqual(found);
    const deviation = Math.sqrt(found.reduce((sum, x) => sum + x * x, 0) / 400);
    expect(Math.abs(deviation - 0.5)).toBeLessThan(0.06);
  });

  test("what cannot be turned or moved is named", () => {
    const flat = stackExamples([{ x: Float32Array.of(1, 2), shape: [2], label: 0 }]);
    expect(() => moved(flat, 1, new Random(0))).toThrow("rows are of shape (2)");
    const wide = stackExamples([{ x: new Float32Array(6), shape: [1, 2, 3], label: 0 }]);
    expect(() => turned(wide, [1])).toThrow("these are 2 by 3");
  });
});
