/** `data` as a process. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./fixtures/run.ts";

const DATA = join(import.meta.dir, "../../scripts/data.ts");

setDefaultTimeout(120_000);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-data-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const data = (...argv: string[]) => run(argv, {}, DATA);
const linesOf = (text: string) => text.split("\n").slice(0, -1);

test("rows go to stdout as JSON lines, what is known of them to stderr", async () => {
  const { code, out, err } = await data("addition", "--digits", "2", "--size", "5");
  expect(code).toBe(0);
  expect(out).toEndWith("\n");
  const rows = linesOf(out).map((line) => JSON.parse(line));
  expect(rows.length).toBe(5);
  for (const { prompt, completion } of rows) {
    const [a, b] = prompt.slice(0, -1).split("+").map(Number);
    expect(Number(completion)).toBe(a + b);
  }
  expect(err).toStartWith("data: addition, train: 5 rows, most digits 2");
});

test("the first rows are the same whatever the size; no rows and one row are sets, too", async () => {
  const [none, one, few, many] = await Promise.all(
    ["0", "1", "100", "2000"].map((size) => data("markov", "--size", size, "--length", "50", "-q")),
  );
  expect([none!.out, none!.code, none!.err]).toEqual(["", 0, ""]);
  expect(linesOf(one!.out).length).toBe(1);
  expect(linesOf(few!.out).length).toBe(100);
  expect(many!.out.startsWith(few!.out) && few!.out.startsWith(one!.out)).toBe(true);
});

test("a file holds what stdout would, and --json then has the facts on stdout", async () => {
  const file = join(folder, "rows.jsonl");
  const argv = ["modular", "--modulus", "7", "--split", "test", "--seed", "5"];
  const [plain, withFile, only] = await Promise.all([
    data(...argv, "-q"),
    data(...argv, "--json", "-o", file, "-q"),
    data(...argv, "--json", "-q"),
  ]);
  expect(readFileSync(file, "utf8")).toBe(plain.out);
  const facts = JSON.parse(withFile.out);
  expect(JSON.parse(only.out)).toEqual(facts);
  expect(facts).toMatchObject({ task: "modular", split: "test", seed: 5, pairs: 49, pairs_of_split: 12, rows: 12 });
  const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
  expect(facts.rows_sha256).toBe(sha256(plain.out));
  const answers = linesOf(plain.out).map((line) => `${JSON.stringify(JSON.parse(line).answer)}\n`);
  expect(facts.answers_sha256).toBe(sha256(answers.join("")));
  expect(facts.bytes).toBe(Buffer.byteLength(plain.out));
});

test("a file of no rows is an empty file, and --dry-run writes none", async () => {
  const [empty, dry] = [join(folder, "empty.jsonl"), join(folder, "dry.jsonl")];
  expect((await data("lego", "--size", "0", "-o", empty, "-q")).code).toBe(0);
  expect(readFileSync(empty, "utf8")).toBe("");
  const { code, out } = await data("lego", "-n", "-o", dry);
  expect([code, existsSync(dry)]).toEqual([0, false]);
  expect(out).toStartWith("lego: 1000 rows of the train split, seed 0\n");
});

test("counts by group are told", async () => {
  const { out } = await data("addition", "--form", "digit", "--size", "31", "--json", "-q");
  expect(JSON.parse(out).counts).toEqual({ "digit 0": 11, "digit 1": 10, "digit 2": 10 });
});

test("the entropy rate is told in full with --json and shortly on stderr", async () => {
  const argv = ["markov", "--order", "0", "--alphabet", "2", "--size", "1"];
  const rate = JSON.parse((await data(...argv, "--json", "-q")).out).entropy_rate;
  expect(rate).toBeGreaterThan(0);
  expect(rate).toBeLessThan(Math.log(2));
  expect((await data(...argv)).err).toContain(`entropy rate ${rate.toPrecision(5)}, `);
});

test("a closed pipe ends it without a word", async () => {
  const child = Bun.spawn([process.execPath, DATA, "addition", "--size", "1000000"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const reader = child.stdout.getReader();
  expect((await reader.read()).value!.length).toBeGreaterThan(0);
  await reader.cancel();
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stderr).text()).toBe("");
});

test("--method means the same as a task in the first place", async () => {
  const [first, flag] = await Promise.all([
    data("knights", "--size", "3", "-q"),
    data("--size", "3", "--method", "knights", "-q"),
  ]);
  expect(first.out).toBe(flag.out);
  expect(linesOf(first.out).length).toBe(3);
});

test("--list names the tasks, --help of a task its options", async () => {
  const [list, help] = await Promise.all([data("--list"), data("lego", "--help")]);
  const [tasks] = list.out.split("\n\nCorruptions\n");
  expect(linesOf(`${tasks}\n`).map((line) => line.trim().split(" ")[0]!)).toEqual([
    "Tasks",
    "addition",
    "bandit",
    "blobs",
    "coins",
    "environments",
    "errands",
    "facts",
    "glyphs",
    "gridworld",
    "knights",
    "lego",
    "markov",
    "modular",
    "numbers",
    "pointmass",
    "preferences",
    "shop",
    "strings",
  ]);
  for (const text of ["Method lego: LEGO skill chains", "--chain N", "--split train|validation|test", "--size N"])
    expect(help.out).toContain(text);
});

test.each([
  [["adition"], "data: unknown task adition\n  hint: did you mean addition?\n"],
  [
    ["zzz"],
    "data: unknown task zzz\n  hint: the tasks are addition, bandit, blobs, coins, environments, errands, facts, glyphs, gridworld, knights, lego, markov, modular, numbers, pointmass, preferences, shop, strings\n",
  ],
  [
    [],
    "data: no task was named\n  hint: the tasks are addition, bandit, blobs, coins, environments, errands, facts, glyphs, gridworld, knights, lego, markov, modular, numbers, pointmass, preferences, shop, strings\n",
  ],
  [
    ["--size", "2", "addition"],
    "data: unexpected argument addition\n  hint: the task comes first: bun run data addition ...\n",
  ],
  [["addition", "lego"], "data: unexpected argument lego\n  hint: one task at a time\n"],
  [["addition", "--digit", "2"], "data: unknown option --digit\n  hint: did you mean --digits?\n"],
  [
    ["addition", "--split", "tets"],
    'data: --split: expected "test", "train" or "validation" but found tets\n  hint: did you mean test?\n',
  ],
  [
    ["modular", "--modulus", "5", "--size", "26"],
    "data: --size: 26 rows were asked for, but this train split has 13\n  hint: leave --size out to have them all\n",
  ],
])("%j is refused", async (argv, message) => {
  const { code, out, err } = await data(...argv);
  expect([code, out, err]).toEqual([2, "", message]);
});

test("what cannot be drawn is refused, and no file is left behind", async () => {
  const file = join(folder, "none.jsonl");
  const { code, err } = await data("lego", "--skill", "9", "-o", file);
  expect([code, existsSync(file)]).toEqual([2, false]);
  expect(err).toBe("data: --skill 9 is beyond --chain 5\n  hint: the last skill is the chain's length\n");
});

test("--stream writes a stream: the rows of each task are what the command without it writes", async () => {
  const out = join(folder, "split");
  const argv = ["glyphs", "--stream", "digits=01,72", "--stream", "noise=0.1,0.3", "--size", "6", "--test-size", "4"];
  const made = await data(...argv, "--json", "-o", out);
  expect(made.code).toBe(0);
  const names = ["task-0.jsonl", "task-1.jsonl", "test/task-0.jsonl", "test/task-1.jsonl"];
  expect(readdirSync(out, { recursive: true }).sort()).toEqual([...names, "test"].sort());
  const plain = (digits: string, noise: string, split: string, size: string) =>
    data("glyphs", "--digits", digits, "--noise", noise, "--split", split, "--size", size, "-q");
  const alone = await Promise.all([
    plain("01", "0.1", "train", "6"),
    plain("72", "0.3", "train", "6"),
    plain("01", "0.1", "test", "4"),
    plain("72", "0.3", "test", "4"),
  ]);
  for (const [i, name] of names.entries()) expect(readFileSync(join(out, name), "utf8")).toBe(alone[i]!.out);
  const { tasks, files } = JSON.parse(made.out);
  expect(tasks).toBe(2);
  expect(files.map((each: { file: string; rows: number }) => [each.file, each.rows])).toEqual([
    ["task-0.jsonl", 6],
    ["test/task-0.jsonl", 4],
    ["task-1.jsonl", 6],
    ["test/task-1.jsonl", 4],
  ]);
  expect(files[2].counts).toEqual({ "2": 3, "7": 3 });
  const sha256 = new Bun.CryptoHasher("sha256").update(alone[1]!.out).digest("hex");
  expect(files[2].rows_sha256).toBe(sha256);
});

test("a stream of worlds: the seed varies, and the plan of --dry-run writes nothing", async () => {
  const out = join(folder, "worlds");
  const argv = ["markov", "--stream", "seed=3,4", "--size", "2", "-o", out];
  const plan = await data(...argv, "-n");
  expect([plan.code, existsSync(out)]).toEqual([0, false]);
  expect(linesOf(plan.out)[2]).toStartWith("task-1.jsonl: seed 4, train: 2 rows, entropy rate ");
  expect((await data(...argv, "-q")).code).toBe(0);
  expect(readFileSync(join(out, "task-1.jsonl"), "utf8")).toBe(
    (await data("markov", "--seed", "4", "--size", "2", "-q")).out,
  );
});

test.each([
  [["--stream", "digits"], "--stream digits: expected an option and its values", "--stream seed=1,2,3"],
  [["--stream", "digit=1,2"], "the task has no option digit", "did you mean digits?"],
  [["--stream", "noise=0.1,-1"], "--stream noise: expected a non-negative number but found -1", "standard deviation"],
  [["--stream", "noise=0,1", "--stream", "angle=1"], "--stream gives --noise 2 values and --angle 1", "in step"],
  [["--stream", "noise=0,1", "--stream", "noise=2,3"], "--stream names noise twice", "at once"],
  [["--stream", "noise=0,1", "--split", "test"], "--split test with --stream", "leave it out"],
  [["--stream", "digits=01,11"], "--digits 11: expected different digits in a row", "013"],
  [["--test-size", "3"], "--test-size has no effect", "--stream"],
])("streams: %j is refused", async (argv, problem, hint) => {
  const out = join(folder, "refused");
  const { code, err } = await data("glyphs", ...argv, "-o", out);
  expect([code, existsSync(out)]).toEqual([2, false]);
  expect(err).toContain(problem);
  expect(err).toContain(hint);
});

test("streams go to a folder without another stream", async () => {
  const stream = join(folder, "old");
  mkdirSync(stream);
  await Bun.write(join(stream, "task-7.jsonl"), "");
  const [pipe, again] = await Promise.all([
    data("glyphs", "--stream", "seed=1,2"),
    data("glyphs", "--stream", "seed=1,2", "-o", stream),
  ]);
  expect([pipe.code, pipe.err.split("\n")[1]]).toEqual([2, "  hint: name a folder for them: -o stream/"]);
  expect([again.code, readdirSync(stream)]).toEqual([2, ["task-7.jsonl"]]);
  expect(again.err).toContain("has a stream already");
});
