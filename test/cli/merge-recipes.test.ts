/** Recipes, and what `merge` says about a merge instead of doing it: --dry-run, --explain, --check. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectWithin } from "../support/floats.ts";
import { DECODER, floatsOf, merge, readTensors, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const [a, b, base] = [1, 2, 3].map((seed) => tensorsOf(DECODER, seed)) as ReturnType<typeof tensorsOf>[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-recipes-"));
  for (const [name, tensors] of Object.entries({ a, b, base })) writeModel(join(folder, name), tensors!);
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string) => merge(argv.split(" "), { cwd: folder });
/** In a process of its own, whose memory is that of this merge. */
const alone = (argv: string) => merge(argv.split(" "), { cwd: folder, env: {} });
const recipe = (name: string, text: string) => writeFileSync(join(folder, name), text);
const file = (path: string): Uint8Array => new Uint8Array(readFileSync(join(folder, path)));

describe("recipes", () => {
  test("give what the same flags give", async () => {
    recipe(
      "ties.yml",
      "merge_method: ties\nbase_model: ./base\nparameters: {density: 0.5, weight: 0.5}\nmodels:\n- model: ./a\n- model: ./b\n",
    );
    const [by, flags] = [
      await run("ties.yml -q"),
      await run("a b --base base --method ties --weight 0.5 --density 0.5 -q"),
    ];
    expect([by.code, flags.code]).toEqual([0, 0]);
    const [one, two] = [readTensors(by.out), readTensors(flags.out)];
    for (const [name, { data }] of two) expect([name, one.get(name)!.data]).toEqual([name, data]);
    const config = await run("--config ties.yml -q");
    expect(Buffer.compare(config.out, by.out)).toBe(0);
  });

  test("slices stack blocks, in order and twice, and the config counts them", async () => {
    const text = ["a, layer_range: [0, 2]", "b, layer_range: [1, 2]", "a, layer_range: [1, 2]"]
      .map((source) => `- sources: [{model: ./${source}}]\n`)
      .join("");
    recipe("stack.yml", `merge_method: passthrough\nslices:\n${text}`);
    const { code, err } = await run("stack.yml -q -o stacked");
    expect([code, err]).toEqual([0, ""]);
    const found = readTensors(file("stacked/model.safetensors"));
    const from = (model: typeof a, name: string) => model!.find((one) => one.name === name)!.data;
    const sources = [
      [a, 0],
      [a, 1],
      [b, 1],
      [a, 1],
    ] as const;
    for (const [i, [model, layer]] of sources.entries()) {
      for (const part of ["mlp.up_proj", "norm"]) {
        const name = `model.layers.${i}.${part}.weight`;
        expect([name, found.get(name)!.data]).toEqual([name, from(model, `model.layers.${layer}.${part}.weight`)]);
      }
    }
    expect(found.size).toBe(3 + 2 * 4);
    expect(JSON.parse(readFileSync(join(folder, "stacked/config.json"), "utf8")).num_hidden_layers).toBe(4);
  });

  test("several in one file build on one another", async () => {
    recipe(
      "chain.yml",
      "name: first\nmerge_method: linear\nmodels:\n- {model: ./a, parameters: {weight: 1}}\n- {model: ./b, parameters: {weight: 1}}\n" +
        "---\nmerge_method: slerp\nbase_model: first\nmodels: [{model: first}, {model: ./base}]\nparameters: {t: 0.25}\n",
    );
    const { code, err } = await run("chain.yml -q -o chained.safetensors");
    expect([code, err]).toEqual([0, ""]);
    await run("a b --method linear --weight 1 -q -o first.safetensors");
    const wanted = readTensors((await run("base --base first.safetensors --method slerp --t 0.25 -q")).out);
    const found = readTensors(file("chained.safetensors"));
    for (const [name, { data }] of wanted) expect([name, found.get(name)!.data]).toEqual([name, data]);
  });

  test("that ask for another template, or for tokens of models without a tokenizer, are refused by name", async () => {
    for (const key of [
      "tokenizer_source: ./b",
      "tokenizer: {source: base, pad_to_multiple_of: 8}",
      "chat_template: chatlm",
    ]) {
      recipe("surgery.yml", `merge_method: linear\nmodels: [{model: ./a, parameters: {weight: 1}}]\n${key}\n`);
      const { code, err } = await run("surgery.yml -o refused");
      expect(err).toMatch(/chat-template chatlm is no name|tokenizer\.json/);
      expect(err).toContain("surgery.yml:3:");
      expect([code, readdirSync(folder).includes("refused")]).toEqual([2, false]);
    }
  });

  test("stand alone, and take types and mergekit's flags", async () => {
    recipe("plain.yml", "merge_method: linear\nmodels: [{model: ./a, parameters: {weight: 1}}]\n");
    const extra = await run("plain.yml a");
    expect(extra.err).toStartWith("merge: a recipe takes no further arguments, found plain.yml a\n");
    const method = await run("plain.yml --method linear");
    expect(method.err).toStartWith("merge: plain.yml sets the method and its parameters\n");
    const missing = await run("missing.yml");
    expect(missing.err).toStartWith("merge: missing.yml cannot be read: ");
    expect([extra.code, method.code, missing.code]).toEqual([2, 2, 2]);
    const typed = await run("plain.yml --out-dtype float16 --cuda --num-threads 4 --allow-crimes");
    expect(typed.code).toBe(0);
    expect(typed.err).toStartWith("merge: without effect here: --allow-crimes, --cuda, --num-threads\n");
    expect([...readTensors(typed.out).values()].every(({ dtype }) => dtype === "F16")).toBe(true);
  });

  test("with an unknown method or a model that is not there: what and where", async () => {
    recipe("typo.yml", "merge_method: tise\nbase_model: ./base\nmodels: [{model: ./a}]\n");
    expect((await run("typo.yml")).err).toContain("merge_method: unknown method tise\n  hint: did you mean ties?\n");
    recipe("gone.yml", "merge_method: karcher\nmodels: [{model: ./a}, {model: ./gone}]\n");
    expect((await run("gone.yml")).err).toStartWith("merge: ./gone: no such file or folder\n");
  });
});

describe("--dry-run", () => {
  test("says what a merge takes, reads no weights, makes nothing, and needs no GPU", async () => {
    // A pipe that ends after its header: whoever reads a weight fails.
    const whole = file("a/model.safetensors");
    const header = new DataView(whole.buffer).getUint32(0, true) + 8;
    const before = readdirSync(folder);
    const { code, text, err } = await merge("- b --method linear --weight 1 -n -o made -v".split(" "), {
      cwd: folder,
      stdin: whole.subarray(0, header),
      env: { VK_DRIVER_FILES: "/none", VK_ICD_FILENAMES: "/none" },
    });
    expect([code, err]).toEqual([0, expect.not.stringContaining("GPU")]);
    expect(text).toMatch(
      /^tensors +7\nreads +3\.78 kB\nwrites +1\.89 kB\nGPU memory +at most .*\nhost memory +at most .*on top\nto +made\n$/,
    );
    expect(readdirSync(folder)).toEqual(before);
    const json = JSON.parse((await run("a b --method linear --weight 1 -n --json")).text);
    expect(json).toEqual({
      ...{ input: 2 * 1888, output: 1888, tensors: 7, out: "-" },
      ...{ peak: json.gpu_memory + json.host_memory, gpu_memory: expect.any(Number), host_memory: expect.any(Number) },
    });
    expect((await run("a nowhere --method linear --weight 1 -n")).code).toBe(2);
  });

  test("states a peak that is kept", async () => {
    for (const [i, name] of ["wide-a.safetensors", "wide-b.safetensors"].entries())
      writeModel(join(folder, name), tensorsOf({ "w.weight": [2048, 1024], "v.weight": [2048, 1024] }, i));
    const line = "wide-a.safetensors wide-b.safetensors --method karcher";
    const told = async (words: string) =>
      JSON.parse((await alone(`${words} -n --json`)).text) as Record<string, number>;
    const taken = async (words: string) => {
      const { code, err } = await alone(`${words} --overwrite -o wide.safetensors`);
      expect(code).toBe(0);
      const [, amount, unit] = /peak ([\d.]+) ([MG]B)/.exec(err)!;
      return Number(amount) * (unit === "GB" ? 1e9 : 1e6);
    };
    // Two numbers stand for what does not depend on the tensors: the process and its driver.
    const least = "a b --method karcher";
    const [small, wide] = [await told(least), await told(line)];
    const [baseline, most] = [await taken(least), await taken(line)];
    expect(baseline).toBeLessThan(small.host_memory!);
    expect(small.host_memory!).toBeLessThan(2.5 * baseline);
    expect(most).toBeLessThan(wide.gpu_memory! + wide.host_memory!);
    // On a software driver the GPU's memory is the host's.
    const more = wide.gpu_memory! + wide.host_memory! - small.gpu_memory! - small.host_memory!;
    expect(most - baseline).toBeLessThan(more);
    expect(most - baseline).toBeGreaterThan(more / 8);
  });
});

describe("--explain", () => {
  test("prints the parameters of every tensor, blocks that agree in one line", async () => {
    const { code, text } = await run(
      "a b --base base --method ties --set density:mlp=0.2 --weight [0,1],0.5 --explain",
    );
    expect(code).toBe(0);
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
    expect(text).toMatch(/^all merged tensors:\n {2}weight b +0\.5\n {2}lambda +1\n/);
    const head = lines.find(([name]) => name === "tensor")!;
    expect(head).toEqual(["tensor", "density a", "density b", "weight a"]);
    const row = (name: string) => lines.find((line) => line[0] === name)!;
    const weight = head.indexOf("weight a");
    expect(row("model.layers.0.mlp.up_proj.weight").slice(1, 3)).toEqual(["0.2", "0.2"]);
    expect(row("model.layers.1.mlp.up_proj.weight")[weight]).toBe("1");
    expect(row("model.layers.0.norm.weight")[weight]).toBe("0");
    expect(row("model.norm.weight")[weight]).toBe("0");
    const json = JSON.parse((await run("a b --method karcher --explain --json")).text);
    expect(json.columns).toEqual(["tensor", "max_iter", "tol"]);
    expect(json.rows.length).toBeGreaterThan(2);
  });
});

describe("--check", () => {
  test("compares models that fit: 0", async () => {
    const near = a!.map((tensor) => ({
      ...tensor,
      data: new Uint8Array(floatsOf(tensor).map((x) => 1.01 * x).buffer),
    }));
    writeModel(join(folder, "near"), near);
    const { code, text } = await run("near --base a --method ties --weight 1 --check");
    expect(text).toMatch(/^model +role +architecture/);
    expect(text).toContain("near: relative distance 0.01");
    expect(text).toEndWith("no problems found\n");
    expect(code).toBe(0);
  });

  test("says what does not fit, with exit code 1", async () => {
    const { code, text } = await run("a b --base base --method ties --weight 1 --check");
    expect(text).toContain("a: relative distance 1.");
    expect(text).toMatch(/\n(error|warning): .*\n {2}hint: /);
    writeModel(join(folder, "small"), tensorsOf({ ...DECODER, "model.layers.0.mlp.up_proj.weight": [4, 8] }, 5));
    const shapes = await run("a small --method linear --weight 1 --check --json");
    const report = JSON.parse(shapes.text);
    expect(report.problems.some(({ level }: { level: string }) => level === "error")).toBe(true);
    expect(JSON.stringify(report.problems)).toContain("up_proj");
    expect(report.models).toHaveLength(2);
    expect([code === 0 || code === 1, shapes.code]).toEqual([true, 1]);
  });
});

test("--json and --log say what was done", async () => {
  const { code, err } = await run("a b --method karcher -o told.safetensors --log log.jsonl");
  expect(code).toBe(0);
  expect(err).toMatch(/merge: \d.*told\.safetensors \(\d.* kB\)\n {2}next: bun run inspect told\.safetensors\n$/);
  const events = readFileSync(join(folder, "log.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events[0]).toMatchObject({ event: "start", script: "merge", method: "karcher", inputs: ["a", "b"], seed: 0 });
  expect(events.at(-1)).toMatchObject({ event: "end", ok: true });
});

test("passthrough scales, and 1 copies", async () => {
  const [scaled, copied] = [await run("a --method passthrough --scale 0.5 -q"), await run("a --method passthrough -q")];
  const [half, same] = [readTensors(scaled.out), readTensors(copied.out)];
  for (const tensor of a!) {
    const wanted = floatsOf(tensor).map((x) => x / 2);
    expectWithin(half.get(tensor.name)!.floats, wanted, () => 0, tensor.name);
    expect(same.get(tensor.name)!.data).toEqual(tensor.data);
  }
});
