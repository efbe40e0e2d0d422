/** A private head beside the own one: it touches nothing else, goes on from round to round, and resumes bit for bit. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StreamLab, TRAINS } from "../adapt/continual/lab.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-private-"));
const at = (name: string) => join(folder, name);
const HEAD = ["classifier.weight", "classifier.bias"];
const line = (text: string) => text.split(" ").filter((word) => word !== "");

async function done(script: string, text: string): Promise<void> {
  const { code, err } = await runScript(script, [...line(text), "-q"], folder);
  expect(err).toBe("");
  expect(code).toBe(0);
}

/** Points around three centres, of which a client has mostly one. */
function rows(name: string, mostly: number, seed: number): void {
  const noise = normals(seed, 5 * 40);
  const made = Array.from({ length: 40 }, (_, i) => {
    const label = i % 4 === 0 ? (mostly + 1 + (i % 2)) % 3 : mostly;
    return { x: [0, 1, 2, 3, 4].map((k) => Number((noise[5 * i + k]! + (k === label ? 2 : 0)).toFixed(3))), label };
  });
  writeFileSync(at(`${name}.jsonl`), `${made.map((row) => JSON.stringify(row)).join("\n")}\n`);
}

const SGD = "--head sparse-etf --etf-steps 20 --optimizer sgd --batch-size 8 --schedule constant --save-every 0";

beforeAll(async () => {
  writeFileSync(
    at("mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 5, hidden_sizes: [8, 6], num_labels: 3 }),
  );
  rows("a", 0, 1);
  rows("b", 1, 2);
  await done("train", `--init mlp.json --data a.jsonl ${SGD} --lr 0.1 --steps 12 --private-head mine-a -o own-a`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("body and own head are as without it, and a head that begins as the own one learns as it does", async () => {
  await done("train", `--init mlp.json --data a.jsonl ${SGD} --lr 0.1 --steps 12 -o alone`);
  const [alone, own, mine] = [
    await tensorsOf(at("alone")),
    await tensorsOf(at("own-a")),
    await tensorsOf(at("mine-a")),
  ];
  expect(own).toEqual(alone);
  expect(mine).toEqual(own);
});

test("a round of averaging: the own head goes round, the private one goes on", async () => {
  await done("train", `--init mlp.json --data b.jsonl ${SGD} --lr 0.1 --steps 12 --private-head mine-b -o own-b`);
  await done("merge", "own-a own-b --method linear --weight 40,40 -o shared");
  const next = `shared --data b.jsonl ${SGD} --lr 1e-9 --steps 1 --private-head next-b --private-from mine-b -o after-b`;
  await done("train", next);
  const [shared, before] = [await tensorsOf(at("shared")), await tensorsOf(at("mine-b"))];
  const [own, mine] = [await tensorsOf(at("after-b")), await tensorsOf(at("next-b"))];
  for (const [name, values] of mine) {
    const from = (HEAD.includes(name) ? before : shared).get(name)!;
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo(from[i]!, 6);
    for (const [i, value] of own.get(name)!.entries()) expect(value).toBeCloseTo(shared.get(name)![i]!, 6);
  }
  const apart = Math.hypot(...mine.get(HEAD[0]!)!.map((value, i) => value - own.get(HEAD[0]!)![i]!));
  expect(apart).toBeGreaterThan(0.05);
  // Its lengths for the rows of the shared head: step 4 of the card.
  await done("merge", `shared next-b --method norm_realign --head ${HEAD[0]} -o turned-b`);
  const turned = (await tensorsOf(at("turned-b"))).get(HEAD[0]!)!;
  for (let c = 0; c < 3; c++) {
    const length = (values: Float32Array) => Math.hypot(...values.subarray(6 * c, 6 * c + 6));
    expect(length(turned)).toBeCloseTo(length(mine.get(HEAD[0]!)!), 5);
  }
});

test("a run that was cut goes on to the same private head", async () => {
  const lab = new StreamLab(TRAINS);
  try {
    const every = SGD.replace("--save-every 0", "--save-every 3");
    const run = `${at("own-a")} --data ${at("b.jsonl")} ${every} --lr 0.1 --steps 9 --private-from ${at("mine-a")}`;
    await lab.run(`${run} --private-head @whole-mine -o @whole`);
    const cut = `${run} --private-head @cut-mine -o @cut --resume`;
    await lab.run(cut, { step: 5 });
    expect(existsSync(lab.at("cut"))).toBe(false);
    await lab.run(cut);
    for (const name of ["", "-mine"])
      expect(await tensorsOf(lab.at(`cut${name}`))).toEqual(await tensorsOf(lab.at(`whole${name}`)));
  } finally {
    lab.close();
  }
});

test("refuses what has no second head, before any step", async () => {
  const refused = async (text: string) => (await runScript("train", line(`${text} --steps 1 -o no -q`), folder)).err;
  const data = "--data a.jsonl --batch-size 8";
  expect(await refused(`own-a ${data} --private-head no-mine`)).toContain("--head sparse-etf");
  expect(await refused(`own-a ${data} --head sparse-etf --etf-steps 0 --private-from mine-a`)).toContain(
    "private-head",
  );
  const fixed = `${data} --head sparse-etf --etf-steps 0 --private-head no-mine`;
  expect(await refused(`own-a ${fixed} --train-only layers.*`)).toContain("train the classifier too");
  writeFileSync(
    at("wide.json"),
    JSON.stringify({ model_type: "mlp", input_size: 5, hidden_sizes: [8, 7], num_labels: 3 }),
  );
  const wide = await refused(`--init wide.json ${fixed} --private-from mine-a`);
  expect(wide).toContain("--private-from mine-a has classifier.weight of shape (3, 6), and the model's is (3, 7)");
});
