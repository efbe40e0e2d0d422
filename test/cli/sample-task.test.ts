/** `sample --task`: an adapter that mixes its parts by tasks writes as a row of that task would go on. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { liveChoice, ofTask } from "../../src/model/adapters/from-file.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { nextModel } from "./next-model.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const { at, run } = await nextModel("sample-task");
const base = await open(at("next"));
const values = { adapter_rank: 4, poly_tasks: 2, poly_skills: 3 };
const type = bindDefaults(await loadMethod("adapter", "poly"), values);
const model = await Model.load(gpu, base, { adapter: { type, seed: 1, base: "next" } });
for (const [i, parameter] of model.trainable().entries()) parameter.write(normals(i, parameter.size, 1));
await saveModel(model, at("skilled/"), { files: new Map(), lineage: [] });
model.free();

test("each task has an answer of its own, which its gates give", async () => {
  const answers: number[][] = [];
  const adapter = await openPlain(at("skilled"));
  for (const task of ["0", "1"]) {
    const { text } = await run("sample", ["next+skilled", "3>", "-m", "6", "--json", "-q", "--task", task]);
    const { ids } = JSON.parse(text);
    const known = await Model.load(gpu, base, { adapter: await liveChoice(await ofTask(adapter, Number(task))) });
    const generator = new Generator(known);
    const prompt = [...new TextEncoder().encode("3>")];
    const [found] = await generator.complete([prompt], { ...GREEDY, maxTokens: 6, stop: [], batch: 1 });
    expect([...found!].slice(0, ids.length)).toEqual(ids);
    answers.push(ids);
    generator.free();
    known.free();
  }
  expect(answers[0]).not.toEqual(answers[1]);
  adapter.close();
});

test("without a task, with one that there is not, and without such an adapter it is refused", async () => {
  const refused = async (...argv: string[]) => (await run("sample", [...argv, "-q"])).err;
  expect(await refused("next+skilled", "3>")).toContain("nothing says of which of its 2 tasks");
  expect(await refused("next+skilled", "3>", "--task", "2")).toContain("poly_task 2 is not among 2 tasks");
  expect(await refused("next", "3>", "--task", "0")).toContain("has none");
});
