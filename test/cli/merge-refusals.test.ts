/** What `merge` refuses, with which words and exit code. Nothing is written then. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DTYPE_BYTES, type Dtype } from "../../src/checkpoint/dtype.ts";
import { fileOf, readIndependently } from "../checkpoint/sample.ts";
import { DECODER, merge, shell, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-refusals-"));
  for (const [i, name] of ["a", "b", "base"].entries()) writeModel(join(folder, name), tensorsOf(DECODER, i + 1));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs, and expects exit code 2 (unless said otherwise), no output and no stack; gives the message. */
async function refused(argv: string, options: { code?: number; stdin?: Uint8Array } = {}): Promise<string> {
  const before = readdirSync(folder);
  const { code, err, out } = await merge(argv.split(" "), { cwd: folder, stdin: options.stdin });
  expect([argv, code, out.length]).toEqual([argv, options.code ?? 2, 0]);
  expect(err).not.toContain("    at ");
  expect(err).toStartWith("merge: ");
  expect(readdirSync(folder)).toEqual(before);
  return err.slice("merge: ".length);
}

describe("names that are nearly right", () => {
  const cases: [string, string][] = [
    ["a b --method liner", "--method: unknown method liner\n  hint: did you mean linear?\n"],
    ["a b --method linear --wieght 1", "unknown option --wieght\n  hint: did you mean --weight?\n"],
    ["a b --method linear --set wieght=1", "--set: linear has no option wieght\n  hint: did you mean weight?\n"],
    ["a b --method linear --density 0.5", "linear has no option --density\n  hint: methods with --density: "],
    ["a b --method slerp -t 0.5", "unknown option -t\n  hint: its name has two dashes: --t\n"],
    ["a b --method linear -t 0.5", "linear has no option -t\n  hint: methods with --t: nearswap, slerp\n"],
    [
      "transplant a b --approximate mean -k 3",
      "mean has no option -k\n  hint: approximations with --terms: common-interpolation, omp\n",
    ],
    ["a b --density 0.5", "--density needs a --method\n  hint: methods with --density: "],
    ["a b", "no --method and no recipe\n  hint: for example --method linear; --list shows all methods\n"],
  ];
  for (const [argv, message] of cases) {
    test(argv, async () => expect(await refused(`${argv} -o x.safetensors`)).toStartWith(message));
  }
});

describe("values and numbers of models", () => {
  const cases: [string, string][] = [
    ["a b --method linear --weight 1,2,3", "--weight has 3 values for 2 models\n"],
    ["a b --method linear --weight x", 'weight is "x" for '],
    ["a b --base base --method emr --task 3", "--task is 3, and the merge has 2 models\n"],
    ["a b --base base --method consensus --task 3 -n", "--task is 3, and the merge has 2 models\n"],
    ["a b --base base --method consensus --joint gone -n", "gone: no such file or folder\n"],
    ["a b --method fisher --stats a", "--stats names one checkpoint for 2 models, and each has its own\n"],
    ["a b --method regmean --stats a,gone -n", "gone: no such file or folder\n"],
    ["a b --method pref_hull --rows 12", "--rows has no effect without --sample true"],
    ["a b --method pref_hull --stats a,b --sample false", "--stats has no effect without --sample true"],
    ["a b --method linear --weight 1,-1", "model.embed_tokens.weight: the weights sum to 0\n"],
    [
      "a b --method ties --weight 1",
      "ties needs a base model\n  hint: give it with --base, or as base_model in a recipe\n",
    ],
    ["a b --base base --method slerp --t 0.5", "slerp merges 1 model besides the base, found 2"],
    ["a --base base --method passthrough", "passthrough takes no base, found base\n"],
    ["a b --base base --method ties --weight 1 --density 1.5", "density is 1.5 for "],
    ["a b --method linear --weight 1 --dtype float17", "--dtype float17 is no type in which models are merged\n"],
    [
      "a b --method linear --weight 1 --post lines",
      "--post lines scales the change from a base, but this merge has none\n",
    ],
  ];
  for (const [argv, message] of cases) {
    test(argv, async () => expect(await refused(`${argv} -o x.safetensors`)).toContain(message));
  }
});

describe("inputs", () => {
  test("shapes that differ: the tensor, both shapes, both models, both architectures", async () => {
    const shapes = { ...DECODER, "model.layers.0.mlp.up_proj.weight": [10, 8] };
    writeModel(join(folder, "odd"), tensorsOf(shapes, 4), { "config.json": { model_type: "mistral" } });
    expect(await refused("a odd --method linear --weight 1 -o x.safetensors")).toBe(
      "model.layers.0.mlp.up_proj.weight is (12, 8) in a but (10, 8) in odd\n" +
        "  hint: these are different architectures (llama, mistral); merge needs one\n",
    );
  });

  test("a parameter of a recipe that another one must let count", async () => {
    const file = (name: string, parameters: string) =>
      writeFileSync(
        join(folder, name),
        `merge_method: pref_hull\nmodels: [{model: a}, {model: b, parameters: {${parameters}}}]\n`,
      );
    file("idle.yml", "rows: 12");
    file("usual.yml", "rows: 1");
    const message =
      "idle.yml: rows has no effect on pref_hull without sample\n  hint: give --sample, or leave it out\n";
    expect(await refused("idle.yml -n")).toBe(message);
    expect((await merge(["usual.yml", "-n"], { cwd: folder })).code).toBe(0);
    const filtered = "a b --method pref_hull --set rows:mlp=3 -n";
    expect(await refused(filtered)).toStartWith("--rows has no effect on pref_hull without sample\n");
  });

  test("Gram matrices of another model, in a dry run too", async () => {
    const gram = (name: string, side: number) =>
      writeModel(join(folder, name), tensorsOf({ "model.layers.0.mlp.up_proj.weight": [side, side] }, 5));
    gram("fit.safetensors", 8);
    gram("odd.safetensors", 12);
    const line = "a b --method regmean --stats fit.safetensors,odd.safetensors -o x.safetensors -n";
    expect(await refused(line)).toBe(
      "model.layers.0.mlp.up_proj.weight has (12, 12) in odd.safetensors; expected (8, 8)\n" +
        "  hint: this file belongs to another model\n",
    );
    const both = { cwd: folder };
    expect((await merge(line.replace("odd", "fit").split(" "), both)).code).toBe(0);
  });

  test("nothing there, no weights, pickled weights, text", async () => {
    expect(await refused("nowhere b --method karcher")).toStartWith("nowhere: no such file or folder\n");
    for (const [name, file] of [
      ["empty", "config.json"],
      ["pickled", "pytorch_model.bin"],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, file), "{}");
    }
    expect(await refused("empty b --method karcher")).toBe(
      "empty is a folder without weights\n  hint: expected model.safetensors or shards with an index\n",
    );
    expect(await refused("pickled b --method karcher")).toBe(
      "pickled/pytorch_model.bin is JSON or JSONL text; expected a file of torch.save\n" +
        "  hint: a model is weights, and rows have an option of their own; for a config.json name its folder\n",
    );
    writeFileSync(join(folder, "text.safetensors"), '{"text": "hello"}\n{"text": "you"}\n');
    expect(await refused("text.safetensors b --method karcher")).toContain("text.safetensors");
  });

  test.skipIf(process.platform === "win32" || process.getuid?.() === 0)("a file that may not be read", async () => {
    writeModel(join(folder, "locked.safetensors"), tensorsOf(DECODER, 1));
    await shell("chmod 000 locked.safetensors", folder);
    expect(await refused("locked.safetensors b --method karcher")).toContain("locked.safetensors");
  });

  test("a file that is cut short", async () => {
    const whole = fileOf(tensorsOf(DECODER, 1));
    writeFileSync(join(folder, "cut.safetensors"), whole.subarray(0, whole.length - 10));
    expect(await refused("cut.safetensors b --method karcher")).toContain("cut.safetensors");
  });

  test("a pipe that is cut short in a large tensor, while chunks of it are at work", async () => {
    const shapes = { "a.weight": [8, 16], "w.weight": [1100, 1024], "z.weight": [1100, 1024] };
    const [whole, other] = [1, 2].map((seed) => fileOf(tensorsOf(shapes, seed)));
    writeFileSync(join(folder, "large.safetensors"), other!);
    const stdin = whole!.subarray(0, whole!.length - 1000);
    for (const method of ["karcher", "ties --base large.safetensors --weight 1 --density 0.3", "linear --weight 1"]) {
      const models = method.startsWith("ties") ? "-" : "- large.safetensors";
      for (const out of ["-", "torn.safetensors"]) {
        const before = readdirSync(folder);
        const { code, err } = await merge(`${models} --method ${method} -q -o ${out}`.split(" "), {
          cwd: folder,
          stdin,
        });
        expect(err).toMatch(/^merge: stdin was cut short: it ended in tensor z\.weight .*\n {2}hint: .*\n$/);
        expect([code, readdirSync(folder)]).toEqual([2, before]);
      }
    }
    rmSync(join(folder, "large.safetensors"));
  });

  test("a quantized model", async () => {
    const shapes = { ...DECODER, "model.layers.0.mlp.up_proj.weight": ["I8", [12, 8]] as const };
    const config = { model_type: "llama", quantization_config: { quant_method: "gptq" } };
    writeModel(join(folder, "packed"), tensorsOf(shapes, 4), { "config.json": config });
    expect(await refused("packed b --method karcher")).toContain("packed is quantized (gptq): ");
    expect(await refused("a packed --method karcher")).toContain("packed is quantized (gptq): ");
  });
});

describe("outputs", () => {
  test.skipIf(process.platform !== "linux" || !Bun.which("script"))("a terminal", async () => {
    const { text, code } = await shell(`script -qec "$MERGE a b --method karcher" /dev/null`, folder);
    expect(text.replaceAll("\r\n", "\n")).toContain("merge: the result is binary and stdout is a terminal\n");
    expect(code).toBe(2);
  });

  test("kinds of files that are not written", async () => {
    expect(await refused("a b --method karcher -o x.bin")).toStartWith("x.bin cannot be written\n");
    expect(await refused("a b --method karcher -o x.bin")).toStartWith("x.bin cannot be written\n");
  });
});

describe("what would go wrong without a word", () => {
  test("weights beyond f32", async () => {
    expect(await refused("a b --method linear --weight 1e39 -o x.safetensors")).toContain(
      "weight is 1e+39, more than f32",
    );
  });

  test("a recipe that contains itself", async () => {
    writeFileSync(join(folder, "cycle.yml"), "merge_method: linear\nmodels: &a\n  - model: x\n    parameters: *a\n");
    expect(await refused("cycle.yml -o x.safetensors")).toContain("parameters must be a map, found a list of 1");
  });
});

describe("types without arithmetic", () => {
  const withCodes = (name: string, seed: number, dtype: Dtype, fill: number) => {
    const codes = { name: "extra.table", dtype, shape: [2, 8], bytes: 16 * DTYPE_BYTES[dtype] };
    const data = new Uint8Array(codes.bytes).fill(fill);
    return writeModel(join(folder, name), [...tensorsOf(DECODER, seed), { ...codes, data }]);
  };

  for (const dtype of ["F4", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ"] as const) {
    test(`${dtype} is copied where models agree and refused where they differ`, async () => {
      for (const [i, fill] of [17, 17, 18].entries()) withCodes(`${dtype}${i}`, i + 1, dtype, fill);
      const argv = (other: number) => `${dtype}0 ${dtype}${other} --method linear -o ${dtype}.safetensors`;
      expect(await refused(argv(2))).toStartWith(
        `extra.table is ${dtype}, which has no arithmetic here, and differs in ${dtype}2\n  hint: dequantize `,
      );
      const { code, err } = await merge(argv(1).split(" "), { cwd: folder });
      expect([code, err]).toEqual([
        0,
        expect.stringContaining(`${dtype} has no arithmetic here, copied from ${dtype}0: extra.table`),
      ]);
      const written = readIndependently(readFileSync(join(folder, `${dtype}.safetensors`))).tensors;
      expect(written.get("extra.table")).toMatchObject({ dtype, shape: [2, 8] });
      expect(new Set(written.get("extra.table")!.data)).toEqual(new Set([17]));
    });
  }
});
