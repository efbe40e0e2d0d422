/** How many experts tokens take over a training. */
import { expect, test } from "bun:test";
import { Model } from "../../../../src/model/model.ts";
import { tellActive } from "../../../../src/model/routing.ts";
import { fillInputs, recordInputs } from "../../../../src/run/batch-programs.ts";
import { ExpertCourse, parseLayers } from "../../../../src/run/training/experts/active-experts.ts";
import { Program, profileOf } from "../../../../src/tensor/program.ts";
import { Recorder } from "../../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { mixture, ROWS, training } from "./mixtures.ts";

const gpu = await sharedGpu();
const ROUTERS = new Map([
  [1, 6],
  [2, 6],
  [3, 6],
]);
const course = (start: number[], layers?: string) => new ExpertCourse({ start, layers, switch: 0.9 }, ROUTERS, 10);

test("layers are numbers and ranges", () => {
  expect(parseLayers("0-3")).toEqual([0, 1, 2, 3]);
  expect(parseLayers("0,2-4")).toEqual([0, 2, 3, 4]);
  for (const wrong of ["", "a", "3-1", "1-2-3"]) expect(() => parseLayers(wrong)).toThrow("is no layer");
  expect(() => parseLayers("0-2,1")).toThrow("names a layer twice");
});

test("the first layers with experts begin with more, until the switch", () => {
  const { active, key } = { active: (step: number) => course([4, 3]).active(step), key: course([4, 3]).key(1) };
  expect([1, 2, 3].map((layer) => active(9)!(layer, 2))).toEqual([4, 3, 2]);
  expect(active(10)).toBeUndefined();
  expect(key).toBe(" experts 4,3");
  expect(course([4, 3]).key(10)).toBe("");
  expect(course([5], "3").active(1)!(3, 2)).toBe(5);
  expect(() => course([4, 3], "1")).toThrow("--expert-start has 2 numbers for 1 layers with experts");
  expect(() => course([4], "0")).toThrow("layer 0 has no experts");
  expect(() => course([7])).toThrow("--expert-start 7: layer 1 has 6 experts");
  expect(() => course([2.5])).toThrow("--expert-start 2.5");
});

/** Values of what is trained, after steps under a course. */
async function trained(options: object, name = "olmoe") {
  const run = await training(mixture(name, { num_experts: 4, num_experts_per_tok: 2 }), options, {
    steps: 4,
    lr: 0.01,
  });
  for (const step of [1, 2, 3, 4]) await run.step(step, [ROWS]);
  const values = await Promise.all(run.model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  run.free();
  return values;
}

test("a start at the config's own number is the same training, and another one is another", async () => {
  const plain = await trained({});
  expect(await trained({ expert_start: [2, 2] })).toEqual(plain);
  expect(await trained({ expert_start: [4, 3], expert_switch: 0.5 })).not.toEqual(plain);
});

/** Hidden states of a mixture whose experts are all alike, with so many of them active. */
async function hiddenWith(model: Model, k: number | undefined, isTrained: boolean) {
  for (const parameter of model.parameters.values()) parameter.trainable = isTrained;
  const rec = new Recorder(profileOf(gpu));
  if (k !== undefined) tellActive(rec, () => k);
  rec.output("hidden", model.record(rec, recordInputs(rec, ROWS)).hidden);
  const program = await Program.compile(gpu, rec);
  fillInputs(program, ROWS);
  program.run();
  const hidden = await program.read("hidden");
  program.free();
  return hidden;
}

test.each([
  ["olmoe", { norm_topk_prob: false }],
  ["olmoe", { norm_topk_prob: true }],
  ["deepseek_v2", {}],
  ["gpt_oss", {}],
] as const)("%s %o: more active experts keep the scale of a layer's output", async (name, more) => {
  const model = await Model.fresh(gpu, mixture(name, more), "moe", { seed: 3 });
  for (const parameter of model.parameters.values()) {
    if (!/experts\./.test(parameter.name) || /shared/.test(parameter.name)) continue;
    const values = await gpu.readFloats(parameter.buffer, parameter.size);
    const each = parameter.size / parameter.shape[0]!;
    parameter.write(values.map((_, i) => values[i % each]!));
  }
  const own = await hiddenWith(model, undefined, true);
  const wider = await hiddenWith(model, 3, true);
  for (const [i, x] of own.entries()) expect(wider[i]).toBeCloseTo(x, 4);
  // A frozen model, such as a teacher in the same program, takes what its config says.
  expect(await hiddenWith(model, 3, false)).toEqual(own);
  model.free();
});

test("more experts than a router may choose from are refused", async () => {
  const groups = { expert_start: [5], expert_layers: "1" }; // two groups of two are chosen from
  const run = await training(mixture("deepseek_v3"), groups);
  await expect(run.step(1, [ROWS])).rejects.toThrow(
    "layer 1 is to take 5 experts for a token, and its router chooses from 4",
  );
  run.free();
});
