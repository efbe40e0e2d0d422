/** The search for short ways through layers. */
import { expect, test } from "bun:test";
import { keyedUnits } from "../../src/keyed-random.ts";
import { PathTree, type SearchOptions, stepsFrom, type Times } from "../../src/train/routers/path-tree.ts";

const OPTIONS: SearchOptions = { explore: 1.8, shorter: 3, chance: 0.1, rounds: 60, enough: 2 };

/** Searches where `isRight` says which ways are; gives what was found and all that was tried. */
function search(layers: number, isRight: (times: Times) => boolean, options = OPTIONS, seed = 1) {
  const tree = new PathTree(layers, options, keyedUnits(seed, "row"));
  const tried: Times[] = [];
  for (let times = tree.next(); times; times = tree.next()) {
    tried.push(times);
    tree.hear(isRight(times));
  }
  return { ...tree.found, tried };
}

const runs = (times: Times): number => times.reduce((sum, count) => sum + count, 0);

test("steps take one or two neighbours out of a path, or run a layer again", () => {
  const steps = stepsFrom([1, 1, 1]).map(String).sort();
  expect(steps).toEqual(["0,0,1", "0,1,1", "1,0,0", "1,0,1", "1,1,0", "1,1,2", "1,2,1", "2,1,1"]);
  expect(stepsFrom([2, 0, 1]).map(String).sort()).toEqual(["0,0,1", "1,0,0", "1,0,1", "2,0,0", "2,0,2"]);
  expect(stepsFrom([0, 1]).map(String)).toEqual(["0,2"]); // some layer always runs
});

test("the whole model is tried first, and no way twice; labels are 0, 1 or 2", () => {
  const { tried } = search(5, () => false);
  expect(tried[0]).toEqual([1, 1, 1, 1, 1]);
  expect(new Set(tried.map(String)).size).toBe(tried.length);
  expect(tried.flat().every((count) => count === 0 || count === 1 || count === 2)).toBe(true);
  expect(tried.every((times) => runs(times) > 0 && runs(times) <= 10)).toBe(true);
});

test("ends where the whole model is wrong and a way is right", () => {
  const { times, isRight, tried } = search(4, ([first, , , last]) => first === 2 && last === 1);
  expect(isRight).toBe(false);
  expect(times![0]).toBe(2);
  expect(tried.at(-1)).toEqual(times!);
});

test("ends with two layers fewer where the whole model is right", () => {
  const { times, isRight, tried } = search(6, ([, second]) => second === 1);
  expect(isRight).toBe(true);
  expect(runs(times!)).toBeLessThanOrEqual(4);
  expect(tried.filter((way) => way[1] === 1 && runs(way) <= 4).length).toBe(1);
});

test("of a row whose every layer counts the whole model is the way, and of one that nothing answers there is none", () => {
  const all = search(4, (times) => times.every((count) => count === 1));
  expect([all.times, all.isRight]).toEqual([[1, 1, 1, 1], true]);
  const none = search(4, () => false, { ...OPTIONS, rounds: 20 });
  expect(none.times).toBeUndefined();
  expect(none.tried.length).toBeLessThanOrEqual(21);
});

test("shorter ways are preferred, and equal seeds give equal searches", () => {
  const right = ([, , third]: Times) => third === 1;
  const patient = { ...OPTIONS, enough: 6, rounds: 200 };
  const { times, tried } = search(6, right, patient);
  expect(runs(times!)).toBeLessThanOrEqual(2);
  expect(search(6, right, patient).tried).toEqual(tried);
  expect(search(6, right, patient, 2).tried).not.toEqual(tried);
});
