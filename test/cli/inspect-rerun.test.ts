/** `inspect --command` as a process: the script that it prints, run by sh, makes the same bytes again. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

// Each test runs every step twice.
setDefaultTimeout(180_000);

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-rerun-"));
  const config = { ...TINY_TEXT.llama, vocab_size: 264, hidden_size: 12, num_hidden_layers: 1, head_dim: 4 };
  writeFileSync(at("tiny.json"), JSON.stringify(config));
  for (const [name, text] of Object.entries({ a: "one two", b: "three", c: "four five", d: "seven" }))
    writeFileSync(
      at(`it's ${name}.jsonl`),
      [1, 2, 3].map((i) => `${JSON.stringify({ prompt: `${text} ${i}:`, completion: " six" })}\n`).join(""),
    );
});
afterAll(() => rmSync(folder, { recursive: true }));

const [A, B, C, D] = ["a", "b", "c", "d"].map((name) => `it's ${name}.jsonl`) as [string, string, string, string];
const FEW = ["--steps", "2", "--batch-size", "2", "--max-length", "24", "--save-every", "0", "-q"];
const GROUPS = ["--data", `x=${A}`, "--data", `y=${B}`, "--eval-data", `x=${B}`, "--eval-data", `y=${C}`];

async function made(script: string, ...argv: string[]): Promise<void> {
  const { code, err } = await runScript(script, argv, folder);
  if (code !== 0) throw new Error(`${script} ${argv.join(" ")}: ${err}`);
}

/** Prints the script of a result, runs it in the folder with variables, and gives it with the bytes that it made. */
async function again(result: string, variables: Record<string, string> = {}) {
  const { text } = await runScript("inspect", [result, "--command"], folder);
  const scripts = join(import.meta.dir, "../../scripts/ingot.ts");
  // As `bun run` does in the project's folder, here in any.
  const runs = `bun() { shift; "${process.execPath}" "${scripts}" "$@" -q; }\n`;
  writeFileSync(at("again.sh"), runs + text);
  rmSync(at("again.safetensors"), { force: true });
  const child = Bun.spawn(["sh", "again.sh", "again.safetensors"], {
    cwd: folder,
    env: { ...process.env, ...variables },
    stdout: "pipe",
    stderr: "pipe",
  });
  const err = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`${err}\n${text}`);
  return { text, bytes: readFileSync(at("again.safetensors")) };
}

/** What follows the header. */
const weightsOf = (file: Buffer): string => file.subarray(8 + Number(file.readBigUInt64LE())).toString("hex");

test("a teacher that learnt beside its student, and the student", async () => {
  const rest = ["--tokenizer", "byte", ...FEW];
  for (const [name, seed] of [
    ["small", "1"],
    ["large", "2"],
  ] as const)
    await made(
      "train",
      "--init",
      "tiny.json",
      "--data",
      A,
      "--seed",
      seed,
      ...rest,
      "-o",
      `online-${name}.safetensors`,
    );
  const models = ["--teacher", "online-large.safetensors", "--student", "online-small.safetensors"];
  const method = ["--method", "competitive", "--online", "--teacher-out", "taught.safetensors"];
  const data = ["--data", B, "--data", C, "--lr", "0.003", "--seed", "5"];
  await made("distill", ...models, ...method, ...data, ...FEW, "-o", "taught-student.safetensors");
  const teacher = readFileSync(at("taught.safetensors"));
  const { text, bytes } = await again("taught.safetensors");
  expect(text).toContain('-main.safetensors" --teacher-out "$out"\n');
  expect(bytes.equals(teacher)).toBe(true);
  expect((await again("taught-student.safetensors")).bytes.equals(readFileSync(at("taught-student.safetensors")))).toBe(
    true,
  );
  expect(readFileSync(at("taught.safetensors")).equals(teacher)).toBe(true);
});

test("training, unlearning, distillation, a curriculum and an adapter, with several data sets each", async () => {
  const weights = ["--mixture", "0.7", "--mixture", "0.3"];
  const rest = ["--tokenizer", "byte", ...FEW, "--freeze", "*norm*", "--freeze", "lm_*"];
  await made(
    "train",
    "--init",
    "tiny.json",
    "--data",
    A,
    "--data",
    B,
    ...weights,
    "--eval-data",
    C,
    ...rest,
    "-o",
    "base/",
  );
  const forget = ["--forget", `x=${A}`, "--forget", B, "--retain", C, "--retain", `z=${D}`];
  await made("unlearn", "base", "--method", "npo", ...forget, ...FEW, "-o", "unlearned.safetensors");
  expect((await again("unlearned.safetensors")).bytes.equals(readFileSync(at("unlearned.safetensors")))).toBe(true);
  const student = ["--init", "tiny.json", "--tokenizer", "byte", "--data", A, "--data", C];
  await made(
    "distill",
    "--teacher",
    "unlearned.safetensors",
    "--teacher",
    "base",
    "--method",
    "mtard",
    ...student,
    ...FEW,
    "-o",
    "student/",
  );
  await made(
    "curriculum",
    "student",
    "--method",
    "powerlaw",
    "--tasks",
    "y",
    "--tasks",
    "x",
    ...GROUPS,
    ...FEW,
    "-o",
    "curriculum/",
  );
  const lora = ["--lora", "--lora-rank", "2", "--lora-targets", "q_proj", "--lora-targets", "v_proj"];
  await made("train", "curriculum", ...lora, ...GROUPS, ...FEW, "-o", "adapted.safetensors");
  const { text, bytes } = await again("adapted.safetensors");
  expect(text).toContain(` --data 'it'\\''s a.jsonl' --data 'it'\\''s b.jsonl' --mixture 0.7,0.3 --eval-data `);
  expect(text).toContain(" --lora-targets q_proj --lora-targets v_proj ");
  // An adapter says where its base was; all else is equal.
  expect(weightsOf(bytes)).toBe(weightsOf(readFileSync(at("adapted.safetensors"))));
});

test("a recipe that ends without a newline and merges a result, with options over it", async () => {
  const train = ["--init", "tiny.json", "--tokenizer", "byte", ...FEW];
  for (const [name, data] of [
    ["m1", A],
    ["m2", B],
  ] as const)
    await made("train", ...train, "--data", data, "-o", `${name}/`);
  writeFileSync(
    at("recipe.yml"),
    "merge_method: slerp # it's\nbase_model: m1\nmodels: [{model: m1}, {model: m2}]\nparameters: {t: 0.3}",
  );
  await made("merge", "recipe.yml", "--dtype", "bf16", "-q", "-o", "merged.safetensors");
  const { bytes } = await again("merged.safetensors");
  expect(bytes.equals(readFileSync(at("merged.safetensors")))).toBe(true);
});

test("rows that came through a pipe are given in a variable", async () => {
  const line = `cat "$ROWS" | "$BUN" "$TRAIN" --init tiny.json --tokenizer byte --data - ${FEW.join(" ")} -o piped.safetensors`;
  const env = {
    ...process.env,
    ROWS: A,
    BUN: process.execPath,
    TRAIN: join(import.meta.dir, "../../scripts/train.ts"),
  };
  expect(Bun.spawnSync(["bash", "-c", line], { cwd: folder, env }).stderr.toString()).toBe("");
  await expect(again("piped.safetensors")).rejects.toThrow("INPUT_1: set it to what --data read from -");
  const { bytes } = await again("piped.safetensors", { INPUT_1: A });
  expect(weightsOf(bytes)).toBe(weightsOf(readFileSync(at("piped.safetensors")))); // the lineage names other data
});

test("merges under a vocabulary, by flags and by a recipe", async () => {
  const inputs = join(import.meta.dir, "../golden/tokenizer-merge/inputs");
  for (const name of ["a", "b"]) cpSync(join(inputs, name), at(`vocabulary-${name}`), { recursive: true });
  const models = ["vocabulary-a", "vocabulary-b"];
  const flags = ["--tokenizer-source", "union", "--pad-to-multiple-of", "16"];
  await made("merge", ...models, "--method", "linear", ...flags, "-o", "flags.safetensors", "-q");
  const { text, bytes } = await again("flags.safetensors");
  expect(text).toContain(flags.join(" "));
  const list = models.map((model) => `- {model: ./${model}, parameters: {weight: 1}}`).join("\n");
  const tokenizer = "tokenizer: {source: union, pad_to_multiple_of: 16}";
  writeFileSync(at("vocabulary.yml"), `merge_method: linear\nmodels:\n${list}\n${tokenizer}\n`);
  await made("merge", "vocabulary.yml", "-o", "recipe.safetensors", "-q");
  const byRecipe = (await again("recipe.safetensors")).bytes;
  const wanted = readFileSync(at("flags.safetensors"));
  for (const found of [bytes, byRecipe, readFileSync(at("recipe.safetensors"))])
    expect(weightsOf(found)).toBe(weightsOf(wanted));
  expect(bytes.equals(wanted)).toBe(true);
});

test("a checkpoint that is at the place of the result is refused before any step", async () => {
  await made("train", "--init", "tiny.json", "--tokenizer", "byte", "--data", A, ...FEW, "-o", "first.safetensors");
  await made("train", "first.safetensors", "--tokenizer", "byte", "--data", B, ...FEW, "-o", "second.safetensors");
  const { text } = await runScript("inspect", ["second.safetensors", "--command"], folder);
  writeFileSync(at("taken.sh"), `bun() { echo ran >> ran.txt; }\n${text}`);
  const sh = async (out: string) => {
    rmSync(at("ran.txt"), { force: true });
    const child = Bun.spawn(["sh", "taken.sh", out], { cwd: folder, stdout: "pipe", stderr: "pipe" });
    const err = await new Response(child.stderr).text();
    const code = await child.exited;
    const ran = existsSync(at("ran.txt")) ? readFileSync(at("ran.txt"), "utf8").split("\n").length - 1 : 0;
    return { err, code, ran };
  };
  const files: Record<string, string[]> = {
    "a folder/": ["config.json", "model.safetensors"],
    shards: ["model.safetensors.index.json", "model-00001-of-00002.safetensors"],
    adapter: ["adapter_config.json", "adapter_model.safetensors"],
    other: ["config.json", "weights.bin"],
  };
  for (const [out, names] of Object.entries(files)) {
    mkdirSync(at(out), { recursive: true });
    for (const name of names) writeFileSync(at(join(out, name)), "{}");
  }
  for (const out of [...Object.keys(files), "first.safetensors"]) {
    // What the scripts themselves say of the same place.
    const own = await runScript("merge", ["second.safetensors", "--method", "passthrough", "-o", out], folder);
    const sentence = /--out: .* is there already\n/.exec(own.err)![0];
    expect([out, await sh(out)]).toEqual([
      out,
      { err: `${sentence}  hint: write to another place: sh taken.sh OUT\n`, code: 2, ran: 0 },
    ]);
  }
  // What is no finished checkpoint is no reason to stop: an empty file, a folder without weights, shards without index.
  writeFileSync(at("empty.safetensors"), "");
  mkdirSync(at("bare"));
  writeFileSync(at("bare/config.json"), "{}");
  writeFileSync(at("bare/model-00001-of-00002.safetensors"), "{}");
  for (const out of ["empty.safetensors", "bare", "new/", "new.gguf"])
    expect([out, await sh(out)]).toEqual([out, { err: "", code: 0, ran: 2 }]);
});
