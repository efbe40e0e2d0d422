/** Parts of a training's work, joined. */
import { expect, test } from "bun:test";
import type { Batch } from "../../../src/data/batch.ts";
import type { Controller } from "../../../src/run/training/controller.ts";
import { joinWork, type WorkPart } from "../../../src/run/training/join-work.ts";
import { type Objective, ofBatch } from "../../../src/run/training/objective.ts";

const objective: Objective<Batch> = {
  name: "none",
  ...ofBatch((batch) => batch),
  record: () => ({ backward: [], metrics: {} }),
  fill() {},
};
const controller = (name: string): Controller => ({ name, state: () => null, load() {} });

test("lists follow each other, names are merged, ends run in turn, and all parts are freed", async () => {
  const done: string[] = [];
  const part = (name: string): WorkPart<Batch> => ({
    controllers: [controller(name)],
    memory: { [name]: 1 },
    told: () => ({ [`${name} told`]: 2 }),
    end: async () => void done.push(`${name} ended`),
    free: () => void done.push(`${name} freed`),
  });
  const work = joinWork(objective, [part("a"), undefined, { multiplier: () => 3 }, part("b")]);
  expect(work.controllers!.map(({ name }) => name)).toEqual(["a", "b"]);
  expect([work.memory, work.told!(), work.multiplier!(1)]).toEqual([{ a: 1, b: 1 }, { "a told": 2, "b told": 2 }, 3]);
  expect([work.source, work.stage]).toEqual([undefined, undefined]);
  await work.end!([]);
  work.free!();
  expect(done).toEqual(["a ended", "b ended", "a freed", "b freed"]);
});

test("two parts cannot both say the rate", () => {
  expect(() => joinWork(objective, [{ multiplier: () => 1 }, { multiplier: () => 2 }])).toThrow(
    "two parts of a training give multiplier",
  );
});
