/** `inspect` as a process, over the small checkpoints of test/golden/merge/inputs and over some with faults. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { open } from "../../src/checkpoint/open.ts";
import { fileOf, type Made } from "../checkpoint/sample.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { run } from "./fixtures/run.ts";

const ROOT = join(import.meta.dir, "../..");
const INPUTS = join(ROOT, "test/golden/merge/inputs");
const TINY = join(INPUTS, "tiny-f32");
const INSPECT = join(ROOT, "scripts/inspect.ts");
const MERGE = join(ROOT, "scripts/merge.ts");
const TRAIN = join(ROOT, "scripts/train.ts");

// Each test starts a few processes, two of them shells that start more.
setDefaultTimeout(60_000);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const inspect = (...argv: string[]) => run([...argv, "-q"], {}, INSPECT);
const json = async (...argv: string[]) => JSON.parse((await inspect(...argv, "--json")).out);
const lines = (text: string) => text.trimEnd().split("\n");

async function merged(...argv: string[]): Promise<void> {
  const { code, err } = await run([...argv, "-q"], {}, MERGE);
  if (code !== 0) throw new Error(err);
}

/** A file of tensors with these values. */
function made(name: string, tensors: Record<string, [dtype: Dtype, shape: number[], values: number[]]>): string {
  const all = Object.entries(tensors).map(([tensor, [dtype, shape, values]]): Made => {
    const data =
      dtype === "I32" ? new Uint8Array(Int32Array.from(values).buffer) : encodeFloats(Float32Array.from(values), dtype);
    return { name: tensor, dtype, shape, bytes: data.length, data };
  });
  const path = join(folder, `${name}.safetensors`);
  writeFileSync(path, fileOf(all));
  return path;
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

describe("what it is", () => {
  test("facts and grouped tensors, without a GPU", async () => {
    const { out, code } = await run(
      [join(TINY, "base"), "-q"],
      { VK_DRIVER_FILES: "/nowhere", VK_ICD_FILENAMES: "/nowhere" },
      INSPECT,
    );
    expect(code).toBe(0);
    const text = lines(out);
    expect(text[0]).toBe(`${join(TINY, "base")} (folder)`);
    expect(text).toContain(
      "  architecture  LlamaForCausalLM (llama), 2 layers, hidden 32, 4 heads (2 key-value), vocabulary 64, not tied",
    );
    expect(text).toContain("  tokenizer     none");
    expect(text).toContain("  parameters    22,688: 4,096 in embeddings, 18,592 in the rest");
    expect(text).toContain("  dtypes        F32: 21 tensors, 90.8 kB");
    expect(text).toContain("model.layers.{0..1}.mlp.up_proj.weight               (64, 32)  F32  x2");
    expect(text.at(-1)).toBe("lineage: none");
  });

  test("-v lists every tensor; --tensors chooses", async () => {
    const { out } = await inspect(join(TINY, "base"), "-v");
    expect(out).toContain("model.layers.0.mlp.up_proj.weight ");
    expect(out).not.toContain("{");
    const chosen = await inspect(join(TINY, "base"), "--tensors", "*norm*");
    expect(chosen.out).toContain("  parameters    160\n");
    const none = await inspect(join(TINY, "base"), "--tensors", "nothing");
    expect([none.code, none.err]).toEqual([
      2,
      `inspect: no tensor of ${join(TINY, "base")} matches nothing\n  hint: its names are like lm_head.weight, model.embed_tokens.weight\n`,
    ]);
  });

  test("shards are counted", async () => {
    const { out } = await inspect(join(INPUTS, "deep/base"));
    expect(out).toContain("  weights       60.2 kB in 2 shards\n");
    expect(out).toContain("model.layers.{0..5}.self_attn.q_proj.weight");
  });

  test("--json has the facts and every tensor", async () => {
    const { lineage, tensors, ...facts } = await json(join(TINY, "base"));
    expect(facts).toMatchObject({
      kind: "folder",
      architecture: {
        architecture: "LlamaForCausalLM",
        layers: 2,
        hidden: 32,
        heads: 4,
        kv_heads: 2,
        vocab: 64,
        tied: false,
      },
      tokenizer: false,
      files: ["config.json"],
      parameters: { total: 22688, embeddings: 4096, rest: 18592 },
      bytes: 90752,
      dtypes: { F32: { tensors: 21, parameters: 22688, bytes: 90752 } },
    });
    expect(lineage).toEqual([]);
    expect(tensors).toHaveLength(21);
    expect(tensors[0]).toEqual({
      name: "lm_head.weight",
      dtype: "F32",
      shape: [64, 32],
      parameters: 2048,
      bytes: 8192,
    });
  });

  test("an adapter alone stays an adapter; on its base it is applied", async () => {
    const golden = join(ROOT, "test/golden/train");
    const alone = await inspect(join(golden, "lora-basic"));
    expect(alone.out).toMatch(/^ {2}adapter +LORA, rank \d+, alpha \d+, on /m);
    expect(alone.out).toContain("lora_A");
    const both = `${join(golden, "lora-base")}+${join(golden, "lora-basic")}`;
    const { diff } = await json(both, "--diff", join(golden, "lora-base"));
    expect(diff.total.distance).toBeGreaterThan(0);
    expect(diff.total.identical).toBeLessThan(diff.total.compared);
  });

  test("two checkpoints are one too many, and a folder without weights says so", async () => {
    const { code, err } = await inspect("a", "b");
    expect([code, err]).toEqual([2, "inspect: unexpected argument b\n  hint: it takes [checkpoint]\n"]);
    expect((await inspect(folder)).code).toBe(2);
  });
});

describe("what it holds", () => {
  test("--stats, and NaN, infinities and zeros exactly", async () => {
    const path = made("odd", {
      "l.0.w": ["BF16", [2, 3], [1, -2, Number.NaN, 0, -0, Number.POSITIVE_INFINITY]],
      "l.1.w": ["BF16", [2, 3], [1, 1, 1, 1, 1, 1]],
      ids: ["I32", [3], [-4, 0, 9]],
    });
    const { tensors } = await json(path, "--stats");
    expect(tensors[0].statistics).toEqual({
      mean: -0.25,
      rms: Math.sqrt(5 / 4),
      abs_max: 2,
      nan: 1,
      inf: 1,
      zeros: 2,
      zero_share: 2 / 6,
    });
    expect(tensors[2].statistics).toMatchObject({ mean: null, min: -4, max: 9, zeros: 1 });
    const { out } = await inspect(path, "--stats");
    const rows = lines(out).map((line) => line.replace(/ +/g, " "));
    expect(rows).toContain("tensor shape dtype mean rms abs max NaN Inf zeros");
    expect(rows).toContain("l.{0..1}.w (2, 3) BF16 x2 0.5 1.049 2 1 1 16.67%");
    expect(rows).toContain("ids (3) I32 - - -4..9 0 0 33.33%");
  });

  test("folder, file and pipe give the same statistics; a pipe is read once, chosen tensors or not", async () => {
    const file = join(TINY, "base/model.safetensors");
    const piped = async (...argv: string[]) => {
      const child = Bun.spawn([process.execPath, INSPECT, ...argv, "--json", "-q"], {
        stdin: Bun.file(file),
        stdout: "pipe",
      });
      return JSON.parse(await new Response(child.stdout).text()).tensors;
    };
    for (const argv of [["--stats"], ["--stats", "--tensors", "mlp"]]) {
      const { tensors } = await json(join(TINY, "base"), ...argv);
      expect((await json(file, ...argv)).tensors).toEqual(tensors);
      expect(await piped(...argv)).toEqual(tensors);
    }
  });

  test("a pipe that is cut short is an error", async () => {
    const cut = join(folder, "cut.safetensors");
    const whole = readFileSync(join(TINY, "base/model.safetensors"));
    writeFileSync(cut, whole.subarray(0, whole.length - 100));
    const child = Bun.spawn([process.execPath, INSPECT, "-", "--stats", "-q"], {
      stdin: Bun.file(cut),
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(child.stderr).text()).toContain("inspect: stdin was cut short: it ended in tensor ");
    expect(await child.exited).toBe(2);
  });

  test("--check: an error ends with 1, a sound model with 0", async () => {
    const sound = await inspect(join(TINY, "base"), "--check");
    expect([sound.code, sound.out]).toEqual([0, `${join(TINY, "base")}: 21 tensors checked, no problems found\n`]);
    const path = made("faulty", {
      "a.weight": ["F32", [2, 2], [1, Number.NaN, 2, Number.NaN]],
      "b.weight": ["F16", [2, 2], [0, 0, 0, 0]],
      "c.weight": ["F32", [2], [0, 0]],
    });
    const bad = await inspect(path, "--check");
    expect(bad.code).toBe(1);
    expect(lines(bad.out)).toEqual([
      "warning: 1 of the float tensors are F16 and 2 F32: b.weight",
      "error: a.weight has 2 NaN among 4 values",
      "error: all zero: b.weight",
      "warning: all zero: c.weight",
    ]);
    expect((await json(path, "--check")).problems).toHaveLength(4);
  });

  test("--check: tensors that config.json contradicts", async () => {
    const copy = join(folder, "contradicted");
    cpSync(join(TINY, "base"), copy, { recursive: true });
    const config = JSON.parse(readFileSync(join(copy, "config.json"), "utf8"));
    writeFileSync(join(copy, "config.json"), JSON.stringify({ ...config, vocab_size: 65, num_hidden_layers: 3 }));
    const { code, out } = await inspect(copy, "--check");
    expect(code).toBe(1);
    expect(lines(out)).toEqual([
      "error: config.json says num_hidden_layers 3, but model.layers has 2 layers",
      "error: config.json says vocab_size 65, but model.embed_tokens.weight has 64 rows",
      "error: config.json says vocab_size 65, but lm_head.weight has 64 rows",
    ]);
  });

  test("--diff: distances, what is identical, and what cannot be compared", async () => {
    const a = made("a", {
      same: ["F32", [2], [1, 2]],
      moved: ["F32", [2], [3, 5]],
      shaped: ["F32", [2], [1, 2]],
      mine: ["F32", [1], [1]],
      typed: ["BF16", [2], [1, 2]],
      ids: ["I32", [2], [1, 2]],
    });
    const b = made("b", {
      same: ["F32", [2], [1, 2]],
      moved: ["F32", [2], [3, 4]],
      shaped: ["F32", [1, 2], [1, 2]],
      typed: ["F32", [2], [1, 2]],
      theirs: ["F32", [1], [1]],
      ids: ["I32", [2], [1, 3]],
    });
    const { diff } = await json(a, "--diff", b);
    expect(diff.tensors.map(({ name, identical }: { name: string; identical: boolean }) => [name, identical])).toEqual([
      ["same", true],
      ["moved", false],
      ["typed", false],
      ["ids", false],
    ]);
    expect(diff.tensors[1]).toMatchObject({ distance: 1 / 5, abs_max: 1, differing: 1 });
    expect(diff.tensors[1].cosine).toBeCloseTo(29 / (Math.sqrt(34) * 5), 6);
    expect(diff).toMatchObject({
      only_here: ["mine"],
      only_there: ["theirs"],
      shapes: [{ name: "shaped", here: [2], there: [1, 2] }],
      dtypes: [{ name: "typed", here: "BF16", there: "F32" }],
      total: { compared: 4, identical: 1 },
    });
    const { out, code } = await inspect(a, "--diff", b);
    expect(code).toBe(0);
    const rows = lines(out).map((line) => line.replace(/ +/g, " "));
    expect(rows).toContain("same (2) F32 identical");
    expect(rows).toContain("moved (2) F32 0.2 0.994692 1 50%".replace("50%", "50.00%"));
    expect(rows).toContain(`not in ${b}: mine`);
    expect(rows).toContain(`only in ${b}: theirs`);
    expect(rows).toContain(`shaped is (2) here and (1, 2) in ${b}`);
    expect(rows).toContain(`BF16 here and F32 in ${b}: typed`);
    expect((await inspect(a, "--diff", a)).out).toContain("6 tensors compared, all bit-identical\n");
  });

  test("a pipe cannot be read for two things", async () => {
    const child = Bun.spawn([process.execPath, INSPECT, "-", "--stats", "--diff", join(TINY, "base"), "-q"], {
      stdin: Bun.file(join(TINY, "base/model.safetensors")),
      stderr: "pipe",
    });
    expect(await new Response(child.stderr).text()).toBe(
      "inspect: - is a pipe and can be read only once, but --diff and --stats both read it\n  hint: write it to a file first, or ask for one of them\n",
    );
    expect(await child.exited).toBe(2);
  });
});

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
    expect(script).toContain("<<'RECIPE'\nmerge_method: linear\n");
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

test("--help is quick and needs nothing", async () => {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const began = performance.now();
    const { out, code } = await run(["--help"], {}, INSPECT);
    times.push(performance.now() - began);
    expect(code).toBe(0);
    expect(out).toContain("inspect: Look into a checkpoint: what it is, what its tensors hold, and how it was made.");
    expect(out).toContain("--diff OTHER");
  }
  // 30-60 ms alone; other work on the machine may take the rest.
  expect(Math.min(...times)).toBeLessThan(200);
});
