/** Runs of several scripts as one plan: its file, what is refused before it starts, what runs again. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkBudget, totalOf } from "../../src/curriculum/stages/cost.ts";
import { parseStages } from "../../src/curriculum/stages/stage-file.ts";
import { wordsIn } from "../../src/text/words.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-stages-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));
const run = (argv: string) => runScript("curriculum", argv.split(" "), folder);

test("words are split as sh splits them", () => {
  expect(wordsIn(`a  'b c' "d \\" e" f\\ g ''`)).toEqual(["a", "b c", 'd " e', "f g", ""]);
  expect(wordsIn("a 'b")).toBeUndefined();
});

describe("a file of stages", () => {
  const stage = "stages:\n  - name: one\n    run: data addition";
  test.each([
    ["stages: []", "s.yml:1:9: expected a list of stages"],
    ["stage: []", "s.yml:1:8: unknown key stage"],
    ["stages:\n  - name: one", "s.yml:2:5: stage one needs either run"],
    ["stages:\n  - name: a/b\n    run: data addition", "a/b: expected a name"],
    ["stages:\n  - name: one\n    run: data 'addition", "a quote is not closed"],
    ["stages:\n  - name: one\n    program: head -n 1 x", "needs makes"],
    [`${stage}\n    makes: ../x`, "makes: ../x is not the name"],
    [`${stage}\n    makes: stage.json`, "makes: stage.json is not the name"],
    [`${stage}\n  - name: one\n    run: data modular`, "one names two things"],
    [`values: {one: x}\n${stage}`, "one names two things"],
    [`budget: {steps: many}\n${stage}`, "budget: steps should be a number above 0"],
    [`budget: {hours: 1}\n${stage}`, "unknown key hours"],
  ])("%j is refused", async (text, message) => {
    expect((await parseStages(text, "s.yml").catch((error) => error)).message).toContain(message);
  });
});

test("a budget counts what trains, and asks for what is not known", () => {
  const costs = [{ trains: false }, { trains: true, steps: 3, tokens: 10 }, { trains: true, steps: 4, tokens: 5 }];
  const stages = ["a", "b", "c"].map((name) => ({ name }) as never);
  expect(totalOf(costs)).toEqual({ steps: 7, tokens: 15, flops: 0 });
  expect(() => checkBudget({ steps: 7, tokens: 15 }, stages, costs)).not.toThrow();
  expect(() => checkBudget({ steps: 6 }, stages, costs)).toThrow("7 steps, more than the budget of 6");
  expect(() => checkBudget({ flops: 6 }, stages, costs)).toThrow("what stage b takes is not known");
});

test("a preset can be such a file", async () => {
  const { text, code, err } = await run(
    "preset kk-warmup m/ --target q.jsonl --people 2,3 --written-as stages --test t.jsonl",
  );
  expect([code, err]).toEqual([0, ""]);
  const { to, stages } = await parseStages(text, "p.yml");
  expect(to).toBe("kk-warmup");
  expect(stages.map(({ name, by, makes }) => [name, by, makes])).toEqual([
    ["knights-2", "run", "knights-2.jsonl"],
    ["knights-3", "run", "knights-3.jsonl"],
    ["warm", "run", undefined],
    ["few", "program", "few.jsonl"],
    ["tuned", "run", undefined],
    ["measured", "run", undefined],
  ]);
  expect(stages[2]!.words.slice(0, 6)).toEqual(`train m/ --data \${knights-2} --data \${knights-3}`.split(" "));
  expect(stages[4]!.words.join(" ")).toContain(`align \${warm} --method grpo`);
});

const plan = (lines: string) => writeFileSync(at("plan.yml"), lines);
const SUMS = "  - {name: sums, run: data addition --size 4, makes: sums.jsonl}\n";

describe("refuses before any stage runs", () => {
  test.each([
    [
      "an unknown option",
      "  - {name: bad, run: data decontaminate x --agains y}",
      "stage bad: unknown option --agains",
    ],
    ["an unknown script", "  - {name: bad, run: trian x}", "stage bad: unknown script trian"],
    [
      "a file that is not there",
      "  - {name: bad, run: evaluate m --data x.jsonl}",
      "stage bad reads m, which is not there",
    ],
    [
      "a later stage",
      `  - {name: bad, run: "evaluate \${next}"}\n  - {name: next, run: data modular}`,
      "no earlier stage writes",
    ],
    ["a name of nothing", `  - {name: bad, run: "evaluate \${sum}"}`, `\${sum} stands for nothing`],
    ["a place of its own", "  - {name: bad, run: data modular -o x.jsonl}", "stage bad has -o"],
    ["stdin", "  - {name: bad, run: evaluate -}", "stage bad reads stdin"],
  ])("%s", async (_, stages, message) => {
    plan(`to: refused\nstages:\n${SUMS}${stages}\n`);
    const { code, err } = await run("--stages plan.yml");
    expect([code, err.includes(message) || err]).toEqual([2, true]);
    expect(existsSync(at("refused"))).toBe(false);
  });
});

test("what is done is not run again; what changed is, with all that hangs on it", async () => {
  writeFileSync(at("test.jsonl"), '{"prompt": "a", "completion": "b"}\n');
  const made = (size: number) =>
    plan(
      `to: made\nvalues: {size: ${size}}\nstages:\n` +
        `  - {name: sums, run: "data addition --size \${size}", makes: sums.jsonl}\n` +
        "  - {name: other, run: data modular --size 2, makes: other.jsonl}\n" +
        `  - {name: clean, run: "data decontaminate \${sums} --against test.jsonl", makes: clean.jsonl}\n` +
        `  - {name: few, program: "head -n 1 \${clean}", makes: few.jsonl}\n`,
    );
  /** State of each stage before the run, and that it ends well. */
  const states = async (argv: string) => {
    const { code, text, err } = await run(`${argv} --json`);
    expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
    return (JSON.parse(text) as { stages: { state: string }[] }).stages.map(({ state }) => state).join(" ");
  };
  made(4);
  expect(await states("--stages=plan.yml -n")).toBe("new new new new");
  expect(existsSync(at("made"))).toBe(false);
  expect(await states("stages plan.yml")).toBe("new new new new");
  const lines = (name: string) =>
    readFileSync(at(`made/${name}/${name}.jsonl`), "utf8")
      .trimEnd()
      .split("\n");
  expect(lines("few")).toEqual(lines("sums").slice(0, 1));
  expect(existsSync(at("made/sums/log.jsonl"))).toBe(true);
  expect(await states("stages plan.yml")).toBe("done done done done");
  expect(await states("stages plan.yml --value size=5")).toBe("changed done changed changed");
  expect(lines("clean")).toHaveLength(5);
  writeFileSync(at("test.jsonl"), '{"prompt": "c", "completion": "b"}\n');
  expect(await states("stages plan.yml --value size=5 -n")).toBe("done done changed changed");
  writeFileSync(at("made/other/other.jsonl"), "");
  expect(await states("stages plan.yml --value size=5 -n")).toBe("done changed changed changed");
});

test("a stage that fails is told, and the plan goes on from there", async () => {
  writeFileSync(at("broken.jsonl"), "{");
  plan(`to: failing\nstages:\n${SUMS}  - {name: shown, run: data decontaminate broken.jsonl --against test.jsonl}\n`);
  const { code, err } = await run("--stages plan.yml");
  expect([code, err.includes("stage shown failed")]).toEqual([1, true]);
  expect((await run("--stages plan.yml -n")).text).toMatch(/^sums .* done\nshown .* goes on$/m);
});
