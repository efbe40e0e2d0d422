/** `align control` from the shell: what it writes and tells, that it does so again, and what it refuses. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { runScript, startScript } from "../../support/command.ts";

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

test("a policy that is read back is measured as it was, and goes on", async () => {
  const again = await run(
    `${RUN.replace("control", "control a.safetensors").replace("--steps 30", "--steps 0")} --environment-seed 4 --json -o d.safetensors`,
  );
  expect([again.err, again.code]).toEqual([expect.anything(), 0]);
  const found = JSON.parse(again.text);
  expect(found.baselines.cloned).toBeUndefined();
  const [first, second] = [await open(at("a.safetensors")), await open(at("d.safetensors"))];
  for (const [name, { bytes, read }] of first.tensors) {
    const [own, other] = [new Uint8Array(bytes), new Uint8Array(bytes)];
    await read(own, 0);
    await second.tensors.get(name)!.read(other, 0);
    expect(own).toEqual(other);
  }
  expect(second.lineage.map(({ options }) => options.steps)).toEqual([30, 0]);
});

test("a run that was killed goes on as if it had not been, and leaves no state behind", async () => {
  const argv = `${RUN.replace("--steps 30", "--steps 60")} --environment-seed 4 --online 500 --batch-size 16 -q`;
  expect((await run(`${argv} -o whole.safetensors`)).code).toBe(0);
  const cut = `${argv} --save-every 20 --log cut.log -o cut.safetensors`;
  const child = startScript("align", cut.split(" "), folder);
  const isOnline = () => existsSync(at("cut.log")) && readFileSync(at("cut.log"), "utf8").includes('"active_units"');
  while (child.exitCode === null && !isOnline()) await Bun.sleep(2);
  child.kill(9);
  await child.exited;
  expect(existsSync(at("cut.safetensors"))).toBe(false);
  const refused = await run(cut);
  expect([refused.code, refused.err]).toEqual([2, expect.stringMatching(/cut-state holds step \d+ of a run/)]);
  const other = await run(`${cut} --resume --lr 0.1`);
  expect([other.code, other.err]).toEqual([2, expect.stringMatching(/was saved with lr 0\.003; this run has 0\.1/)]);
  const resumed = await run(`${cut.replace(" -q", "")} --resume`);
  expect([resumed.code, resumed.err]).toEqual([0, expect.stringMatching(/continuing after update \d+ of 620/)]);
  expect(readFileSync(at("cut.safetensors")).equals(readFileSync(at("whole.safetensors")))).toBe(true);
  expect(existsSync(at("cut-state"))).toBe(false);
});

const META = "meta --generations 1 --pairs 2 --lives 1 --lengths 20,40 --test-lengths 30 --test-lives 4";

test("meta writes a schedule that inspect reads, tells what it is worth, and does the same again", async () => {
  const first = await run(`${META} --json -o schedule.safetensors`);
  expect([first.err, first.code]).toEqual([expect.anything(), 0]);
  const { searched, base, constant, multipliers } = JSON.parse(first.text);
  for (const { mean } of [searched, base, constant]) expect(mean).toBeLessThanOrEqual(1);
  expect(multipliers[0]).toMatchObject({ length: 30, progress: [0, 0.25, 0.5, 0.75, 1] });
  const saved = await open(at("schedule.safetensors"));
  expect(saved.tensors.get("schedule.1.weight")).toMatchObject({ dtype: "F64", shape: [2, 16] });
  await run(`${META} -o again.safetensors`);
  expect(readFileSync(at("schedule.safetensors")).equals(readFileSync(at("again.safetensors")))).toBe(true);
});

test.each(["drift", "objective"])("meta writes a %s that it found in gridworlds", async (form) => {
  const argv = `${META.replace("20,40", "2,4").replace("30", "3")} --form ${form} --world gridworld --side 2`;
  const made = await run(`${argv} --json -o ${form}.safetensors`);
  expect([made.err, made.code]).toEqual([expect.anything(), 0]);
  const { searched, base, constant, multipliers } = JSON.parse(made.text);
  for (const { mean } of [searched, base, constant]) expect(mean).toBeGreaterThanOrEqual(0);
  expect(multipliers).toBeUndefined();
  const saved = await open(at(`${form}.safetensors`));
  expect([...saved.tensors.keys()].every((name) => name.startsWith(`${form}.`))).toBe(true);
});

test.each([
  [RUN.replace("control", "control grid.jsonl"), /grid\.jsonl/],
  [`${RUN.replace("--steps 30", "--steps 0")} --environment-seed 4 -o x.safetensors`, /nothing to learn in no updates/],
  [`${META.replace("20,40", "40,20")} -o x.safetensors`, /--lengths 40,20 are no lengths/],
  [`${META} --form drift --hidden 4,4 -o x.safetensors`, /--form drift has one hidden layer/],
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
