/**
 * Clusters of inputs in `mlp`: one is the shared model, hidden domains are found, and gradients and centres are right.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/data/random.ts";
import { purityOf } from "../../src/evaluate/methods/probes/cluster-routes.ts";
import { method } from "../../src/model/architectures/mlp.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
let folder = "";
const at = (name: string) => join(folder, name);
async function good(script: string, line: string): Promise<string> {
  const { code, err, text } = await runScript(script, line.split(" "), folder);
  if (code !== 0) throw new Error(`${script} ${line}: ${err}`);
  return text;
}
const MLP = { model_type: "mlp", input_size: 6, hidden_sizes: [8], num_labels: 2 };

/** Three domains far apart in three numbers; the class is the sign of another number, turned by the domain. */
function domain(d: number, count: number, seed: number) {
  const random = new Random(seed, "domain", d);
  return Array.from({ length: count }, () => {
    const own = [0, 1, 2].map((i) => (i === d ? 4 : 0) + 0.3 * random.normal());
    const free = [0, 1, 2].map(() => random.normal());
    return { x: [...own, ...free], label: free[d]! * (d === 1 ? -1 : 1) > 0 ? 1 : 0 };
  });
}
const write = (name: string, rows: readonly object[]) =>
  writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-cluster-"));
  const all = [0, 1, 2].flatMap((d) => domain(d, 200, 1));
  write("all.jsonl", new Random(0, "order").shuffled(all));
  for (const d of [0, 1, 2]) write(`d${d}.jsonl`, domain(d, 60, 2));
  for (const [name, more] of [
    ["shared", {}],
    ["one", { cluster_route: { clusters: 1 } }],
    ["several", { cluster_route: { clusters: 6, size: 6 } }],
  ] as const)
    writeFileSync(at(`${name}.json`), JSON.stringify({ ...MLP, ...more }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HELD = "--data a=d0.jsonl --data b=d1.jsonl --data c=d2.jsonl";
const lossOf = async (model: string): Promise<number> =>
  JSON.parse(await good("evaluate", `${model} ${HELD} --metric loss --bootstrap 0 --json -q`)).loss;
const routesOf = async (model: string) =>
  JSON.parse(await good("evaluate", `${model} ${HELD} --probe cluster-routes --json -q`)).rows[0];

test("with one cluster the model that begins is the shared one, and its probe says that it has collapsed", async () => {
  const begin = "--data all.jsonl --batch-size 50 --steps 1 --lr 1e-30 -q";
  await good("train", `--init shared.json ${begin} -o shared-0/`);
  await good("train", `--init one.json ${begin} -o one-0/`);
  expect(await lossOf("one-0")).toBeCloseTo(await lossOf("shared-0"), 6);
  expect(await routesOf("one-0")).toMatchObject({ used: 1, collapsed: true });
});

test("clusters find hidden domains, and the loss is no more than the shared model's", async () => {
  const fit = "--data all.jsonl --batch-size 50 --steps 150 --lr 1e-2 -q";
  await good("train", `--init shared.json ${fit} -o shared/`);
  await good("train", `--init several.json ${fit} -o several/`);
  const { purity, used, collapsed } = await routesOf("several");
  expect([collapsed, used >= 3]).toEqual([false, true]);
  expect(purity).toBeGreaterThan(0.95);
  expect(await lossOf("several")).toBeLessThan((await lossOf("shared")) + 0.01);
});

test("purity is the share of rows of the most frequent group of their cluster", () => {
  expect(
    purityOf([
      [8, 2],
      [1, 9],
    ]),
  ).toBe(17 / 20);
  expect(
    purityOf([
      [5, 0],
      [5, 0],
    ]),
  ).toBe(0.5);
});

test("config.json says what it is made of, and what does not go together is refused", () => {
  const json = { ...MLP, cluster_route: { clusters: 3, momentum: 0.2 } };
  const c = method.config(json, "config.json");
  expect(method.config({ ...method.implied!(c), model_type: "mlp" }, "config.json")).toEqual(c);
  expect(() => method.config({ ...json, input_parts: 2 }, "config.json")).toThrow("goes with neither radial nor");
  expect(() => method.config({ ...MLP, cluster_route: {} }, "config.json")).toThrow("clusters must be");
});

test("a model without clusters is refused by the probe", async () => {
  await good("train", "--init shared.json --data all.jsonl --steps 1 -q -o plain/");
  const { code, err } = await runScript("evaluate", `plain ${HELD} --probe cluster-routes -q`.split(" "), folder);
  expect([code, err]).toEqual([2, expect.stringContaining("plain has no clusters of inputs")]);
});
