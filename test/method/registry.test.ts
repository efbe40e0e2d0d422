/** The registry: every kind's folders hold methods and nothing else, and every list names the same ones. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { basename } from "node:path";
import {
  checkMethodName,
  foldersOf,
  kinds,
  loadMethod,
  loadMethods,
  methodFiles,
  methodNames,
  nounOf,
  roomOf,
  titleOf,
} from "../../src/method/registry.ts";
import { run } from "../cli/fixtures/run.ts";

const kebab = (name: string) => name.replaceAll("_", "-");

describe.each(kinds())("%s", (kind) => {
  test("folders hold methods, each with the name of its file", async () => {
    for (const folder of foldersOf(kind)) expect(existsSync(folder)).toBe(true);
    const methods = await loadMethods(kind);
    expect(methods.map(({ name }) => kebab(name))).toEqual(methodNames(kind));
    for (const [name, file] of methodFiles(kind)) expect(basename(file)).toBe(`${name}.ts`);
  });
});

test("options that several metrics have are of one type, since one run may measure them all", async () => {
  const types = new Map<string, string>();
  for (const { name, options } of await loadMethods("metric"))
    for (const [option, { type }] of Object.entries(options)) {
      expect([name, option, types.get(option) ?? type]).toEqual([name, option, type]);
      types.set(option, type);
    }
});

test("--list of a script names the files of its kinds", async () => {
  const rooms = Map.groupBy(
    kinds().filter((kind) => kind !== "architecture"),
    roomOf,
  );
  // Adapters are in no script's room.
  for (const room of ["train", "adapt"]) rooms.get(room)!.push(...rooms.get("model")!);
  rooms.delete("model");
  rooms.get("train")!.push(...rooms.get("checkpoint")!);
  rooms.delete("checkpoint");
  // Rules over several views decode, and are measured.
  rooms.get("evaluate")!.push(...rooms.get("sample")!);
  for (const [room, own] of rooms) {
    const { out } = await run(["--list", "--json"], {}, `${import.meta.dir}/../../scripts/${room}.ts`);
    const listed = Map.groupBy(JSON.parse(out) as { kind: string; name: string }[], ({ kind }) => kind);
    expect([room, [...listed.keys()].sort()]).toEqual([room, [...own].sort()]);
    for (const kind of own) expect(listed.get(kind)!.map(({ name }) => kebab(name))).toEqual(methodNames(kind));
  }
});

test("a method is found by its name in kebab or snake case, ++ included", async () => {
  for (const typed of ["task-arithmetic", "task_arithmetic", " Task-Arithmetic "])
    expect((await loadMethod("merge", typed)).name).toBe("task_arithmetic");
  expect((await loadMethod("metric", "mia_min_k++")).name).toBe("mia-min-k-plus");
});

test("an unknown name is refused with the nearest one, by what asked for it", async () => {
  const refused = async (typed: string, origin?: string) =>
    loadMethod("optimizer", typed, origin).catch(({ message, hint }) => `${message}; ${hint}`);
  expect(await refused("adamv")).toBe("--method: unknown optimizer adamv; did you mean adamw?");
  expect(await refused("x", "optimizer in run.yml")).toBe(
    "optimizer in run.yml: unknown optimizer x; the optimizers are adafactor, adam-mini, adamw, adamw-8bit, adan, apollo, frugal, galore, lion, muon, schedule-free, sgd, sophia",
  );
  expect(() => checkMethodName("task", "adition")).toThrow("unknown task adition");
  expect(() => checkMethodName("task", "addition")).not.toThrow();
});

test("kinds have words for messages and lists", () => {
  expect([nounOf("merge"), nounOf("smoothing"), titleOf("curriculum"), titleOf("metric")]).toEqual([
    "method",
    "smoothing",
    "Samplers and orderings",
    "Metrics",
  ]);
});
