/** What files may hold reaches no terminal as it is: whatever a script says of them, in messages and in tables. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { visible } from "../../src/text/visible.ts";
import { runScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { SHAPE } from "./fixtures/run.ts";

setDefaultTimeout(120_000);

/** Sets a title, clears the screen, colours, goes back, turns around. */
const EVIL = "\u001b]0;owned\u0007\u001b[2J\u009b31mred\u007f\b\u202edlrow\u2066\u2028";
const STEERING = /\r(?!\n)|[^\P{Cc}\t\r\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-terminal-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file with tensors of one value each. */
function tensors(names: readonly string[], metadata: Record<string, string> = {}): Uint8Array {
  const entry = (i: number) => ({ dtype: "F32", shape: [1], data_offsets: [4 * i, 4 * i + 4] });
  const header = JSON.stringify({
    __metadata__: metadata,
    ...Object.fromEntries(names.map((name, i) => [name, entry(i)])),
  });
  const text = Buffer.from(header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, Buffer.alloc(4 * names.length)]);
}

/** Writes a folder of files; values that are no bytes are written as JSON. */
function model(name: string, files: Record<string, unknown>): void {
  mkdirSync(at(name), { recursive: true });
  for (const [file, value] of Object.entries(files))
    writeFileSync(
      join(at(name), file),
      value instanceof Uint8Array || typeof value === "string" ? value : JSON.stringify(value),
    );
}

describe("a text that is made visible", () => {
  test("steers nothing, and is otherwise as it was", () => {
    expect(visible(EVIL)).toBe("\\u001b]0;owned\\u0007\\u001b[2J\\u009b31mred\\u007f\\u0008\\u202edlrow\\u2066\\u2028");
    const plain = "größe\t日本語\r\n 👩‍👩‍👧 é \u00a0 עברית\n";
    expect(visible(plain)).toBe(plain);
    expect(visible("real\rfake")).toBe("real\\u000dfake");
  });

  test("of JSON stays JSON of the same value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: "binary" }), (value, text) => {
        const json = visible(JSON.stringify([value, text, EVIL]));
        expect(json).not.toMatch(STEERING);
        expect(JSON.stringify(JSON.parse(json))).toBe(JSON.stringify([value, text, EVIL]));
      }),
      { numRuns: 300 },
    );
  });
});

describe("a result", () => {
  const show = (...more: string[]) => [
    process.execPath,
    SHAPE,
    "--act",
    "evil",
    "--base",
    EVIL.replaceAll("\0", ""),
    ...more,
  ];
  const piped = (...more: string[]) => Bun.spawnSync(show(...more), { stdin: "ignore" });

  test("for people is made visible, also in a pipe; a text by itself, or JSON, is not", () => {
    const { stdout, stderr } = piped();
    expect(stdout.toString()).toBe(`print ${visible(EVIL)}\ntext ${EVIL}\n`);
    for (const kind of ["info", "warning:", "console"])
      expect(stderr.toString()).toContain(`${kind} ${visible(EVIL)}\n`);
    expect(stderr.toString()).not.toMatch(STEERING);
    const json = piped("--json");
    expect(JSON.parse(json.stdout.toString())).toEqual({ json: EVIL });
    expect(json.stdout.toString()).toContain("\u009b");
  });

  test("in a file is as it was", () => {
    expect(piped("-o", at("out.txt")).exitCode).toBe(0);
    expect(readFileSync(at("out.txt"), "utf8")).toContain(`text ${EVIL}\n`);
  });

  test.skipIf(process.platform !== "linux" || !Bun.which("script"))("on a terminal is always visible", () => {
    for (const more of [[], ["--json"]]) {
      writeFileSync(
        at("line.sh"),
        show(...more)
          .map((word) => `'${word.replaceAll("'", `'\\''`)}'`)
          .join(" "),
      );
      const child = Bun.spawnSync(["script", "-qec", `sh '${at("line.sh")}'`, "/dev/null"], { stdin: "ignore" });
      const text = child.stdout.toString();
      expect(text).toContain(more.length > 0 ? '"json": "\\u001b]0;owned' : `text ${visible(EVIL)}`);
      expect(text.replaceAll("\r\n", "\n")).not.toMatch(STEERING);
    }
  });
});

describe("what a file holds", () => {
  const config = { ...TINY_TEXT.llama, architectures: [EVIL] };
  const hostile = { script: EVIL, version: "1", options: {}, seed: 0, inputs: [], run: "1" };
  const step = {
    script: "merge",
    version: "1",
    method: "linear\u202e",
    options: { weight: "1\u2066" },
    seed: 0,
    inputs: [{ ref: "a\u202eb" }],
    run: "1",
  };
  beforeAll(() => {
    const lineage = (entry: object) => ({ "ingot.lineage": JSON.stringify([entry]) });
    writeFileSync(at("tensors.safetensors"), tensors([EVIL, "b"]));
    writeFileSync(at("other.safetensors"), tensors([`${EVIL}2`, "b"]));
    writeFileSync(
      at("header.safetensors"),
      Buffer.concat([Buffer.from([64, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(`{${EVIL}`.padEnd(64))]),
    );
    writeFileSync(at("hostile.safetensors"), tensors(["a"], lineage(hostile)));
    writeFileSync(at("turned.safetensors"), tensors(["a"], lineage(step)));
    model("config", { "config.json": { ...config, model_type: EVIL }, "model.safetensors": tensors(["a"]) });
    model("names", { "config.json": config, "model.safetensors": tensors([`model.${EVIL}.weight`]) });
    model("activation", { "config.json": { ...config, hidden_act: EVIL }, "model.safetensors": tensors(["a"]) });
    model("index", { "model.safetensors.index.json": { weight_map: { [EVIL]: EVIL } } });
    model("adapter", {
      "adapter_config.json": { peft_type: EVIL, r: 1, target_modules: [EVIL], base_model_name_or_path: EVIL },
      "adapter_model.safetensors": tensors([EVIL]),
    });
    writeFileSync(at("rows.jsonl"), `${JSON.stringify({ [EVIL]: EVIL })}\n`);
    writeFileSync(at("no-rows.jsonl"), `{"text": ${EVIL}\n`);
    writeFileSync(at("recipe.yml"), `merge_method: ${JSON.stringify(EVIL)}\nmodels: [{model: a}]\n`);
    writeFileSync(at("raw.yml"), `merge_method: linear\nmodels: [{model: ${EVIL}\n`);
    writeFileSync(at("config.yml"), `${JSON.stringify(EVIL)}: 1\n`);
    writeFileSync(
      at("log.jsonl"),
      `{"event":"start","script":${JSON.stringify(EVIL)},"run":${JSON.stringify(EVIL)},"inputs":[]}\n{"event":"step","step":1,"loss":1}\n`,
    );
    writeFileSync(at("llama.json"), JSON.stringify(config));
  });

  const RUN = "--batch-size 1 --steps 1 --dry-run";
  test.each([
    "inspect tensors.safetensors",
    "inspect tensors.safetensors -v",
    "inspect tensors.safetensors --tensors nothing",
    "inspect header.safetensors",
    "inspect hostile.safetensors",
    "inspect turned.safetensors",
    "inspect config",
    "inspect names",
    "inspect index",
    "inspect adapter",
    `inspect ./nowhere-${EVIL}`,
    "merge tensors.safetensors other.safetensors --method linear --explain",
    "merge tensors.safetensors other.safetensors --method linear --check",
    "merge tensors.safetensors tensors.safetensors --method linear --explain",
    "merge names names --method linear --dry-run",
    "merge names+adapter names --method linear --dry-run",
    "merge recipe.yml --dry-run",
    "merge raw.yml --dry-run",
    "merge --config config.yml a b",
    `merge a b --method ${EVIL}`,
    `merge a b --${EVIL}`,
    "sample config hi",
    "sample names hi --tokenizer byte",
    "sample activation hi --tokenizer byte",
    `train --init llama.json --tokenizer byte --data rows.jsonl ${RUN}`,
    `train --init llama.json --tokenizer byte --data no-rows.jsonl ${RUN}`,
    `train --init llama.json --tokenizer byte --data ${EVIL}=rows.jsonl ${RUN}`,
    "report log.jsonl --dry-run",
    "report log.jsonl",
  ])("reaches no terminal: %j", async (line) => {
    const [script, ...argv] = line.split(" ");
    const { text, err } = await runScript(script!, argv, folder);
    expect(err).not.toMatch(STEERING);
    if (script !== "report" || argv.includes("--dry-run")) expect(text).not.toMatch(STEERING);
    expect(`${text}${err}`.length).toBeGreaterThan(0);
  });
});
