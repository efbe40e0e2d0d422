/** The order, bound and failures of work in flight. */
import { describe, expect, test } from "bun:test";
import { AT_ONCE, inFlight, rangesOf, type Task } from "../../src/inspect/in-flight-reads.ts";
import { entryOf } from "../support/entry.ts";

describe("in flight", () => {
  test("tasks start in order, never more than the bound at a time", async () => {
    const started: number[] = [];
    let [running, most] = [0, 0];
    const tasks = Array.from(
      { length: 20 },
      (_, i): Task =>
        async () => {
          started.push(i);
          most = Math.max(most, ++running);
          return async () => {
            await Bun.sleep((i * 7) % 5);
            running--;
          };
        },
    );
    await inFlight(tasks, false);
    expect(started).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(most).toBe(AT_ONCE);
    expect(running).toBe(0);
  });

  test("in order: each has loaded before the next starts", async () => {
    const events: string[] = [];
    const tasks = [0, 1, 2].map(
      (i): Task =>
        async () => {
          events.push(`start ${i}`);
          await Bun.sleep(3 - i);
          events.push(`loaded ${i}`);
          return async () => {};
        },
    );
    await inFlight(tasks, true);
    expect(events).toEqual(["start 0", "loaded 0", "start 1", "loaded 1", "start 2", "loaded 2"]);
  });

  test("the first failure is reported once everything has come to rest, and nothing more is started", async () => {
    let rested = false;
    let late = false;
    async function* tasks(): AsyncGenerator<Task> {
      yield async () => async () => {
        await Bun.sleep(10);
        rested = true;
      };
      yield async () => {
        throw new Error("disk");
      };
      await Bun.sleep(1);
      yield async () => {
        late = true;
        return async () => {};
      };
      throw new Error("never reached");
    }
    await expect(inFlight(tasks(), false)).rejects.toThrow("disk");
    expect([rested, late]).toEqual([true, false]);
  });

  test("an abort stops what has not started", async () => {
    const stop = new AbortController();
    let count = 0;
    const tasks = Array.from(
      { length: 50 },
      (): Task => async () => {
        if (++count === 3) stop.abort();
        return async () => {};
      },
    );
    await expect(inFlight(tasks, true, stop.signal)).rejects.toThrow();
    expect(count).toBe(3);
  });
});

test("chunks cover a tensor, in whole rows where an adapter changes it", () => {
  const plain = entryOf("w", "F32", [5, 3], new Float32Array(15));
  expect(rangesOf([plain], 7).map(({ start, length }) => [start, length])).toEqual([
    [0, 7],
    [7, 7],
    [14, 1],
  ]);
  const patch = { a: new Float32Array(3), b: new Float32Array(5), rank: 1, scale: 1, transposed: false };
  const ranges = rangesOf([plain, { ...plain, patch }], 7);
  expect(ranges.map(({ start, length }) => [start, length])).toEqual([
    [0, 6],
    [6, 6],
    [12, 3],
  ]);
});
