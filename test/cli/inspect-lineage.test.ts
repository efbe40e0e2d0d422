/** `inspect` as a process: how a checkpoint was made, and the commands that make it again. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { run } from "./fixtures/run.ts";
import { inspect, json, ROOT, TINY } from "./inspected.ts";

const MERGE = join(ROOT, "scripts/merge.ts");
const TRAIN = join(ROOT, "scripts/train.ts");

// Each test starts a few processes, which may be shells that start more.
setDefaultTimeout(120_000);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function merged(...argv: string[]): Promise<void> {
  const { code, err } = await run([...argv, "-q"], {}, MERGE);
  if (code !== 0) throw new Error(err);
}

/** Every tensor's bytes. */
async function bytesOf(ref: string): Promise<Map<string, string>> {
  const checkpoint = await open(ref);
  const found = new Map<string, string>();
  for (const { name, bytes, read } of checkpoint.tensors.values()) {
    const into = new Uint8Array(bytes);
    await read(into, 0);
    found.set(name, Buffer.from(into).toString("base64"));
  }
  checkpoint.close();
  return found;
}

describe("how it was made", () => {
  test("lineage as a tree, and commands that make the same tensors again", async () => {
    const [one, two] = [join(folder, "one"), join(folder, "two.safetensors")];
    const [a, b, c] = ["ft1", "ft2", "ft3"].map((name) => join(TINY, name)) as [string, string, string];
    await merged(a, b, "--method", "linear", "--weight", "0.7,0.3", "-o", one);
    await merged(one, "--base", c, "--method", "slerp", "--t", "0.3", "-o", two);

    const { out } = await inspect(two);
    const tree = out.slice(out.indexOf("lineage"));
    expect(tree.replaceAll(/run [0-9a-f]{12}, version .*/g, "run")).toBe(
      [
        "lineage (2 steps, oldest first)",
        "  1  merge linear  weight=0.7,0.3",
        `     ├ model ${a}`,
        `     └ model ${b}`,
        "       run",
        "  2  merge slerp  t=0.3",
        "     ├ model step 1",
        `     └ base ${c}`,
        "       run",
        "",
      ].join("\n"),
    );

    const { commands, script } = await json(two, "--command");
    expect(commands).toEqual([
      `bun run merge ${a} ${b} --method linear --weight 0.7,0.3 -o "$work/1.safetensors"`,
      `bun run merge "$work/1.safetensors" --method slerp --base ${c} --t 0.3 -o "$out"`,
    ]);
    expect((await inspect(two, "--command")).out).toBe(script);
    await rerunScript(script, join(folder, "again.safetensors"));
    expect(await bytesOf(join(folder, "again.safetensors"))).toEqual(await bytesOf(two));
    expect((await inspect(two, "--diff", join(folder, "again.safetensors"))).out).toContain("all bit-identical");
  });

  test("a recipe in the lineage runs again", async () => {
    const [recipe, made] = [join(folder, "recipe.yml"), join(folder, "recipe.safetensors")];
    const models = ["ft1", "ft2"].map((name) => `- {model: ${join(TINY, name)}, parameters: {weight: 0.5}}`);
    writeFileSync(recipe, `merge_method: linear\ndtype: float32\nmodels:\n${models.join("\n")}\n`);
    await merged(recipe, "-o", made);
    const { script } = await json(made, "--command");
    expect(script).toContain("printf %s 'merge_method: linear\n");
    await rerunScript(script, join(folder, "recipe-again.safetensors"));
    expect(await bytesOf(join(folder, "recipe-again.safetensors"))).toEqual(await bytesOf(made));
  });

  test("a model that was trained from a base and an adapter, both made here, is made again", async () => {
    const [config, rows] = [join(folder, "tiny.json"), join(folder, "rows.jsonl")];
    writeFileSync(config, JSON.stringify(TINY_TEXT.llama));
    writeFileSync(rows, '{"input_ids":[1,2,3,4,5]}\n{"input_ids":[7,8,3,9,6]}\n');
    const [base, adapter, more, last] = ["base", "ad", "more", "last"].map((name) => join(folder, name)) as string[];
    const options = ["--data", rows, "--batch-size", "2", "--steps", "2", "--save-every", "0", "-q"];
    for (const argv of [
      ["--init", config, "-o", base],
      [base, "--lora", "--lora-rank", "2", "--lr", "0.1", "-o", adapter],
      [`${base}+${adapter}`, "--lora-continue", "-o", more],
      [`${base}+${more}`, "-o", last],
    ]) {
      const { code, err } = await run([...(argv as string[]), ...options], {}, TRAIN);
      if (code !== 0) throw new Error(err);
    }
    const { script } = await json(last!, "--command");
    expect(script).toContain(`bun run train "$work/1.safetensors"+"$work/3.safetensors" --data`);
    await rerunScript(script, join(folder, "last-again.safetensors"));
    expect(await bytesOf(join(folder, "last-again.safetensors"))).toEqual(await bytesOf(last!));
  });

  test("--command refuses what asks for another result", async () => {
    for (const [flag, ...value] of [["--check"], ["--stats"], ["--diff", "x"], ["--tensors", "x"]] as const) {
      const { code, out, err } = await inspect(join(TINY, "base"), "--command", flag, ...value);
      expect([code, out, err]).toEqual([
        2,
        "",
        `inspect: --command prints a script for sh, and ${flag} asks about tensors\n  hint: run them apart, one inspect each\n`,
      ]);
    }
  });

  test("a checkpoint without lineage has no commands", async () => {
    const { code, err } = await inspect(join(TINY, "base"), "--command");
    expect([code, err]).toEqual([
      1,
      `inspect: ${join(TINY, "base")} has no lineage\n  hint: it was not made by ingot, or another tool has written it since\n`,
    ]);
  });
});

/** Runs a script as the user would: with sh, in the project's folder. */
async function rerunScript(script: string, target: string): Promise<void> {
  const path = join(folder, "again.sh");
  writeFileSync(path, script);
  const child = Bun.spawn(["sh", path, target], { cwd: ROOT, stdout: "ignore", stderr: "pipe" });
  const err = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(err);
}
