/** `curriculum --method alternate`: turns, and numbers of the model's own texts that are asked back. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textRow } from "../../src/data/numeric/numerals.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000); // the machine may be busy

let cwd: string;
const run = async (name: string, line: string) => {
  const ran = await runScript(name, line.split(" "), cwd);
  return { ...ran, code: ran.code };
};
const ok = async (name: string, line: string) => {
  const { code, err, text } = await run(name, line);
  expect([line, code, code === 0 ? "" : err]).toEqual([line, 0, ""]);
  return text;
};
const CONFIG = {
  ...{ model_type: "llama", vocab_size: 300, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1 },
  ...{ num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 32, rms_norm_eps: 1e-5 },
  ...{ rope_theta: 10_000, bos_token_id: 256, eos_token_id: 257 },
};

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-alternate-"));
  writeFileSync(join(cwd, "tiny.json"), JSON.stringify(CONFIG));
  await ok("data", "strings --size 60 --longest 5 -o strings.jsonl");
  await ok("data", "numeric strings.jsonl --digits 1.1 -o number.jsonl");
  await ok("data", "numeric strings.jsonl --digits 1.1 --ask text -o text.jsonl");
  await ok(
    "train",
    "--init tiny.json --tokenizer byte --data number.jsonl --steps 1 --batch-size 2 --save-every 0 -o base/",
  );
  await ok("merge", "base --method passthrough --numeric-tokens 1.1 -o numeric/");
});
afterAll(() => rmSync(cwd, { recursive: true }));

const COMMON = "numeric --batch-size 4 --lr 0.01 --save-every 0 --seed 1";
const eventsOf = (log: string): { event: string; [key: string]: unknown }[] =>
  readFileSync(join(cwd, log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("groups take turns", async () => {
  await ok(
    "curriculum",
    `${COMMON} --data number=number.jsonl --data text=text.jsonl --method alternate --every 2 --steps 6 --log turns.jsonl -o turns.safetensors`,
  );
  const mixtures = eventsOf("turns.jsonl").filter(({ event }) => event === "mixture");
  expect(mixtures.map(({ probs }) => probs)).toEqual([
    [1, 0],
    [0, 1],
    [1, 0],
  ]);
});

test("one objective alone, without what is read back, is plain training on its tokens", async () => {
  for (const method of ["alternate", "static"])
    await ok(
      "curriculum",
      `${COMMON} --data number=number.jsonl --method ${method} --steps 4 -o ${method}.safetensors`,
    );
  const weights = (name: string) => {
    const bytes = readFileSync(join(cwd, `${name}.safetensors`));
    return Buffer.from(bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))).toString("base64");
  };
  expect(weights("alternate")).toBe(weights("static"));
});

test("with it the model is asked for the number of what it wrote itself, and the same again in another run", async () => {
  const line = (more: string) =>
    `${COMMON} --data text=text.jsonl --method alternate --every 2 --read-back 1 ${more}`.replace(
      " --save-every 0",
      "",
    );
  const counted = (log: string) =>
    eventsOf(log)
      .filter(({ event }) => event === "step")
      .map(({ tokens, loss }) => ({ tokens, loss }));
  await ok("curriculum", line("--steps 4 --log whole.jsonl --save-every 0 -o whole/"));
  await ok(
    "curriculum",
    line("--steps 4 --log plain.jsonl --save-every 0 -o plain/").replace("--read-back 1", "--read-back 0"),
  );
  const [asked, plain] = [counted("whole.jsonl"), counted("plain.jsonl")];
  expect(asked).toHaveLength(4);
  for (const [i, { tokens }] of asked.entries()) expect(Number(tokens)).toBeGreaterThan(1.5 * Number(plain[i]!.tokens));
  expect(asked[0]!.loss).not.toBe(plain[0]!.loss);
  await ok("curriculum", line("--steps 4 --log again.jsonl --save-every 0 -o again/"));
  expect(counted("again.jsonl").map(({ loss }) => loss)).toEqual(asked.map(({ loss }) => loss));
});

test("rows that ask for no text are refused, and so is a model without a tokenizer", async () => {
  const refused = await run(
    "curriculum",
    `${COMMON} --data number=number.jsonl --method alternate --read-back 1 --steps 2 -o none.safetensors`,
  );
  expect([refused.code, refused.err]).toEqual([
    2,
    expect.stringContaining("no row of --data asks for a text of a number"),
  ]);
  writeFileSync(join(cwd, "text-only.jsonl"), `${JSON.stringify(textRow("abc", "<value>", "_1_0__0_-1_"))}\n`);
  writeFileSync(join(cwd, "ids.jsonl"), '{"input_ids":[1,2,3]}\n');
  writeFileSync(join(cwd, "small.json"), JSON.stringify({ ...CONFIG, vocab_size: 32 }));
  const bare = await run(
    "curriculum",
    "--init small.json --data ids=ids.jsonl --method alternate --read-back 1 --steps 2 --batch-size 1 -o bare.safetensors",
  );
  expect([bare.code, bare.err]).toEqual([2, expect.stringContaining("it has no tokenizer")]);
});
