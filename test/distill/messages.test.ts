/**
 * Messages between student and teacher: what their terms are where the truth is known, and runs that keep messengers.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { method } from "../../src/distill/methods/messages.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { liveTeacher } from "../../src/run/teachers/teacher.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { TEXT, Workshop } from "../cli/distill-models.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { lossOf } from "./objective.ts";

const gpu = await sharedGpu();
const unit = randomUnits(9);
const rows: Sequence[] = [12, 7, 9].map((length, i) => {
  const ids = Int32Array.from({ length }, () => Math.floor(50 * unit()));
  return { ids, labels: ids, group: 0, place: `${i}` };
});
const batch = collate(rows.map((row) => [row]));

describe("terms", () => {
  const config = TINY_TEXT.llama!;
  const specsOf = (model: Model) =>
    method.extra!({ student: model.sizes, teacher: model.sizes, values: bindDefaults(method).values as never });

  /** Messengers that give back what they read: relu(x) - relu(-x). */
  function identities(model: Model): Map<string, Parameter> {
    return new Map(
      specsOf(model).map(({ name, shape }) => {
        const parameter = new Parameter(gpu, name, shape);
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
        const [out = 0, into = 0] = shape;
        if (shape.length === 2)
          for (let i = 0; i < Math.min(out, into); i++) {
            values[i * into + i] = 1;
            if (out > into) values[(i + into) * into + i] = -1;
            else values[i * into + i + out] = -1;
          }
        parameter.write(values);
        return [name, parameter];
      }),
    );
  }

  test("with messengers that change nothing and a student that is the teacher all are 0, and only then", async () => {
    const [student, same, other] = await Promise.all([1, 1, 2].map((seed) => Model.fresh(gpu, config, "m", { seed })));
    const extra = identities(student!);
    const of = (teacher: Model) =>
      lossOf({ model: student!, method, teachers: [liveTeacher(teacher, teacher.sizes.outputs)], extra }, batch, [
        ...student!.trainable(),
        ...extra.values(),
      ]);
    const { metrics } = await of(same!);
    for (const name of ["interaction", "message", "consistency"]) expect(Math.abs(metrics[name]!)).toBeLessThan(1e-9);
    const apart = await of(other!);
    expect(apart.metrics.interaction).toBeGreaterThan(0.01);
    expect(apart.metrics.message).toBeGreaterThan(0.01);
    expect(apart.metrics.consistency).toBeLessThan(1e-9);
    for (const model of [student!, same!, other!]) model.free();
    for (const parameter of extra.values()) parameter.free();
  });
});

describe("runs", async () => {
  const shop = await Workshop.make();
  afterAll(() => shop.close());
  const line = `large --student small ${TEXT} --method messages --steps 3 --lr 0.02 --save-every 0`;

  test("learn by messages between other widths, keep the messengers where asked, and give the student alone", async () => {
    const { code, err } = await shop.distill(`${line} --keep-messengers kept.safetensors --log run.log -o out/`);
    expect([code, err]).toEqual([0, err]);
    const [first, , last] = shop.steps("run.log");
    expect(first!.distill).toBeCloseTo(first!.interaction! + first!.message! + first!.consistency!, 4);
    expect(last!.consistency).toBeLessThan(first!.consistency!);
    const own = await shop.tensorsOf("out/model.safetensors");
    expect([...own.keys()].some((name) => name.includes("encoder"))).toBe(false);
    const kept = await shop.tensorsOf("kept.safetensors");
    expect(kept.size).toBe(16);
    expect(kept.get("messengers.student.encoder.0")!.length).toBe(2 * 16 * 16);
  });

  test("a loss without messages is training on labels", async () => {
    await shop.distill(`${line} --interaction-weight 0 --message-weight 0 --consistency-weight 0 -o none/`);
    await shop.distill(`${line.replace("messages", "hidden")} --distill-weight 0 -o labels/`);
    expect(await shop.apart("none/model.safetensors", "labels/model.safetensors")).toBe(0);
  });

  test.each([
    ["--layers 9:1", "--layers: the student has no layer 9"],
    ["--layers last:last", "--layers last:last: messages go between one layer of each"],
  ])("refuse %s", async (more, said) => {
    const { code, err } = await shop.distill(`${line} ${more} -o refused/`);
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
  });
});
