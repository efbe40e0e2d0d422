/**
 * `inspect` as a process: what tensors hold (--stats, --check, --diff), in files, folders and pipes, sound and with
 * faults.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { fileOf, type Made } from "../checkpoint/sample.ts";
import { INSPECT, inspect, json, lines, TINY } from "./inspected.ts";

// Each test starts a few processes, which may be shells that start more.
setDefaultTimeout(120_000);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-inspect-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

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
    // what changed most comes first, and a line has 80 columns
    expect(rows.slice(0, 5)).toEqual([
      "tensor |a-b|/|b| cosine max |a-b| differ",
      "moved 0.2 0.994692 1 50.00%",
      "typed 0 1.000000 0 0%",
      "ids 0 - 0 50.00%",
      "same identical",
    ]);
    const whole = lines((await inspect(a, "--diff", b, "-v")).out).map((line) => line.replace(/ +/g, " "));
    expect(whole).toContain("moved (2) F32 0.2 0.994692 1 50.00%");
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
