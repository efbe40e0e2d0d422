import { expect, test } from "bun:test";
import { Programs } from "../../src/run/programs.ts";
import { scale } from "../../src/tensor/ops/elementwise.ts";
import { SlotPool } from "../../src/tensor/slots.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();

/** Doubles the first `n` numbers; what was recorded is `n`. */
const doubled = (programs: Programs<number>, n: number, recorded: number[] = []) =>
  programs.get(`${n}`, (rec) => {
    recorded.push(n);
    rec.output("y", scale(rec, rec.input("x", [n]), 2));
    return n;
  });

test("records each key once, also when it is asked for again while it compiles", async () => {
  const programs = new Programs<number>(gpu);
  const recorded: number[] = [];
  const [first, second] = await Promise.all([doubled(programs, 3, recorded), doubled(programs, 3, recorded)]);
  const other = await doubled(programs, 5, recorded);
  expect(second.program).toBe(first.program);
  expect((await doubled(programs, 3, recorded)).program).toBe(first.program);
  expect(recorded).toEqual([3, 5]);
  expect([first.recorded, other.recorded]).toEqual([3, 5]);
  first.program.write("x", Float32Array.of(1, 2, 3));
  first.program.run();
  expect([...(await first.program.read("y"))]).toEqual([2, 4, 6]);
  programs.free();
});

test("gives all memory back, and leaves memory that was lent to it", async () => {
  const before = gpu.pool.lent;
  const slots = new SlotPool(gpu);
  slots.take([1024]);
  const lent = gpu.pool.lent;
  for (const options of [{}, { slots }]) {
    const programs = new Programs<number>(gpu, options);
    await doubled(programs, 300);
    await doubled(programs, 7);
    expect(programs.ownBytes).toBeGreaterThanOrEqual(2 * 4 * 307);
    programs.free();
    expect(gpu.pool.lent).toBe(lent);
  }
  slots.free();
  expect(gpu.pool.lent).toBe(before);
});

test("a recording that throws leaves no key behind", async () => {
  const programs = new Programs<number>(gpu);
  const refused = programs.get("1", () => {
    throw new RangeError("no such shape");
  });
  await expect(refused).rejects.toThrow("no such shape");
  expect((await doubled(programs, 1)).recorded).toBe(1);
  programs.free();
});
