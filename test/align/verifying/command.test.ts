/** Commands that verify: what they read and write; a bad one is refused by the row, and ended with all it started. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandLimits } from "../../../src/align/verifying/command/limits.ts";
import type { Verifier } from "../../../src/align/verifying/contract.ts";
import { parseRewards } from "../../../src/align/verifying/rewards.ts";
import { answered, complaint } from "../answered.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-verify-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ANSWERS = ["4", "5", "six", "7", "8"].map((answer, i) =>
  answered({ prompt: "2+2=", completion: "4", extra: [1] }, answer, { place: `rows.jsonl:${i + 1}` }),
);

const LIMITS: CommandLimits = { seconds: 20, batch: 256, keep: false };

async function made(command: string, limits: Partial<CommandLimits> = {}): Promise<Verifier> {
  const [term] = await parseRewards([], { commands: [command], limits: { ...LIMITS, ...limits } });
  return term!.verifier;
}

async function scores(command: string, limits?: Partial<CommandLimits>, signal = new AbortController().signal) {
  const verifier = await made(command, limits);
  try {
    return await verifier.score(ANSWERS, signal);
  } finally {
    verifier.free?.();
  }
}

/** A program of this runtime, which is the one that is surely there. */
function program(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return `'${process.execPath}' '${path}'`;
}

const BY_LINE = program(
  "by-line.js",
  `let rest = "";
for await (const chunk of process.stdin) {
  const lines = (rest + chunk).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    const { index, answer, row } = JSON.parse(line);
    console.log(JSON.stringify({ index, reward: answer === row.completion ? 1 : answer.length / 10 }));
  }
}`,
);

const isRunning = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]![0] !== "Z";
  } catch {
    return false;
  }
};

async function expectEnded(file: string): Promise<void> {
  const pids = readFileSync(join(folder, file), "utf8").trim().split("\n").map(Number);
  expect(pids.length).toBeGreaterThan(0);
  for (let i = 0; i < 100 && pids.some(isRunning); i++) await Bun.sleep(20);
  expect(pids.filter(isRunning)).toEqual([]);
}

test("a filter reads all lines and writes one for each", async () => {
  expect(await scores("cat > /dev/null; printf '1\\n0.5\\n{\"reward\": -2}\\nnull\\n1e-3\\n'")).toEqual([
    1,
    0.5,
    -2,
    null,
    0.001,
  ]);
  expect(await scores(BY_LINE)).toEqual([1, 0.1, 0.3, 0.1, 0.1]);
});

test("it reads prompt, answer, row and place", async () => {
  await scores(`tee '${join(folder, "seen")}' | sed 's/.*/0/'`);
  const [first] = readFileSync(join(folder, "seen"), "utf8").split("\n");
  expect(JSON.parse(first!)).toEqual({
    index: 0,
    prompt: "2+2=",
    answer: "4",
    tokens: 1,
    truncated: false,
    row: { prompt: "2+2=", completion: "4", extra: [1] },
    place: "rows.jsonl:1",
  });
});

test("batches are asked one after the other, of a process each or of one that is kept", async () => {
  const counting = `echo x >> '${join(folder, "starts")}'; exec ${BY_LINE}`;
  const starts = () => readFileSync(join(folder, "starts"), "utf8").trim().split("\n").length;
  expect(await scores(counting, { batch: 2 })).toEqual([1, 0.1, 0.3, 0.1, 0.1]);
  expect(starts()).toBe(3);
  expect(await scores(counting, { batch: 2, keep: true })).toEqual([1, 0.1, 0.3, 0.1, 0.1]);
  expect(starts()).toBe(4);
});

test("large batches pass in both directions at once", async () => {
  const verifier = await made("sed 's/.*/1/'");
  const many = Array.from({ length: 20_000 }, () => ({ ...ANSWERS[0]!, answer: "x".repeat(200) }));
  expect((await verifier.score(many, new AbortController().signal)).length).toBe(20_000);
});

test("an answer never reaches the shell", async () => {
  const verifier = await made("sed 's/.*/1/'");
  const bad = `'; touch '${join(folder, "pwned")}'; $(touch '${join(folder, "pwned")}')\n\u2028\0`;
  expect(await verifier.score([{ ...ANSWERS[0]!, answer: bad }], new AbortController().signal)).toEqual([1]);
  expect(await Bun.file(join(folder, "pwned")).exists()).toBe(false);
});

test.each([
  [
    "printf '1\\n1\\n'",
    "rows.jsonl:3: \"printf '1",
    "ended after 2 of 5 rewards, and this answer is the first without",
  ],
  ["seq 6", "rows.jsonl:5: seq 6 wrote a line more than the 5 answers: 6", "one line for each answer"],
  ["yes 1", "rows.jsonl:5: yes 1 wrote a line more than the 5 answers: 1", ""],
  ["printf '1\\nNaN\\n1\\n1\\n1\\n'", "rows.jsonl:2: ", "wrote NaN, which is no number"],
  ["printf '1\\n1\\n1e999\\n1\\n1\\n'", "rows.jsonl:3: ", "wrote 1e999, which is too large for a number"],
  ["printf '1\\n1\\nTrue\\n1\\n1\\n'", "rows.jsonl:3: ", "wrote True, which is no reward"],
  ["printf '1\\n1\\n1\\n\\n1\\n'", "rows.jsonl:4: ", "which is no reward"],
  ["printf '1\\n1\\n1\\n1\\n\"1\"\\n'", "rows.jsonl:5: ", "whose reward is no number"],
  ["printf '1\\n{\"score\": 1}\\n1\\n1\\n1\\n'", "rows.jsonl:2: ", "which has no reward"],
  [
    "printf '1\\n{\"reward\": 1, \"index\": 2}\\n'; sed 's/.*/1/' | head -3",
    "rows.jsonl:2: ",
    "though this answer has the index 1",
  ],
  [
    "printf '1\\n1\\n'; echo broken >&2; exit 3",
    "rows.jsonl:3: ",
    "ended with code 3 after 2 of 5 rewards; it said broken",
  ],
  ["kill -9 $$", "rows.jsonl:1: ", "ended with signal SIGKILL after 0 of 5 rewards"],
  ["no-such-command-here", "rows.jsonl:1: ", "not found"],
  ["printf '1\\n'; printf '\\377\\376\\n'", "rows.jsonl:2: ", "which is no reward"],
])("%s is refused", async (command, place, words) => {
  const said = await complaint(scores(command));
  expect(said).toStartWith(place);
  expect(said).toContain(words);
});

test("a line without end is refused", async () => {
  expect(await complaint(scores("tr '\\\\0' 1 < /dev/zero"))).toContain("rows.jsonl:1: ");
});

test("a command that hangs is ended with all that it started, daemons too", async () => {
  const pids = join(folder, "hung");
  const note = `echo $$ >> '${pids}'`;
  const command = `${note}; sh -c '${note.replaceAll("'", '"')}; sleep 100' & setsid sh -c '${note.replaceAll("'", '"')}; sleep 100' & printf '1\\n1\\n'; sleep 100`;
  const said = await complaint(scores(command, { seconds: 3 }));
  expect(said).toStartWith("rows.jsonl:3: ");
  expect(said).toContain("gave 2 of 5 rewards within 3 s, and was ended");
  expect(said).toContain("--verify-batch");
  await expectEnded("hung");
});

test("an abort ends the command with all that it started, and is what the score rejects with", async () => {
  const pids = join(folder, "aborted");
  const abort = new AbortController();
  const asked = scores(`sleep 100 & echo $! >> '${pids}'; echo $$ >> '${pids}'; wait`, {}, abort.signal);
  while (!(await Bun.file(pids).exists()) || readFileSync(pids, "utf8").split("\n").length < 3) await Bun.sleep(10);
  abort.abort(new Error("stopped"));
  expect(await complaint(asked)).toStartWith("stopped");
  await expectEnded("aborted");
});

test("a command within a command is ended with all that it started", async () => {
  const tree = JSON.stringify(join(import.meta.dir, "../../../src/align/verifying/command/process-tree.ts"));
  const inner = `setsid sleep 100 & echo $! >> ${join(folder, "nested")}; wait`;
  const outer = program(
    "nesting.ts",
    `import { ProcessTree } from ${tree};\nnew ProcessTree(${JSON.stringify(inner)}, false);\nawait Bun.sleep(100_000);`,
  );
  const abort = new AbortController();
  const asked = scores(outer, {}, abort.signal);
  while (!(await Bun.file(join(folder, "nested")).exists())) await Bun.sleep(10);
  abort.abort(new Error("stopped"));
  expect(await complaint(asked)).toStartWith("stopped");
  await expectEnded("nested");
});

test("what a command leaves behind is ended with its batch", async () => {
  const pids = join(folder, "left");
  expect(await scores(`sed 's/.*/1/'; setsid sleep 100 & echo $! > '${pids}'`)).toEqual([1, 1, 1, 1, 1]);
  await expectEnded("left");
});

test("a kept command that ends or buffers is refused with advice", async () => {
  const keep = { keep: true, batch: 2 };
  expect(await complaint(scores("head -2 | sed 's/.*/1/'", keep))).toContain("--verify-keep");
  const buffering = program("buffering.js", "await Bun.stdin.text(); console.log(1)");
  expect(await complaint(scores(buffering, { ...keep, seconds: 0.7 }))).toContain("flush after each");
});

test("a kept command is ended when it is free", async () => {
  const verifier = await made(`echo $$ > '${join(folder, "kept")}'; exec ${BY_LINE}`, { keep: true });
  expect(await verifier.score(ANSWERS.slice(0, 1), new AbortController().signal)).toEqual([1]);
  verifier.free!();
  await expectEnded("kept");
});
