/** Schedules by evolution strategies: the base learner at first, and what a searched one does that no constant does. */
import { expect, test } from "bun:test";
import { lifetime } from "../../../src/align/meta/lifetime.ts";
import { best, measure } from "../../../src/align/meta/measure.ts";
import { firstSchedule, multipliersOf, type Search, search } from "../../../src/align/meta/search.ts";

/** With INGOT_LONG=1 searches, which take minutes. */
const LONG = process.env.INGOT_LONG === "1";

const GIVEN: Search = {
  ...{ learner: { arms: 10, noise: 0.3, lr: 0.5, entropy: 0.05 }, lengths: [200, 2000], hidden: [16] },
  ...{ pairs: 16, lives: 4, generations: 60, sigma: 0.1, lr: 0.05, sees: true, seed: 0 },
};
const TEST = { lengths: [300, 700, 1500], lives: 40 };

const found = (given: Search) => {
  let net = firstSchedule(given);
  for (const { net: now } of search(given)) net = now;
  return multipliersOf(net, given);
};

test("a last layer of zeros is the learner as it is, bit for bit", () => {
  const multipliers = multipliersOf(firstSchedule(GIVEN), GIVEN);
  for (const share of [0, 0.3, 1]) expect(multipliers(share, 400)).toEqual([1, 1]);
  expect(lifetime(GIVEN.learner, multipliers, 200, 5)).toBe(lifetime(GIVEN.learner, () => [1, 1], 200, 5));
});

test("a search is a function of its seed", () => {
  const short = { ...GIVEN, generations: 2, pairs: 2, lives: 1 };
  const weights = (given: Search) => [...search(given)].map(({ net }) => [...net.weights]).at(-1)!;
  expect(weights(short)).toEqual(weights(short));
  expect(weights(short)).not.toEqual(weights({ ...short, seed: 1 }));
});

test.if(LONG)(
  "a searched schedule explores early, settles late, and beats constants on lifetimes that it never saw",
  () => {
    const multipliers = found(GIVEN);
    for (const length of TEST.lengths) {
      const [early, late] = [multipliers(0, length)[1], multipliers(1, length)[1]];
      expect(early).toBeGreaterThan(3);
      expect(late).toBeLessThan(0.5);
    }
    const own = measure(GIVEN.learner, multipliers, TEST).mean;
    expect(own).toBeGreaterThan(best(GIVEN.learner, TEST).mean + 0.004);
    const blind = measure(GIVEN.learner, found({ ...GIVEN, sees: false }), TEST).mean;
    expect(own).toBeGreaterThan(blind + 0.003);
  },
);
