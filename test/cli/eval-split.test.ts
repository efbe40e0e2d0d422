/** `--eval-split`: a run holds a share of its rows out as if they were given by --eval-data. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRows } from "../../src/data/read-rows.ts";
import { Split } from "../../src/data/split.ts";
import { runScript, runShell, startScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);

let folder: string;
const at = (name: string) => join(folder, name);
const SHARE = 0.3;
const GROUPS = ["a", "b"];
const run = (line: string) => {
  const [script, ...argv] = line.split(/\s+/);
  return runScript(script!, argv, folder);
};
async function done(line: string): Promise<string> {
  const { code, err, text } = await run(line);
  if (code !== 0) throw new Error(`${line}: ${err}`);
  return text;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-split-"));
  const config = { ...TINY_TEXT.llama, vocab_size: 264, hidden_size: 12, num_hidden_layers: 1, head_dim: 4 };
  writeFileSync(at("tiny.json"), JSON.stringify(config));
  for (const name of GROUPS) {
    const rows = Array.from({ length: 20 }, (_, i) => ({
      prompt: `${name}${i % 16}:`,
      completion: ` ${i % 16}`,
      id: i,
    }));
    const file = `${name}.jsonl`;
    writeFileSync(at(file), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    // The same by hand, in files of their own.
    const split = new Split(SHARE, 5);
    const sides: Record<"rest" | "held", string> = { rest: "", held: "" };
    let i = 0;
    for await (const { row } of readRows(at(file)))
      sides[split.holdsOut(row) ? "held" : "rest"] += `${JSON.stringify(rows[i++])}\n`;
    for (const [side, text] of Object.entries(sides)) writeFileSync(at(`${name}-${side}.jsonl`), text);
  }
  await done("train --init tiny.json --tokenizer byte --data a.jsonl --steps 1 -q -o base/");
  await done("train --init tiny.json --tokenizer byte --data a.jsonl --steps 1 --seed 9 -q -o teacher/");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rowsOf = (name: string) => readFileSync(at(name), "utf8").trimEnd().split("\n").length;
const REST = "--steps 4 --batch-size 3 --max-length 24 --eval-every 2 --seed 5 --save-every 0 --json -q";
/** What follows the header of a file. */
const weightsOf = (name: string): string => {
  const file = readFileSync(at(name));
  return file.subarray(8 + Number(file.readBigUInt64LE())).toString("hex");
};

describe("a run gives the bytes and the losses of a run on files that were divided by hand:", () => {
  const data = (option: string, side = "") =>
    GROUPS.map((name) => `--${option} ${name}=${name}${side && `-${side}`}.jsonl`).join(" ");
  const SPLIT = `--eval-split ${SHARE}`;
  const HELD = data("eval-data", "held");
  test.each([
    ["train", "train base/", "data"],
    ["curriculum", "curriculum base/ --method stratified", "data"],
    ["an ordering", "curriculum base/ --method length", "data"],
    ["distill", "distill --teacher teacher/ --student base/", "data"],
    ["unlearn", "unlearn base/ --method grad-diff --forget base.jsonl", "retain"],
  ])("%s", async (name, command, option) => {
    writeFileSync(at("base.jsonl"), '{"prompt":"x:","completion":" y"}\n');
    const file = name.replaceAll(" ", "-");
    const split = JSON.parse(await done(`${command} ${data(option)} ${SPLIT} ${REST} -o ${file}-1.safetensors`));
    const hand = JSON.parse(await done(`${command} ${data(option, "rest")} ${HELD} ${REST} -o ${file}-2.safetensors`));
    expect(split).toEqual(hand);
    expect(split["held_out_loss.a"]).toBeGreaterThan(0);
    expect(weightsOf(`${file}-1.safetensors`)).toBe(weightsOf(`${file}-2.safetensors`));
  });

  test("curriculum graph", async () => {
    const graph = "curriculum graph base/ --graph-steps 2 --batch-size 3 --max-length 24 --seed 5 -q";
    const split = await done(`${graph} ${data("data")} ${SPLIT}`);
    expect(split).toBe(await done(`${graph} ${data("data", "rest")} ${HELD}`));
    expect(JSON.parse(split).start).toHaveLength(2);
  });
});

test("rows of a pipe and of stdin that is a file are divided as those of a file", async () => {
  const train = `train base/ --eval-split ${SHARE} ${REST}`;
  await done(`${train} --data stdin=a.jsonl -o file.safetensors`);
  for (const [shell, out] of [
    ["cat a.jsonl | $TRAIN", "piped"],
    ["< a.jsonl $TRAIN", "redirected"],
  ]) {
    const line = `${shell} ${train.slice(6)} --data - -o ${out}.safetensors`;
    const { code, err } = await runShell(line, folder);
    expect([err, code]).toEqual(["", 0]);
    expect(weightsOf(`${out}.safetensors`)).toBe(weightsOf("file.safetensors"));
  }
});

test("a run that was killed goes on to the same bytes", async () => {
  const options = `base/ --data a.jsonl --eval-split ${SHARE} --batch-size 3 --max-length 24 --eval-every 2 --seed 5 -q`;
  const best = (name: string) => `--steps 40 --best ${name}-best -o ${name}.safetensors`;
  await done(`train ${options} ${best("whole")}`);
  const cut = `${options} ${best("cut")} --save-every 1`;
  const child = startScript("train", [...cut.split(" "), "--log", "cut.log"], folder);
  const steps = () =>
    existsSync(at("cut.log")) ? readFileSync(at("cut.log"), "utf8").split('"event":"step"').length : 0;
  while (child.exitCode === null && steps() < 8) await Bun.sleep(5);
  child.kill(9);
  await child.exited;
  expect(existsSync(at("cut.safetensors"))).toBe(false);
  const other = await run(`train ${options.replace(`${SHARE}`, "0.4")} ${best("cut")} --resume`);
  expect(other.err).toContain(`was saved with eval_split ${SHARE}; this run has 0.4`);
  await done(`train ${cut} --resume`);
  expect(readFileSync(at("cut.safetensors")).equals(readFileSync(at("whole.safetensors")))).toBe(true);
  const [whole, again] = ["whole", "cut"].map((name) => readFileSync(at(`${name}-best/model.safetensors`)));
  expect(again!.equals(whole!)).toBe(true);
});

test("what it holds out is in the lineage, and the printed script makes the same bytes", async () => {
  await done(`train base/ --data a.jsonl --eval-split ${SHARE} ${REST} -o told.safetensors`);
  const text = await done("inspect told.safetensors --command");
  expect(text).toContain(`--eval-split ${SHARE} `);
  const runs = `bun() { shift; "${process.execPath}" "${join(import.meta.dir, "../../scripts/ingot.ts")}" "$@" -q; }\n`;
  writeFileSync(at("again.sh"), runs + text);
  const { code, err } = await runShell("sh again.sh again.safetensors", folder);
  expect([err, code]).toEqual(["", 0]);
  expect(readFileSync(at("again.safetensors")).equals(readFileSync(at("told.safetensors")))).toBe(true);
});

test("a dry run tells the rows of each side, by group", async () => {
  const text = await done(`train base/ --data a.jsonl --data b.jsonl --eval-split ${SHARE} --seed 5 -n`);
  const [rest, held] = ["rest", "held"].map((side) => GROUPS.map((name) => rowsOf(`${name}-${side}.jsonl`)));
  expect(text).toContain(`data: a ${rest![0]} rows, `);
  expect(text).toContain(`held out: a ${held![0]} rows; b ${held![1]} rows\n`);
  expect(rest![0]! + held![0]!).toBe(20);
  const json = JSON.parse(await done(`train base/ --data a.jsonl --eval-split ${SHARE} --seed 5 -n --json`));
  expect(json.held_out).toEqual([{ name: "a", rows: held![0] }]);
});

describe("it is refused", () => {
  test.each([
    ["beside --eval-data", "train base/ --data a.jsonl --eval-data b.jsonl --eval-split 0.1", "both --eval-data and"],
    ["at 1", "train base/ --data a.jsonl --eval-split 1", "--eval-split"],
    ["at 0", "train base/ --data a.jsonl --eval-split 0", "--eval-split"],
    [
      "where nothing is held out",
      "train base/ --data a.jsonl --eval-split 1e-9",
      "holds out none of the 20 rows of the group a",
    ],
    [
      "where nothing is left",
      "train base/ --data a.jsonl --eval-split 0.999999",
      "holds out all 20 rows of the group a",
    ],
    [
      "of rows to forget alone",
      "unlearn base/ --forget a.jsonl --method grad-ascent --eval-split 0.1",
      "--eval-split has no effect without --retain",
    ],
    [
      "by an edit",
      "unlearn base/ --forget a.jsonl --retain b.jsonl --method ssd --eval-split 0.1",
      "--eval-split is for methods that train",
    ],
    [
      "by select, which trains nothing",
      "curriculum select base/ --data a.jsonl --eval-split 0.1",
      "--eval-split has no effect in curriculum select",
    ],
    [
      "by a cache, which trains nothing",
      "distill cache --teacher base/ --data a.jsonl --eval-split 0.1",
      "--eval-split has no effect in distill cache",
    ],
  ])("%s", async (_, command, message) => {
    const { code, err } = await run(`${command} -o never/`);
    expect(err).toContain(message);
    expect(code).toBe(2);
  });
});
