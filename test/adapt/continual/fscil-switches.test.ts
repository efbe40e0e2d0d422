/** Switches of few-shot class-incremental learning: pseudo-classes, turned images, and a part of the weights. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { pairPlace, pseudoCount, pseudoRows } from "../../../src/adapt/continual/pseudo-classes.ts";
import { leastOf } from "../../../src/adapt/continual/subnet.ts";
import { stackExamples } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { normals } from "../../support/random.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());
const weights = (name: string) => tensorsOf(lab.at(name));

test("every pair of classes has a place of its own", () => {
  const places = [0, 1, 2, 3, 4].flatMap((a) => [0, 1, 2, 3, 4].filter((b) => b > a).map((b) => pairPlace(a, b, 5)));
  expect(places).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(pairPlace(3, 1, 5)).toBe(pairPlace(1, 3, 5));
  expect([pseudoCount("mix", 5), pseudoCount("rotate", 5)]).toEqual([10, 15]);
});

const batchOf = (labels: readonly number[]) => ({
  batch: stackExamples(labels.map((label, i) => ({ x: Float32Array.of(i, i, i, -i), shape: [1, 2, 2], label }))),
  refs: [],
  draw: "a",
});

test("rows find a partner of another class, or are left out", () => {
  const labels = [0, 0, 2, 1, 0];
  const { x, places } = pseudoRows("mix", batchOf(labels), { labels, classes: 3, random: new Random(1) });
  for (const [i, place] of places.entries()) {
    const partner = 2 * x[4 * i]! - i; // of what is (i + j) / 2
    expect(labels[partner]).not.toBe(labels[i]!);
    expect(place).toBe(pairPlace(labels[i]!, labels[partner]!, 3));
  }
  const alone = pseudoRows("mix", batchOf([1, 1]), { labels: [1, 1], classes: 3, random: new Random(1) });
  expect([...alone.places]).toEqual([-1, -1]);
});

test("a turned image is of the pseudo-class of its class and its quarters", () => {
  const labels = [0, 2, 1, 2];
  const { x, places } = pseudoRows("rotate", batchOf(labels), { labels, classes: 3, random: new Random(4) });
  for (const [i, place] of places.entries()) {
    const quarters = (place % 3) + 1;
    expect(Math.floor(place / 3)).toBe(labels[i]!);
    // -i is in the lower right corner: above it, left of that, and below, after one, two and three quarters.
    expect([...x.subarray(4 * i, 4 * i + 4)].map((value) => value < 0).indexOf(true)).toBe(
      i === 0 ? -1 : [0, 1, 0, 2][quarters]!,
    );
  }
});

test("the least of a weight's values are marked, at least one", () => {
  expect([...leastOf(Float32Array.of(3, 1, 2, 1, 5), 0.4)]).toEqual([0, 1, 0, 1, 0]);
  expect([...leastOf(Float32Array.of(3, 1, 1), 0.01)]).toEqual([0, 1, 0]);
});

// Two classes of many rows, then two of five each; images of 4 x 4 pixels.
const image = (seed: number, label: number, count: number) =>
  Array.from({ length: count }, (_, i) => {
    const x = [...normals(1000 * seed + i, 16)].map((value) => Number((0.4 * value).toFixed(3)));
    const own = label + (i % 2);
    x[own]! += 2;
    x[own + 4]! += 2;
    return { image: [0, 1, 2, 3].map((row) => x.slice(4 * row, 4 * row + 4)), label: own };
  });
lab.write("first.jsonl", image(1, 0, 40));
lab.write("second.jsonl", image(2, 2, 10));
lab.json("vit.json", {
  ...{ model_type: "vit", image_size: 4, patch_size: 2, num_channels: 1, hidden_size: 8, num_hidden_layers: 1 },
  ...{ num_attention_heads: 2, intermediate_size: 16, num_labels: 4, initializer_range: 0.2 },
});
const IMAGES =
  "--init @vit.json --tasks @first.jsonl,@second.jsonl --batch-size 10 --lr 0.01 --scenario class --method fscil --epochs 2";

test("turned images train the first task alone, and a run goes on bit for bit", async () => {
  const line = `${IMAGES} --pseudo rotate --rotation-weight 0.5 --save-every 3`;
  const whole = await lab.run(`${line} -o @whole`);
  const steps = whole.events.filter(({ event, task }) => event === "step" && task === "first");
  for (const name of ["cosine_loss", "pseudo_loss", "rotation_loss"])
    expect(steps.every((step) => (step[name] as number) > 0)).toBe(true);
  await lab.run(`${line} -o @cut --resume`, { task: "first", step: 4 });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  const found = await weights("whole");
  expect(await weights("cut")).toEqual(found);
  expect([...found.keys()].filter((name) => /pseudo|turn/.test(name))).toEqual([]);
});

for (const [task, name] of ["a", "b"].entries())
  lab.write(`${name}.jsonl`, pairRows(task, task === 0 ? 40 : 10, { label: 2 * task }));
lab.json("net.json", { ...NET, num_labels: 4 });
const NUMBERS = "--init @net.json --tasks @a.jsonl,@b.jsonl --batch-size 10 --lr 0.01 --scenario class --method fscil";

test("a tenth of every weight's values moves in later tasks", async () => {
  const run = `${NUMBERS} --epochs 2 --save-every 0`;
  await lab.run(`${run.replace(",@b.jsonl", "")} -o @base`);
  await lab.run(`${run} --increment-rate 1 --subnet 0.1 -o @part`);
  await lab.run(`${run} --increment-rate 1 -o @all`);
  const [base, part, all] = [await weights("base"), await weights("part"), await weights("all")];
  for (const [name, own] of base) {
    if (name.startsWith("classifier")) continue;
    const moved = (found: Map<string, Float32Array>) => found.get(name)!.filter((x, i) => x !== own[i]).length;
    expect(moved(part)).toBeGreaterThan(0);
    expect(moved(part)).toBeLessThanOrEqual(Math.max(1, Math.round(0.1 * own.length)));
    expect(moved(all)).toBeGreaterThan(0.5 * own.length);
  }
});

test("what does not go together is refused", async () => {
  const refused = (more: string) => lab.run(`${NUMBERS} ${more} -o @no`).catch(String);
  expect(await refused("--subnet 0.1")).toContain("nothing does at an --increment-rate of 0");
  expect(await refused("--pseudo rotate")).toContain("--pseudo rotate is for images of channels");
  expect(await refused("--pseudo mix --no-train-base")).toContain("--no-train-base leaves it out");
  expect(await refused("--rotation-weight 1")).toContain("--rotation-weight is for images");
});

const VIEWS = `${IMAGES} --self-supervised 0.5 --view-shift 1 --view-noise 0.2 --rotation-weight 0.5`;

test("a phase without labels comes first, has its loss alone, and a run goes on bit for bit from either side", async () => {
  const line = `${VIEWS} --save-every 1`;
  const whole = await lab.run(`${line} -o @seen`);
  const steps = whole.events.filter(({ event, task }) => event === "step" && task === "first");
  const told = steps.map((step) =>
    ["self_supervised_loss", "cosine_loss", "rotation_loss"].map((name) => name in step),
  );
  const half = steps.length / 2;
  expect(told).toEqual(steps.map((_, i) => (i < half ? [true, false, false] : [false, true, true])));
  const later = whole.events.filter(({ event, task }) => event === "step" && task === "second");
  expect(later.some((step) => "self_supervised_loss" in step)).toBe(false);
  for (const step of [half - 1, half + 1]) {
    await lab.run(`${line} -o @seen-${step} --resume`, { task: "first", step });
    expect((await lab.run(`${line} -o @seen-${step} --resume`)).json).toEqual(whole.json);
    expect(await weights(`seen-${step}`)).toEqual(await weights("seen"));
  }
});

test("the phase looks at no label: with others its steps are the same", async () => {
  const other = image(1, 0, 40).map((row) => ({ ...row, label: 1 - row.label }));
  lab.write("other-labels.jsonl", other);
  const run = `${VIEWS.replace(",@second.jsonl", "").replace("0.5", "0.99")} --save-every 0`;
  const losses = async (line: string, out: string) =>
    (await lab.run(`${line} -o @${out}`)).events
      .filter(({ event }) => event === "step")
      .map((step) => step.self_supervised_loss);
  const [own, others] = [
    await losses(run, "own-labels"),
    await losses(run.replace("@first.jsonl", "first=@other-labels.jsonl"), "other-labels"),
  ];
  expect(own).toEqual(others);
  expect(own.length).toBeGreaterThan(4);
  expect(own.at(-1) as number).toBeLessThan(own[0] as number);
});

test("the phase needs views, and a first task that is trained", async () => {
  const refused = (more: string) => lab.run(`${NUMBERS} ${more} -o @no`).catch(String);
  expect(await refused("--self-supervised 0.5")).toContain("nothing says how they change");
  expect(await refused("--view-noise 0.5")).toContain("--self-supervised");
  expect(await refused("--self-supervised 0.5 --view-shift 1")).toContain("--self-supervised is for images");
  expect(await refused("--self-supervised 0.5 --view-noise 1 --no-train-base")).toContain(
    "--no-train-base leaves it out",
  );
});
