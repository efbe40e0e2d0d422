/** Who has which rows, and who begins and arrives when. */
import { expect, test } from "bun:test";
import { chosenFor, localSteps, participation, serverSteps } from "../../../src/run/among/pace.ts";
import { dirichlet, dirichletParts, evenParts } from "../../../src/run/among/partition.ts";

const CLASSES = Array.from({ length: 400 }, (_, i) => i % 4);
const sizes = (owner: Int32Array, clients: number) =>
  Array.from({ length: clients }, (_, client) => owner.filter((each) => each === client).length);

/** Mean over the clients of the share that their largest class has. */
function skew(owner: Int32Array, clients: number): number {
  let sum = 0;
  for (let client = 0; client < clients; client++) {
    const own = CLASSES.filter((_, row) => owner[row] === client);
    const counts = [0, 1, 2, 3].map((each) => own.filter((label) => label === each).length);
    sum += Math.max(...counts) / own.length / clients;
  }
  return sum;
}

test("rows are dealt out evenly, by seed", () => {
  expect(sizes(evenParts(11, 3, 1), 3)).toEqual([4, 4, 3]);
  expect(evenParts(11, 3, 1)).toEqual(evenParts(11, 3, 1));
  expect(evenParts(11, 3, 2)).not.toEqual(evenParts(11, 3, 1));
  expect([...evenParts(5, 1, 9)]).toEqual([0, 0, 0, 0, 0]);
  expect(() => evenParts(2, 3, 0)).toThrow("2 rows are too few for 3 clients");
});

test("shares of a Dirichlet distribution sum to 1 and have its mean and variance", () => {
  for (const alpha of [0.05, 0.5, 5]) {
    const draws = Array.from({ length: 2000 }, (_, i) => dirichlet(4, alpha, 0, `${i}`));
    for (const shares of draws) expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    const first = draws.map(([share]) => share!);
    const mean = first.reduce((a, b) => a + b, 0) / 2000;
    const variance = first.reduce((sum, share) => sum + (share - mean) ** 2, 0) / 2000;
    expect(mean).toBeCloseTo(0.25, 1);
    expect(variance / ((0.25 * 0.75) / (4 * alpha + 1))).toBeGreaterThan(0.85);
    expect(variance / ((0.25 * 0.75) / (4 * alpha + 1))).toBeLessThan(1.15);
  }
});

test("a small alpha gives each client few classes, and every client has rows", () => {
  const parts = [0.05, 0.5, 1e6].map((alpha) => dirichletParts(CLASSES, { clients: 5, alpha, seed: 3 }));
  for (const owner of parts) expect(Math.min(...sizes(owner, 5))).toBeGreaterThan(0);
  const [few, some, all] = parts.map((owner) => skew(owner, 5));
  expect(few!).toBeGreaterThan(some!);
  expect(some!).toBeGreaterThan(all!);
  expect(all!).toBeLessThan(0.27);
});

test("a round waits for those that are chosen for it", () => {
  const base = { clock: "rounds", interval: 1, buffer: 1, seed: 4 } as const;
  const all = serverSteps({ ...base, times: [1, 5, 2], share: 1 }, 2);
  expect(all).toEqual([
    { begin: [0, 1, 2], arrive: [0, 1, 2], time: 5 },
    { begin: [0, 1, 2], arrive: [0, 1, 2], time: 10 },
  ]);
  const chosen = Array.from({ length: 200 }, (_, round) => chosenFor(round, 10, 0.3, 4));
  for (const round of chosen) expect(round.length).toBe(3);
  const often = Array.from({ length: 10 }, (_, client) => chosen.filter((round) => round.includes(client)).length);
  expect(Math.min(...often)).toBeGreaterThan(35);
  expect(Math.max(...often)).toBeLessThan(85);
});

test("a fast client arrives more often, at intervals, one by one and by the buffer", () => {
  const base = { times: [1, 5], interval: 1, buffer: 2, share: 1, seed: 0 };
  const interval = serverSteps({ ...base, clock: "interval" }, 10);
  expect(interval.map(({ arrive }) => arrive.length)).toEqual([1, 1, 1, 1, 2, 1, 1, 1, 1, 2]);
  expect(interval[5]!.begin).toEqual([0, 1]);
  expect(participation(interval, ["a", "b"])).toEqual({ a: 1, b: 0.2 });
  const each = serverSteps({ ...base, clock: "each" }, 600);
  expect(participation(each, ["a", "b"]).a).toBeCloseTo(5 / 6, 2);
  expect(each[1]!).toEqual({ begin: [0], arrive: [0], time: 2 });
  expect(serverSteps({ ...base, clock: "buffer" }, 2)).toEqual([
    { begin: [0, 1], arrive: [0, 1], time: 5 },
    { begin: [0, 1], arrive: [0, 1], time: 10 },
  ]);
  // An interval as long as the slowest client is a round of all.
  const long = serverSteps({ ...base, clock: "interval", interval: 5 }, 3);
  expect(long).toEqual(serverSteps({ ...base, clock: "rounds" }, 3));
});

test("local steps lie between their bounds, by seed, client and round", () => {
  const drawn = Array.from({ length: 300 }, (_, round) => localSteps(10, 1, { seed: 0, name: "a", round }));
  expect(Math.min(...drawn)).toBe(1);
  expect(Math.max(...drawn)).toBe(10);
  expect(localSteps(10, 10, { seed: 0, name: "a", round: 0 })).toBe(10);
});
