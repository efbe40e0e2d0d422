/** Scripts that read method options themselves (lists, gradients, filters) and bring their own recipe format. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./fixtures/run.ts";

const RAW = join(import.meta.dir, "fixtures", "raw.ts");
const raw = (...argv: string[]) => run(argv, {}, RAW);
const shown = async (...argv: string[]) => {
  const { out, err } = await raw("a/", "--size", "1", "--json", ...argv);
  expect(err).toBe("");
  return JSON.parse(out);
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("plain values that fit are settings, everything is kept as typed", async () => {
  const { settings, raw } = await shown(
    "--method",
    "task-vector",
    "--scale",
    "2",
    "--density",
    "0.1,0.9",
    "--weight",
    "1",
    "--weight",
    "3",
  );
  expect(raw).toEqual({ scale: "2", density: "0.1,0.9", weight: "1,3" });
  expect(settings).toEqual({ scale: 2 });
});

test("--set with a filter reaches the script in the order typed, without one it is the flag", async () => {
  const flags = ["--set", "density:mlp=0.5", "--set", "density=0.2", "--set", "weight:self_attn=1,0"];
  const { set, raw } = await shown("--method", "task-vector", ...flags);
  expect(set).toEqual([
    { key: "density", filter: "mlp", value: "0.5" },
    { key: "weight", filter: "self_attn", value: "1,0" },
  ]);
  expect(raw).toEqual({ density: "0.2" });
  expect((await shown("--set", "density=0.2")).set).toEqual([{ key: "density", value: "0.2" }]);
});

test("a recipe is claimed by its keys, several documents included, and its path handed over", async () => {
  const path = join(folder, "recipe.yml");
  writeFileSync(path, "models: [a, b]\nmerge_method: linear\n---\nmodels: [c]\n");
  expect((await shown("--config", path)).recipe).toBe(path);
  writeFileSync(path, "size: 2\n---\nsize: 3\n");
  expect((await raw("a/", "--config", path)).err).toBe(
    `raw: ${path}: expected one document but found 2\n  hint: remove the lines that hold only ---\n`,
  );
});

test("required options and the number of arguments are checked", async () => {
  expect(await raw("a/")).toEqual({ code: 2, out: "", err: "raw: --size is missing\n  hint: it is: how large\n" });
  expect((await raw("--size", "1")).err).toBe("raw: expected <model> [other] but found nothing\n  hint: see --help\n");
  expect((await raw("a", "b", "c", "--size", "1")).err).toBe(
    "raw: unexpected argument c\n  hint: it takes <model> [other]\n",
  );
});

test("-o is the script's own business where its output is none", async () => {
  expect((await shown("-o", folder)).out).toBe(folder);
});
