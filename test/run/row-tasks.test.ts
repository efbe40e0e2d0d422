/** The task of every row, for adapters that choose by it: an input only where it is asked for. */
import { expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { linear } from "../../src/tensor/ops/linear.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();
const sequence = (group: number) => ({ ids: Int32Array.of(1), labels: Int32Array.of(1), group, place: "" });
const batchOf = (rows: readonly (readonly number[])[]) => collate(rows.map((groups) => groups.map(sequence)));

test("rows of a table by task", async () => {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const batch = batchOf([[2], [0], [2]]);
  const inputs = recordInputs(rec, batch);
  expect(rec.inputs.has("tasks")).toBe(false);
  const table = rec.constant(Float32Array.of(10, 11, 20, 21, 30, 31), [3, 2], "table");
  rec.output("chosen", linear(rec, inputs.tasks!(3), table, { transposed: true }));
  expect(inputs.tasks!(3)).toBe(rec.inputs.get("tasks")!);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  expect([...(await program.read("chosen"))]).toEqual([30, 31, 10, 11, 30, 31]);
  expect(() => fillInputs(program, batchOf([[0, 1], [1], [1]]))).toThrow("this model asks for the task of each");
  expect(() => fillInputs(program, batchOf([[2], [3], [0]]))).toThrow("the model knows 3 of them as tasks");
  program.free();
});
