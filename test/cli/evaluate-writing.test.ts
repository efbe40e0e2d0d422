/** What evaluate writes beside its result: logits, and the model itself. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import { runShell } from "../support/command.ts";
import { nextModel } from "./next-model.ts";

const { folder, at, run } = await nextModel("evaluate-writing");

test("logits of rows of different length follow each other; the largest come with the mass of the others", async () => {
  await run("evaluate", ["golden", "--data", "ids.jsonl", "--dump", "all.safetensors", "-q"]);
  await run("evaluate", ["golden", "--data", "ids.jsonl", "--dump", "top.safetensors", "--dump-top", "3", "-q"]);
  const [all, top] = [await openPlain(at("all.safetensors")), await openPlain(at("top.safetensors"))];
  const shapes = (opened: typeof all) => [...opened.tensors.values()].map(({ name, shape }) => `${name} ${shape}`);
  expect(shapes(all)).toEqual(["logits 7,50", "lengths 2"]);
  expect(shapes(top)).toEqual(["ids 7,3", "log_probs 7,3", "tail 7", "lengths 2"]);
  const read = async (opened: typeof all, name: string) => {
    const entry = opened.tensors.get(name)!;
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    return new Float32Array(bytes.buffer);
  };
  const [logProbs, tail] = [await read(top, "log_probs"), await read(top, "tail")];
  for (const [row, rest] of tail.entries()) {
    const kept = logProbs.subarray(3 * row, 3 * row + 3).reduce((sum, x) => sum + Math.exp(x), 0);
    expect(kept + rest).toBeCloseTo(1, 5);
  }
  all.close();
  top.close();
});

test("--pass hands the bytes on, and says the result on stderr", async () => {
  const { code, err } = await runShell(
    "$EVALUATE golden/model.safetensors --data ids.jsonl --metric loss --pass --json > passed.safetensors",
    folder,
  );
  expect(code).toBe(0);
  expect(err).toMatch(/"loss":\d/);
  expect((await run("inspect", ["golden", "--diff", "passed.safetensors", "-q"])).code).toBe(0);
  const [a, b] = [await openPlain(at("golden/model.safetensors")), await openPlain(at("passed.safetensors"))];
  for (const entry of a.tensors.values()) {
    const [x, y] = [new Uint8Array(entry.bytes), new Uint8Array(entry.bytes)];
    await entry.read(x, 0);
    await b.tensors.get(entry.name)!.read(y, 0);
    expect(y).toEqual(x);
  }
  a.close();
  b.close();
});

test("with --pass the result goes to the file of -o", async () => {
  const line = "$EVALUATE next --data next.jsonl --metric loss --pass -q";
  for (const [json, found] of [["", /^ +loss\nnext /] as const, [" --json", /^{"loss":\d/] as const]) {
    const { code, err } = await runShell(`${line}${json} -o result.txt > passed.safetensors`, folder);
    expect([code, err]).toEqual([0, ""]);
    expect(readFileSync(at("result.txt"), "utf8")).toMatch(found);
    expect((await run("inspect", ["next", "--diff", "passed.safetensors", "-q"])).code).toBe(0);
  }
});

test.each([
  ["", "--data is missing"],
  ["--data none.jsonl", "none.jsonl does not exist"],
  ["--data next.jsonl --metric choice", "next.jsonl:1: the row needs prompt, choices"],
  ["--data next.jsonl --metric truth-ratio", "next.jsonl:1: no row names alternative answers"],
  ["--data cut.jsonl --metric exact-match", "cut.jsonl:1: a prompt of 64 tokens leaves no room"],
  ["--data next.jsonl --gold golden", "next.jsonl:1: the row is text, but there is no tokenizer"],
])("--pass %s hands nothing on", async (line, message) => {
  const { code, out, err } = await run("evaluate", ["next", "--pass", "-q", ...line.split(" ").filter(Boolean)]);
  expect([code, out.length]).toEqual([2, 0]);
  expect(err).toContain(message);
});

test("--dump writes one safetensors file, over an older dump and nothing else", async () => {
  cpSync(at("next"), at("kept"), { recursive: true });
  symlinkSync("kept/model.safetensors", at("link.safetensors"));
  const files = () => readdirSync(at("kept")).map((name) => readFileSync(join(folder, "kept", name)).toString("hex"));
  const before = files();
  const expected = "expected a file whose name ends with .safetensors";
  const argv = ["kept", "--data", "next.jsonl", "--metric", "loss", "-q"];
  for (const [dump, message] of [
    ["kept/", `--dump kept/: ${expected}, found a folder`],
    ["kept", `--dump kept: ${expected}, found a folder`],
    ["out.txt", `--dump out.txt: ${expected}\n`],
    ["next.jsonl", `--dump next.jsonl: ${expected}\n`],
    ["none/x.safetensors", "--dump none/x.safetensors: the folder none does not exist"],
    ["kept/model.safetensors", "--dump: kept/model.safetensors is read by this run\n"],
    ["link.safetensors", "--dump: link.safetensors is read by this run\n"],
    ["-", "--dump - and the result would both write to stdout\n  hint: give the result a file, -o FILE"],
  ]) {
    const { err, code, out } = await run("evaluate", [...argv, "--dump", dump!]);
    expect(err).toContain(message!);
    expect([code, out.length]).toEqual([2, 0]);
  }
  expect(files()).toEqual(before);
  expect(existsSync(at("out.txt"))).toBe(false);
  const dumped = ["golden", "--data", "ids.jsonl", "--dump", "again.safetensors", "-q"];
  expect((await run("evaluate", dumped)).code).toBe(0);
  expect((await run("evaluate", dumped)).err).toContain("--dump: again.safetensors is there already\n");
  expect((await run("evaluate", [...dumped, "--overwrite"])).code).toBe(0);
  const piped = await run("evaluate", ["golden", "--data", "ids.jsonl", "--dump", "-", "-o", "beside.txt", "-q"]);
  expect(piped.out).toEqual(new Uint8Array(readFileSync(at("again.safetensors"))));
  expect(readFileSync(at("beside.txt"), "utf8")).toContain("loss");
  rmSync(at("beside.txt"));
});
