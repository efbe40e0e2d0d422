/** `merge msmoe` and `merge dense`: mixtures with fewer experts, and without. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import type { Json } from "../../src/model/architecture.ts";
import { json, relativeError, tinyLogits, tinyTensors, writeTiny } from "../merge/experts/models.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const at = (name: string): string => join(folder, name);
const merge = (line: string) => runScript("merge", line.split(" "), folder);
const FOUR = { num_local_experts: 4, num_experts_per_tok: 1 };

/**
 * A mixture whose experts are `copies` of each of another's: neurons in other orders, noise on weights and routers, and
 * with noise rows of routers that are shorter than the first copy's, which is so used most.
 */
async function repeat(name: string, from: string, copies: number, noise: number, perToken: number): Promise<void> {
  const config = { ...(JSON.parse(readFileSync(join(at(from), "config.json"), "utf8")) as Json) };
  const experts = copies * (config.num_local_experts as number);
  const made: { name: string; shape: number[]; values: Float32Array }[] = [];
  for (const [key, { shape, bytes }] of await tinyTensors(at(from))) {
    const values = decodeFloats(bytes, "F32");
    const sides = shape.split(",").map(Number);
    const [rows = 0, columns = 0] = sides;
    const place = /^(.*\.experts\.)(\d+)(\.(w\d)\.weight)$/.exec(key);
    const noisy = (x: Float32Array, seed: number) =>
      x.map((value, i) => value + noise * normals(seed, x.length, 1)[i]!);
    if (place) {
      const [, before, e, after, w] = place;
      for (let c = 0; c < copies; c++) {
        const own = new Float32Array(values.length);
        for (let r = 0; r < rows; r++)
          for (let i = 0; i < columns; i++) {
            const turn = (n: number, of: number) => ((w === "w2") === (of === columns) ? (n + 5 * c) % of : n);
            const [to, side] = w === "w2" ? [r, turn(i, columns)] : [(r + 5 * c) % rows, i];
            own[to * columns + side] = values[r * columns + i]!;
          }
        made.push({
          name: `${before}${Number(e) * copies + c}${after}`,
          shape: sides,
          values: noisy(own, made.length),
        });
      }
    } else if (key.endsWith("block_sparse_moe.gate.weight")) {
      const all = new Float32Array(copies * values.length);
      for (let e = 0; e < experts; e++)
        all.set(
          values
            .subarray(Math.floor(e / copies) * columns, (Math.floor(e / copies) + 1) * columns)
            .map((x) => (noise > 0 && e % copies > 0 ? 0.9 * x : x)),
          e * columns,
        );
      made.push({ name: key, shape: [experts, columns], values: noisy(all, made.length) });
    } else made.push({ name: key, shape: sides, values });
  }
  const files = new Map([
    [
      "config.json",
      Buffer.from(JSON.stringify({ ...config, num_local_experts: experts, num_experts_per_tok: perToken })),
    ],
  ]);
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) files.set(file, readFileSync(join(at(from), file)));
  const infos = made.map(({ name: key, shape, values }) => ({
    name: key,
    shape,
    dtype: "F32" as const,
    bytes: 4 * values.length,
  }));
  const writer = await createWriter(`${at(name)}/`, { tensors: infos, files, lineage: [] });
  for (const { name: key, values } of made) await writer.write(key, new Uint8Array(values.buffer));
  await writer.finish();
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-msmoe-"));
  await writeTiny(folder, "four", json("mixtral", FOUR), 3);
  await repeat("twice", "four", 2, 0, 1);
  await repeat("noisy", "four", 4, 0.02, 1);
  writeFileSync(
    at("rows.jsonl"),
    Array.from({ length: 12 }, (_, i) => `${JSON.stringify({ text: `row ${i} of ${"abc".repeat(i % 9)}` })}\n`).join(
      "",
    ),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("msmoe", () => {
  test("with as many groups as experts is the model, byte for byte", async () => {
    const { code, err } = await merge("msmoe four --groups 4 --calib rows.jsonl -q -o all");
    expect([code, err]).toEqual([0, ""]);
    expect(await tinyTensors(at("all"))).toEqual(await tinyTensors(at("four")));
  });

  test.each(["usage", "equal"])(
    "of experts that are there twice gives back the function, weights by %s",
    async (weights) => {
      expect(relativeError(await tinyLogits(at("twice")), await tinyLogits(at("four")))).toBeLessThan(1e-5);
      const { code, err } = await merge(
        `msmoe twice --groups 4 --weights ${weights} --calib rows.jsonl -q --overwrite -o half`,
      );
      expect([code, err]).toEqual([0, ""]);
      expect(relativeError(await tinyLogits(at("half")), await tinyLogits(at("four")))).toBeLessThan(1e-5);
      const config = JSON.parse(readFileSync(join(at("half"), "config.json"), "utf8")) as Json;
      expect([config.num_local_experts, config.num_experts_per_tok]).toEqual([4, 1]);
    },
  );

  test("without the order of neurons it does not", async () => {
    expect((await merge("msmoe twice --groups 4 --weights equal --no-align --calib rows.jsonl -q -o mixed")).code).toBe(
      0,
    );
    expect(relativeError(await tinyLogits(at("mixed")), await tinyLogits(at("four")))).toBeGreaterThan(0.05);
  });

  test("is nearer to sixteen experts than groups by chance, and these than the mean of all", async () => {
    const flags = "--groups 4 --calib rows.jsonl -q";
    expect((await merge(`msmoe noisy ${flags} -o grouped`)).code).toBe(0);
    expect((await merge(`msmoe noisy ${flags} --similarity router-rows -o by-rows`)).code).toBe(0);
    expect((await merge("dense noisy --no-align -q -o one")).code).toBe(0);
    const wanted = await tinyLogits(at("noisy"));
    const off = async (name: string) => {
      const found = await tinyLogits(at(name));
      return wanted.reduce((sum, x, i) => sum + (x - found[i]!) ** 2, 0) / wanted.length;
    };
    const chance: number[] = [];
    for (const seed of [1, 2, 3]) {
      expect((await merge(`msmoe noisy ${flags} --similarity random --seed ${seed} -o random${seed}`)).code).toBe(0);
      chance.push(await off(`random${seed}`));
    }
    const random = chance.reduce((a, b) => a + b) / 3;
    const [grouped, rows, one] = [await off("grouped"), await off("by-rows"), await off("one")];
    expect(grouped).toBeLessThan(0.9 * random);
    expect(rows).toBeLessThan(random);
    expect(random).toBeLessThan(one);
  });

  test("says what it would do, and what is wrong", async () => {
    const dry = await merge("msmoe noisy --calib rows.jsonl -n -o dry");
    expect([dry.code, existsSync(at("dry"))]).toEqual([0, false]);
    expect(dry.text).toMatch(/experts +16 become 4, 1 of each token/);
    await writeTiny(folder, "pairs", json("mixtral", { num_local_experts: 4, num_experts_per_tok: 2 }), 8);
    const told = await merge("msmoe pairs --calib rows.jsonl -q -o two");
    expect(told.err).toContain("a token takes 1 of the experts instead of 2");
    await writeTiny(folder, "llama", json("llama"), 9);
    for (const [line, message] of [
      ["msmoe four --groups 5 --calib rows.jsonl", "5 groups (--groups), and four has 4 experts"],
      ["msmoe four --groups 2 --experts-per-token 3 --calib rows.jsonl", "3 experts per token"],
      ["msmoe four --groups 2", "--calib"],
      ["msmoe llama --groups 2 --calib rows.jsonl", "llama is a llama, and no mixture"],
    ] as const) {
      const { code, err } = await merge(`${line} -q -o wrong`);
      expect([line, code, err.includes(message), err]).toEqual([line, 2, true, err]);
    }
    expect(existsSync(at("wrong"))).toBe(false);
  });
});

describe("dense", () => {
  const forms: readonly (readonly [string, Json, string, string])[] = [
    ["llama", {}, "mixtral", "llama"],
    ["mistral", { sliding_window: 3 }, "mixtral", "mistral"],
    ["qwen2", {}, "qwen2_moe", "qwen2"],
    ["qwen3", { head_dim: 6 }, "qwen3_moe", "qwen3"],
    ["llama", {}, "deepseek", "llama"],
    ["olmoe", { num_experts: 1, num_experts_per_tok: 1, num_key_value_heads: 2 }, "olmoe", "olmoe"],
  ];
  test.each(forms)("of equal experts, a %s (%o) made %s is a %s again", async (type, more, form, dense) => {
    const name = `${type}-${form}`;
    await writeTiny(folder, name, json(type, more), 12);
    const shared = form === "deepseek" ? ` --shared ${name}` : "";
    const made = await merge(`moe ${name} --experts 2 --architecture ${form}${shared} -q -o ${name}-moe`);
    expect([made.code, made.err]).toEqual([0, ""]);
    const { code, err } = await merge(`dense ${name}-moe -q -o ${name}-dense`);
    expect([code, err.replace(/.*constant 1\/2; --calib measures their mean\n/, "")]).toEqual([0, ""]);
    const config = JSON.parse(readFileSync(join(at(`${name}-dense`), "config.json"), "utf8")) as Json;
    expect(config.model_type).toBe(dense);
    expect(relativeError(await tinyLogits(at(`${name}-dense`)), await tinyLogits(at(name)))).toBeLessThan(5e-6);
  });

  test("the most used expert keeps its bytes", async () => {
    const { code, err } = await merge("dense four --take most-used --calib rows.jsonl -q -o busiest");
    expect([code, err]).toEqual([0, ""]);
    const [made, four] = [await tinyTensors(at("busiest")), await tinyTensors(at("four"))];
    const up = Buffer.from(made.get("model.layers.1.mlp.up_proj.weight")!.bytes);
    const of = [0, 1, 2, 3].map((e) => four.get(`model.layers.1.block_sparse_moe.experts.${e}.w3.weight`)!.bytes);
    expect(of.filter((bytes) => up.equals(bytes)).length).toBe(1);
  });

  test("asks for rows where use or weights have to be measured", async () => {
    await writeTiny(
      folder,
      "unscaled",
      json("qwen3_moe", { num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 6, head_dim: 6 }),
      14,
    );
    for (const [line, message] of [
      ["dense four --take most-used", "give --calib rows.jsonl"],
      ["dense four --take usage", "give --calib rows.jsonl"],
      ["dense unscaled", "do not sum to one in unscaled"],
    ] as const) {
      const { code, err } = await merge(`${line} -q -o wrong`);
      expect([line, code, err.includes(message), err]).toEqual([line, 2, true, err]);
    }
    expect((await merge("dense unscaled --calib rows.jsonl -q -o scaled")).code).toBe(0);
    expect((await tinyLogits(at("scaled"))).every(Number.isFinite)).toBe(true);
  });

  test("is refused where layers without experts have another width", async () => {
    const mixed = {
      num_experts: 2,
      num_experts_per_tok: 2,
      moe_intermediate_size: 6,
      head_dim: 6,
      mlp_only_layers: [0],
    };
    await writeTiny(folder, "mixed-widths", json("qwen3_moe", mixed), 15);
    const { code, err } = await merge("dense mixed-widths -q -o wrong");
    expect([code, err.includes("layer 0 has no experts and is 12 wide"), err]).toEqual([2, true, err]);
  });
});
