import { describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Model } from "../../src/model/model.ts";
import type { RoundJob } from "../../src/run/cluster/contract.ts";
import { Programs } from "../../src/run/programs.ts";
import { numberBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { fromByte, NOT_FINITE, toByte } from "../../src/train/zeroth/byte.ts";
import { ZerothJob } from "../../src/train/zeroth/job.ts";
import { ByteSteps, directionSeed, Slopes } from "../../src/train/zeroth/zeroth-order.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const NET = { model_type: "mlp", input_size: 5, hidden_sizes: [7], num_labels: 3 };
const fresh = () => Model.fresh(gpu, NET, "m", { seed: 2 });
const rows = Array.from({ length: 40 }, (_, i) => {
  const x = normals(i, 5);
  return { x, shape: [5], label: x[0]! > 0.3 ? 0 : x[1]! > 0 ? 1 : 2, group: 0, place: `row ${i}` };
});
const source = () => numberBatches(rows, 8, 3);
const SETTINGS = { seed: 9, eps: 1e-3, lr: 0.05, samples: 6 };

describe("a number in a byte", () => {
  test("is right to 6.5 % from 0.0004 to 2500, with its sign; the rest becomes the nearest that there is", () => {
    for (let x = 4e-4; x < 2500; x *= 1.013)
      for (const y of [x, -x]) expect(Math.abs(fromByte(toByte(y)) / y - 1)).toBeLessThan(0.065);
    for (let byte = 0; byte < 256; byte++) if (byte !== NOT_FINITE) expect(toByte(fromByte(byte))).toBe(byte);
    expect(Math.abs(fromByte(100) / Math.exp(36 / 8) - 1)).toBeLessThan(1e-13);
    expect(fromByte(toByte(1e-9))).toBe(fromByte(1));
    expect(fromByte(toByte(-1e9))).toBe(fromByte(255));
    expect([toByte(Number.NaN), toByte(Number.POSITIVE_INFINITY)]).toEqual([NOT_FINITE, NOT_FINITE]);
  });
});

describe("slopes", () => {
  test("are the products of the gradient and the directions, as eps goes to 0", async () => {
    const model = await fresh();
    const trained = model.trainable();
    const steps = new ByteSteps(model, SETTINGS);
    const batches = source();
    const slopes = new Slopes(model, steps, source(), { ...SETTINGS, samples: 3 });
    const { bytes } = await slopes.measure(1, 0, 3);
    const objective = crossEntropyObjective(model);
    const programs = new Programs(gpu, { training: true });
    for (let sample = 0; sample < 3; sample++) {
      const { batch } = await batches.next();
      const { program } = await programs.get("", (rec) => rec.backward(objective.record(rec, batch, "").backward));
      objective.fill(program, batch, objective.counted(batch, ""), "");
      await program.start({ accumulate: 0 });
      let expected = 0;
      for (const { gradient, buffer, size } of trained) {
        const [g, before] = [await gpu.readFloats(gradient, size), await gpu.readFloats(buffer, size)];
        steps.moved.save();
        await steps.moved.walk(1, directionSeed(9, 1, sample));
        const after = await gpu.readFloats(buffer, size);
        steps.moved.restore();
        expected += g.reduce((sum, x, i) => sum + x * (after[i]! - before[i]!), 0);
      }
      expect(Math.abs(fromByte(bytes[sample]!) / expected - 1)).toBeLessThan(0.08);
    }
    programs.free();
    slopes.free();
    steps.free();
    model.free();
  });

  test("leave the weights as they were, and steps without a finite loss are refused", async () => {
    const model = await fresh();
    const job = new ZerothJob(model, source(), { ...SETTINGS, steps: 2, share: 4 });
    const before = await job.digest();
    await job.work(1, 1);
    expect(await job.digest()).toBe(before);
    expect(job.refusal(0, new Uint8Array(4))).toBeUndefined();
    expect(job.refusal(1, new Uint8Array(4))).toBe("it has 4 bytes for 2 samples");
    expect(job.apply(1, [new Uint8Array(6).fill(NOT_FINITE)])).rejects.toThrow("no loss of step 1 is finite");
    expect(await job.digest()).toBe(before);
    job.free();
    model.free();
  });
});

/** All rounds by several who have a model each and see nothing of one another but answers; their digests. */
async function together(workers: number, share: number, steps: number): Promise<string[]> {
  const models = await Promise.all(Array.from({ length: workers }, fresh));
  const jobs = models.map((model) => new ZerothJob(model, source(), { ...SETTINGS, steps, share }));
  const [first] = jobs as [RoundJob & ZerothJob];
  for (let round = 1; round <= steps; round++) {
    const answers: Uint8Array[] = [];
    for (let task = 0; task < first.tasks; task++) answers.push(await jobs[task % workers]!.work(round, task));
    for (const job of jobs) await job.apply(round, answers);
  }
  const digests = await Promise.all(jobs.map((job) => job.digest()));
  for (const job of jobs) job.free();
  for (const model of models) model.free();
  return digests;
}

test("1, 2 and 4 workers have the same weights, bit for bit, however the samples are shared out", async () => {
  const found = [await together(1, 6, 4), await together(2, 3, 4), await together(4, 1, 4), await together(2, 4, 4)];
  expect(new Set(found.flat()).size).toBe(1);
  expect((await together(1, 6, 3))[0]).not.toBe(found[0]![0]);
});

test("a state that was saved is where another goes on, with the same answers, weights and bytes", async () => {
  const [through, late, other] = await Promise.all([fresh(), fresh(), fresh()]);
  const jobs = [through, late, other].map(
    (model) => new ZerothJob(model, source(), { ...SETTINGS, steps: 20, share: 6 }),
  );
  const [first, second, third] = jobs as [ZerothJob, ZerothJob, ZerothJob];
  await third.work(1, 0); // it has drawn rows when the state comes
  for (let round = 1; round <= 9; round++) await first.apply(round, [await first.work(round, 0)]); // beyond an epoch
  const parts = await first.save();
  expect(parts.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThanOrEqual(first.stateBytes + 9 * 6);
  for (const job of [second, third]) await job.load(9, parts);
  expect(await second.save()).toEqual(parts);
  for (let round = 10; round <= 12; round++) {
    const answers = [await first.work(round, 0)];
    for (const job of [second, third]) expect([await job.work(round, 0)]).toEqual(answers);
    for (const job of jobs) await job.apply(round, answers);
  }
  for (const job of jobs) expect([await job.digest(), job.codes]).toEqual([await first.digest(), first.codes]);
  expect(second.load(8, parts)).rejects.toThrow("the saved state of step 8 has not the bytes of its steps");
  expect(second.load(9, parts.slice(0, -1))).rejects.toThrow("a saved state has other weights than this model");
  for (const job of jobs) job.free();
  for (const model of [through, late, other]) model.free();
});

describe("the commands", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-zo-"));
  const run = (line: string) => runScript("train", line.split(" "), folder);
  writeFileSync(join(folder, "net.json"), JSON.stringify(NET));
  writeFileSync(
    join(folder, "rows.jsonl"),
    rows.map(({ x, label }) => `${JSON.stringify({ x: [...x], label })}\n`).join(""),
  );
  const LEARN = "zo-byte --init net.json --data rows.jsonl --steps 30 --samples 4 --batch-size 20 --lr 0.1";

  test("learn, and make the result of its bytes again", async () => {
    const learnt = await run(`${LEARN} --eval-data rows.jsonl --codes steps.safetensors --json -o out/`);
    expect(learnt.err).not.toContain("error");
    const told = JSON.parse(learnt.text);
    expect(told).toMatchObject({ steps: 30, samples: 4, passes: 240, code_bytes: 120 });
    expect(told.held_out_loss).toBeLessThan(0.8);
    const again = await run("replay --init net.json --codes steps.safetensors --json -o again.safetensors");
    expect(JSON.parse(again.text).digest).toBe(told.digest);
  });

  test("refuse another start, and files without bytes", async () => {
    const other = await run("replay out/ --codes steps.safetensors -o no.safetensors");
    expect(other.err).toContain("out/ is not what the bytes of steps.safetensors were trained on");
    const none = await run("replay --init net.json --codes out/model.safetensors -o no.safetensors");
    expect(none.err).toContain("out/model.safetensors holds no bytes of a training");
  });
});
