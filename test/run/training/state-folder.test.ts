/**
 * What is left of a saved state when the process dies: before every operation of the file system that a run does, once
 * and twice in a row. The run is a pretence that writes small files; the operations are those of the real one.
 */
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { findState, VERSION } from "../../../src/run/training/found-state.ts";
import { refuseForeign, refuseOverwriting } from "../../../src/run/training/saved-state.ts";
import { leftoverIn, removeState, replaceState } from "../../../src/run/training/state-folder.ts";

const FILES = ["config.json", "model.safetensors", "optimizer.safetensors"];
const STEPS = 2;

let folder: string;
beforeEach(() => {
  folder = path.join(fs.mkdtempSync(path.join(tmpdir(), "ingot-state-")), "run-state");
});
afterEach(() => fs.rmSync(path.dirname(folder), { recursive: true, force: true }));

/**
 * Runs `work` until it has done so many operations; all further ones fail, as after the death of the process. False
 * when it came to its end before.
 */
async function killedAfter(operations: number, work: () => Promise<void>): Promise<boolean> {
  let left = operations;
  const real = { ...fs };
  const one = <A extends unknown[], R>(operation: (...args: A) => R) =>
    ((...args: A) => {
      if (left-- <= 0) throw new Error("killed");
      return operation(...args);
    }) as typeof operation;
  /** Entry by entry, as the system does it. */
  const remove = (at: string) => {
    const stat = real.lstatSync(at, { throwIfNoEntry: false });
    if (stat?.isDirectory()) {
      for (const name of real.readdirSync(at)) remove(path.join(at, name));
      one(real.rmdirSync)(at);
    } else if (stat) one(real.unlinkSync)(at);
  };
  const spies = [
    spyOn(fs, "renameSync").mockImplementation(one(real.renameSync)),
    spyOn(fs, "writeFileSync").mockImplementation(one(real.writeFileSync)),
    spyOn(fs, "rmdirSync").mockImplementation(one(real.rmdirSync)),
    spyOn(fs, "rmSync").mockImplementation((at) => remove(String(at))),
  ];
  try {
    await work();
  } catch (error) {
    if (left >= 0) throw error;
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return left < 0;
}

/** Trains from the state that is there; `saved` hears of every state that was saved, and of the result as Infinity. */
async function train(saved: (step: number) => void): Promise<void> {
  refuseForeign(folder);
  const begun = findState(folder)?.progress.training.step ?? 0;
  for (let step = begun + 1; step <= STEPS; step++) {
    const progress = JSON.stringify({ version: VERSION, training: { step } });
    await replaceState(folder, findState(folder)?.folder, progress, async (saving) => {
      for (const name of FILES) fs.writeFileSync(path.join(saving, name), String(step));
    });
    saved(step);
  }
  fs.writeFileSync(path.join(folder, "../result"), "result");
  saved(Number.POSITIVE_INFINITY);
  removeState(folder);
}

/** The step of the state that is found; fails when one of its files is of another. */
function wholeStep(): number {
  refuseForeign(folder);
  expect(leftoverIn(folder)).toBeUndefined();
  const found = findState(folder);
  if (!found) return 0;
  const { step } = found.progress.training;
  const texts = FILES.map((name) => fs.readFileSync(path.join(found.folder, name), "utf8"));
  expect(texts).toEqual(FILES.map(() => String(step)));
  return step;
}

/** Trains, killed after so many operations; false when it came to its end. No step that was saved may be lost. */
async function trainKilled(operations: number): Promise<boolean> {
  let done = wholeStep();
  const isKilled = await killedAfter(operations, () =>
    train((step) => {
      done = step;
    }),
  );
  const found = wholeStep();
  if (done < Number.POSITIVE_INFINITY) expect(found).toBeGreaterThanOrEqual(done);
  return isKilled;
}

test("killed before any operation, twice in a row, a run loses no state and leaves none when it ends", async () => {
  let pairs = 0;
  for (let first = 0; ; first++) {
    let reachedEnd = false;
    for (let second = 0; ; second++) {
      fs.rmSync(path.dirname(folder), { recursive: true });
      fs.mkdirSync(path.dirname(folder));
      reachedEnd = !(await trainKilled(first));
      if (reachedEnd || !(await trainKilled(second))) break;
      pairs++;
      await train(() => {});
      expect(fs.readdirSync(path.dirname(folder))).toEqual(["result"]);
    }
    if (reachedEnd) break;
  }
  expect(pairs).toBeGreaterThan(500);
}, 120_000);

describe("what lies at the place of a state", () => {
  const put = (place: string, files: Record<string, string>) => {
    fs.mkdirSync(path.join(folder, place), { recursive: true });
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, place, name), text);
  };
  const state = (step: number, ...without: string[]) =>
    Object.fromEntries(
      [
        ...FILES.map((name) => [name, String(step)]),
        ["training.json", JSON.stringify({ version: VERSION, training: { step } })],
      ].filter(([name]) => !without.includes(name!)),
    );

  test("the state with the most steps counts, wherever it is", () => {
    put("last", state(2));
    put(".before", state(1));
    put(".saving", state(3));
    expect(wholeStep()).toBe(3);
    expect(() => refuseOverwriting(folder)).toThrow("holds step 3 of a run that was not finished");
  });

  test("a state that is not yet whole does not", () => {
    put(".before", state(1));
    put(".saving", state(2, "training.json"));
    expect(wholeStep()).toBe(1);
  });

  test("a state without a part is what a run that was over left: it hinders no new run, nor one that resumes", async () => {
    put("last", state(2, "optimizer.safetensors"));
    expect(findState(folder)).toBeUndefined();
    expect(leftoverIn(folder)).toBe(path.join(folder, "last"));
    refuseForeign(folder);
    refuseOverwriting(folder);
    await train(() => {});
    expect(fs.readdirSync(path.dirname(folder))).toEqual(["result"]);
  });

  test("a damaged one is named, unless another is whole", () => {
    put("last", { ...state(2), "training.json": "{" });
    expect(() => findState(folder)).toThrow(`${path.join(folder, "last", "training.json")} is damaged: `);
    put(".before", state(1));
    expect(findState(folder)?.progress.training.step).toBe(1);
  });

  test("someone's own files are refused", () => {
    put("last", { "thesis.txt": "all of it" });
    expect(() => refuseForeign(folder)).toThrow(
      `${path.join(folder, "last")} exists but is not a saved training state`,
    );
  });
});
