/** Keys of random streams depend on seed, tensor and model, and on nothing else. */
import { expect, test } from "bun:test";
import { randomKey } from "../../../src/merge/job/random-key.ts";

test("the same for the same, another for anything else, and always two words", () => {
  expect(randomKey(1, "w", 0)).toEqual(randomKey(1, "w", 0));
  const keys = new Set<string>();
  for (let seed = 0; seed < 10; seed++)
    for (const name of ["w", "w0", "0", "", "é"])
      for (let k = 0; k < 12; k++) {
        const key = randomKey(seed, name, k);
        expect(key.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32)).toBe(true);
        keys.add(key.join());
      }
  expect(keys.size).toBe(600);
});

test("digits do not run together", () => {
  expect(randomKey(1, "1", 1)).not.toEqual(randomKey(11, "", 1));
  expect(randomKey(1, "w1", 1)).not.toEqual(randomKey(1, "w", 11));
});
