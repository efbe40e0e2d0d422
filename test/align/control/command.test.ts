/** `align control` from the shell: what it writes and tells, that it does so again, and what it refuses. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { runScript } from "../../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-control-"));
const at = (name: string) => join(folder, name);
const run = (argv: string, script = "align") => runScript(script, argv.split(" "), folder);
afterAll(() => rmSync(folder, { recursive: true }));

const GRID = "--side 3 --slip 0.2";
const RUN = `control --data grid.jsonl --environment gridworld ${GRID} --hidden 8 --steps 30 --episodes 20`;

beforeAll(async () => {
  const made = await run(`gridworld ${GRID} --seed 4 --size 300 -o grid.jsonl`, "data");
  expect([made.err, made.code]).toEqual([expect.anything(), 0]);
});

test("writes the networks with their history, tells returns, and does the same again", async () => {
  const first = await run(`${RUN} --environment-seed 4 --json -o a.safetensors`);
  expect([first.err, first.code]).toEqual([expect.anything(), 0]);
  const found = JSON.parse(first.text);
  expect(found).toMatchObject({ method: "awr", environment: "gridworld", rows: 300 });
  for (const { mean } of [found.return, found.greedy, found.baselines.cloned, found.baselines.uniform]) {
    expect(mean).toBeGreaterThanOrEqual(0);
    expect(mean).toBeLessThan(found.optimum + 0.2);
  }
  const saved = await open(at("a.safetensors"));
  expect(saved.tensors.get("policy.0.weight")).toMatchObject({ dtype: "F64", shape: [8, 9] });
  expect(saved.lineage.at(-1)).toMatchObject({ script: "align control", method: "awr" });
  await run(`${RUN} --environment-seed 4 -o b.safetensors`);
  expect(readFileSync(at("a.safetensors")).equals(readFileSync(at("b.safetensors")))).toBe(true);
  const other = await run(`${RUN} --environment-seed 4 --seed 1 -o c.safetensors`);
  expect(other.code).toBe(0);
  expect(readFileSync(at("a.safetensors")).equals(readFileSync(at("c.safetensors")))).toBe(false);
});

const META = "meta --generations 1 --pairs 2 --lives 1 --lengths 20,40 --test-lengths 30 --test-lives 4";

test("meta writes a schedule that inspect reads, tells what it is worth, and does the same again", async () => {
  const first = await run(`${META} --json -o schedule.safetensors`);
  expect([first.err, first.code]).toEqual([expect.anything(), 0]);
  const { schedule, base, constant, multipliers } = JSON.parse(first.text);
  for (const { mean } of [schedule, base, constant]) expect(mean).toBeLessThanOrEqual(1);
  expect(multipliers[0]).toMatchObject({ length: 30, progress: [0, 0.25, 0.5, 0.75, 1] });
  const saved = await open(at("schedule.safetensors"));
  expect(saved.tensors.get("schedule.1.weight")).toMatchObject({ dtype: "F64", shape: [2, 16] });
  await run(`${META} -o again.safetensors`);
  expect(readFileSync(at("schedule.safetensors")).equals(readFileSync(at("again.safetensors")))).toBe(true);
});

test.each([
  [`${META.replace("20,40", "40,20")} -o x.safetensors`, /--lengths 40,20 are no lengths/],
  [`${RUN} -o x.safetensors`, /grid\.jsonl.*(is no state|the state is worth)/],
  [`${RUN} --environment-seed 4 -o x/`, /the networks are one file of tensors/],
  [RUN.replace("gridworld", "bandit").replace(` ${GRID}`, ""), /is no state of this bandit|stdout is a terminal/],
  [RUN.replace("gridworld", "addition").replace(` ${GRID}`, ""), /--environment addition is no world to act in/],
  [`${RUN.replace("grid.jsonl", "odd.jsonl")} --environment-seed 4 -o x.safetensors`, /odd\.jsonl.*action 7 is none/],
])("refuses %s", async (argv, message) => {
  const [row] = readFileSync(at("grid.jsonl"), "utf8").split("\n", 1);
  writeFileSync(at("odd.jsonl"), `${JSON.stringify({ ...JSON.parse(row!), action: 7 })}\n`);
  const refused = await run(argv);
  expect(refused.code).toBe(2);
  expect(refused.err).toMatch(message);
});
