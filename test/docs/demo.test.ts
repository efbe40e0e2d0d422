/**
 * The demo: all lines of its story run with few steps and small models, and README shows lines of it. With
 * INGOT_TEST_LONG=1, which takes minutes, the demo itself runs, and its table is that of README.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asScript, STORY } from "../../src/demo/story.ts";
import { blockCommands } from "./commands.ts";

const ROOT = join(import.meta.dir, "../..");
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "ingot-demo-lines-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("README shows lines of the demo", () => {
  const about = STORY.filter(({ about }) => about && readme.includes(`\n    # ${about}\n`));
  expect(about.map(({ makes }) => makes)).toEqual(["merged", "unlearned", "student"]);
  const lines = blockCommands("README.md", readme).map(({ line }) => line);
  for (const { stages } of about) expect(lines).toContain(`ingot ${stages.join(" | ingot ")}`);
});

test("README has the entropy rate of the demo's language", () => {
  const [line] = STORY.flatMap(({ stages }) => stages).filter((stage) => stage.includes("-o language.jsonl"));
  const [script, ...args] = line!.split(" ");
  const child = Bun.spawnSync([process.execPath, join(ROOT, `scripts/${script}.ts`), ...args, "--json"], {
    cwd: folder,
  });
  const { entropy_rate } = JSON.parse(child.stdout.toString());
  expect(readme.replaceAll(/\s+/g, " ")).toContain(
    `The best possible loss on the language is ${entropy_rate.toFixed(3)} nats`,
  );
});

/** The story with two steps for every training, a round for the curriculum, few rows and a model of a few numbers. */
const short = () =>
  asScript()
    .replace(/^INGOT=.*$/m, `INGOT='${ROOT}'`)
    .replaceAll(/--steps (\d+)/g, (_, steps) => `--steps ${steps === "80" ? 20 : 2}`)
    .replaceAll(/--size (\d+)/g, (_, size) => `--size ${Number(size) / 10}`)
    .replaceAll(/--warmup \d+/g, "--warmup 1")
    .replaceAll(/"(hidden|intermediate)_size":\d+/g, '"$1_size":16');

test("every line of the demo runs, and the pipe gives the same bytes as the files", () => {
  writeFileSync(join(folder, "short.sh"), short());
  const child = Bun.spawnSync(["sh", "short.sh", "made"], {
    cwd: folder,
    env: { ...process.env, BUN: process.execPath },
  });
  expect(child.exitCode, child.stderr.toString().slice(-2000)).toBe(0);
  const last = child.stdout.toString().split("# The last step").at(-1)!;
  expect(last).toContain("curriculum");
  expect(readFileSync(join(folder, "made/report.html"), "utf8")).toContain("<html");
}, 300_000);

/** The numbers behind the models' names: the loss on the language, and loss and share of each group. */
const rows = (text: string) =>
  STORY.flatMap(({ makes }) => {
    const line = makes && new RegExp(`^ *${makes} +(\\d.*)$`, "m").exec(text)?.[1];
    return line ? [line.split(/[ %]+/).slice(0, 5).map(Number)] : [];
  });

test.if(process.env.INGOT_TEST_LONG === "1")(
  "the demo gives README's table",
  async () => {
    const child = Bun.spawn([process.execPath, join(ROOT, "scripts/demo.ts")], { stdout: "pipe", stderr: "ignore" });
    const [out, code] = await Promise.all([child.stdout.text(), child.exited]);
    expect(code).toBe(0);
    const [written, measured] = [rows(readme), rows(out)];
    expect(written).toHaveLength(7);
    for (const [i, row] of written.entries())
      for (const [j, value] of row.entries())
        expect(Math.abs(value - measured[i]![j]!), `row ${i}, figure ${j}`).toBeLessThanOrEqual(
          j % 2 || j === 0 ? 0.1 : 5,
        );
  },
  1_800_000,
);
