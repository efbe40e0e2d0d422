/** `unlearn attribute`, `unlearn --method dmm`, `unlearn dm-direct` and `evaluate klom` from the command line. */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { readAttribution, writeAttribution } from "../../src/unlearn/attribution/file.ts";
import { trainLab } from "../cli/train-lab.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();

const CLASSES = 3;
const ROWS = Array.from({ length: 200 }, (_, row) => ({
  x: Array.from(normals(900 + row, 4), (x, i) => Number((x + (i === row % CLASSES ? 1.5 : 0)).toFixed(4))),
  label: row % CLASSES,
}));
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(at(name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);

async function ok(line: string): Promise<string> {
  const [script = "", ...argv] = line.split(" ");
  const { code, err, text } = await run(script, argv);
  expect([line, code, code === 0 ? "" : err]).toEqual([line, 0, ""]);
  return text;
}

async function refusal(line: string): Promise<string> {
  const [script = "", ...argv] = line.split(" ");
  const { code, err } = await run(script, argv);
  expect(code).toBe(2);
  return err;
}

/** Mean square of what a model's outputs lack to those of the refit, over all rows. */
async function apart(model: string): Promise<number> {
  await ok(`unlearn attribute ${model}/ --data all.jsonl --forget gone.jsonl --attribution ridge -o ${model}.now`);
  const [found, refit] = [await readAttribution(at(`${model}.now`)), await readAttribution(at("refit.now"))];
  return found.outputs.reduce((sum, z, i) => sum + (z - refit.outputs[i]!) ** 2, 0) / found.outputs.length;
}

beforeAll(async () => {
  writeFileSync(
    at("mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 4, hidden_sizes: [8], num_labels: CLASSES }),
  );
  write("all.jsonl", ROWS);
  write("gone.jsonl", ROWS.slice(0, 40));
  write("left.jsonl", ROWS.slice(40));
  write("one.jsonl", ROWS.slice(0, 1));
  await ok("train --init mlp.json --data all.jsonl --steps 20 --lr 1e-2 -o body/");
  await ok("train analytic body/ --data all.jsonl --ridge 0.5 -o all/");
  await ok("train analytic body/ --data left.jsonl --ridge 0.5 -o refit/");
  await ok("unlearn attribute refit/ --data all.jsonl --forget gone.jsonl --attribution ridge -o refit.now");
});

test("ridge foretells the outputs of the refit, and dmm comes near them sooner than descent on the rows to keep", async () => {
  await ok("unlearn attribute all/ --data all.jsonl --forget gone.jsonl --attribution ridge -o ridge.safetensors");
  const [foretold, refit] = [await readAttribution(at("ridge.safetensors")), await readAttribution(at("refit.now"))];
  if (foretold.of.kind !== "forget") throw new Error("ridge foretells one forget set");
  expect(foretold.points).toEqual(refit.points);
  for (const [i, z] of foretold.of.without.entries()) expect(Math.abs(z - refit.outputs[i]!)).toBeLessThan(2e-6);
  const how = "--steps 12 --batch-size 64 --optimizer sgd --lr 0.05 --schedule constant --train-only classifier*";
  const rows = "--forget gone.jsonl --retain left.jsonl";
  await ok(`unlearn all/ --method dmm --attributions ridge.safetensors ${rows} ${how} -o matched/`);
  // Squares of what the labels ask for, on the rows to keep alone.
  const label = new Map(ROWS.map((row, i) => [foretold.points[i]!, row.label]));
  const without = Float32Array.from(foretold.of.without, (_, i) =>
    label.get(foretold.points[Math.floor(i / CLASSES)]!) === i % CLASSES ? 1 : 0,
  );
  await writeAttribution({ ...foretold, of: { ...foretold.of, without } }, at("labels.safetensors"), []);
  const alone = "--forget-weight 0 --retain-weight 1";
  await ok(`unlearn all/ --method dmm --attributions labels.safetensors ${rows} ${alone} ${how} -o descended/`);
  const [before, matched, descended] = [await apart("all"), await apart("matched"), await apart("descended")];
  expect(matched).toBeLessThan(0.5 * before);
  expect(matched).toBeLessThan(0.5 * descended);
});

test("where nothing is taken away, the model stays as it is", async () => {
  await ok("unlearn attribute body/ --data all.jsonl --forget gone.jsonl --attribution ridge -o body.safetensors");
  const found = await readAttribution(at("body.safetensors"));
  const { points, outputs } = found;
  const effects = new Float32Array(points.length * outputs.length);
  await writeAttribution({ ...found, of: { kind: "rows", rows: points, effects } }, at("nothing.safetensors"), []);
  const how = "--steps 3 --batch-size 32 --optimizer sgd --lr 0.1 --schedule constant";
  const rows = "--attributions nothing.safetensors --forget gone.jsonl --retain left.jsonl";
  await ok(`unlearn body/ --method dmm ${rows} ${how} -o same/`);
  const [before, after] = [await tensorsOf(at("body")), await tensorsOf(at("same"))];
  for (const [name, values] of after)
    for (const [i, w] of values.entries()) expect(Math.abs(w - before.get(name)![i]!)).toBeLessThan(1e-5);
});

test("a datamodel of few models: kept parts, direct answers, matching", async () => {
  const data = "--data gone.jsonl --data left.jsonl --block 40";
  const few = `unlearn attribute body/ ${data} --models 4 --epochs 1 --parts kept`;
  await ok(`${few} -o effects.safetensors`);
  expect(existsSync(at("kept"))).toBe(false);
  const found = await readAttribution(at("effects.safetensors"));
  expect(found.of.kind).toBe("rows");
  expect(found.points).toHaveLength(200);
  await ok("unlearn dm-direct effects.safetensors --forget gone.jsonl --data one.jsonl -o said.jsonl");
  const said = JSON.parse(readFileSync(at("said.jsonl"), "utf8"));
  expect(said.logits).toHaveLength(CLASSES);
  await ok(`unlearn attribute all/ ${data} --effects effects.safetensors -o other.safetensors`);
  const other = await readAttribution(at("other.safetensors"));
  expect(other.of).toEqual(found.of);
  expect(other.outputs).not.toEqual(found.outputs);
  expect(await refusal(`unlearn attribute all/ --data left.jsonl --effects effects.safetensors -o no`)).toContain(
    "has no effects of these rows",
  );
  const oracle = "--attribution oracle --forget gone.jsonl --models 2 --epochs 1";
  await ok(`unlearn attribute body/ ${data} ${oracle} -o oracle.safetensors`);
  expect((await readAttribution(at("oracle.safetensors"))).of.kind).toBe("forget");
});

test("gradients foretell what any rows add, of the model and of others like it", async () => {
  const few = "unlearn attribute body/ --data gone.jsonl --attribution trak --projection 64";
  await ok(`${few} --models 2 --epochs 1 --parts kept-trak -o trak.safetensors`);
  expect(existsSync(at("kept-trak"))).toBe(false);
  const found = await readAttribution(at("trak.safetensors"));
  if (found.of.kind !== "rows") throw new Error("trak is of any rows");
  expect(found.of.effects).toHaveLength(40 * 40 * CLASSES);
  expect(found.of.effects.some((x) => Math.abs(x) > 1e-4)).toBe(true);
  const rows = "--forget one.jsonl --retain gone.jsonl";
  await ok(`unlearn body/ --method dmm --attributions trak.safetensors ${rows} --steps 2 -o traced/`);
  expect(await refusal(`${few} --forget gone.jsonl -o no`)).toContain("trak foretells outputs without any rows");
  expect(await refusal(`${few.replace("64", "100")} -o no`)).toContain("--projection 100 is no power of two");
});

test("refuses what does not go together", async () => {
  const rows = "--forget left.jsonl --retain gone.jsonl --steps 1";
  expect(await refusal(`unlearn all/ --method dmm --attributions ridge.safetensors ${rows} -o no/`)).toContain(
    "says what a model without 40 other rows would say",
  );
  expect(
    await refusal("unlearn attribute body/ --data left.jsonl --forget gone.jsonl --attribution ridge -o no"),
  ).toContain("the row is not among --data");
  expect(await refusal("unlearn attribute body/ --data all.jsonl --forget gone.jsonl -o no")).toContain(
    "a datamodel foretells outputs without any rows",
  );
});

test("KLoM of models, with the floor", async () => {
  const models = "--unlearned all/ --unlearned body/ --retrained refit/ --retrained all/ --again refit/ --again all/";
  const found = JSON.parse(
    await ok(`evaluate klom ${models} --data forget=gone.jsonl --data retain=left.jsonl --json`),
  );
  expect(found).toMatchObject({ unlearned: 2, retrained: 2, floor_of: [2, 2] });
  expect(found.groups.map(({ group, points }: { group: string; points: number }) => [group, points])).toEqual([
    ["forget", 40],
    ["retain", 160],
  ]);
  for (const { klom, floor } of found.groups) {
    expect(floor).toEqual({ mean: 0, p95: 0 });
    expect(klom.mean).toBeGreaterThan(1);
  }
});
