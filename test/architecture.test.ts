/**
 * The direction of imports: a file imports from its own layer's folder and from the layers above it in this list, never
 * from a layer below, never from another room, never in a circle. `src/cli` and `src/setup` serve commands and scripts
 * only.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { FOLDERS } from "../src/method/kinds.ts";

const ROOT = join(import.meta.dir, "..");

/** Folders of src/, the most basic first. `base` stands for the files of src/ itself. */
const LAYERS = ["base", "text", "method", "gpu", "checkpoint", "tensor", "model", "data", "run"];
const ROOMS = [
  ...["merge", "adapt", "align", "distill", "unlearn", "curriculum", "train", "compress"],
  ...["evaluate", "sample", "inspect", "sweep", "report", "new"],
];
/** Serve commands, scripts and each other. */
const FRONT = ["cli", "setup", "demo", "web"];
/** Of these, those that are made of everything else. */
const WHOLE = ["demo", "web"];

const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => `src/${file}`)
  .sort();

const importsOf = (file: string): string[] =>
  [...readFileSync(join(ROOT, file), "utf8").matchAll(/(?:\bfrom |\bimport |\bimport\()"(\.{1,2}\/[^"]+)"/g)]
    .map(([, path]) => normalize(join(dirname(file), path!)))
    .filter((path) => path.startsWith("src/"));

const edges = files.flatMap((file) => importsOf(file).map((target) => [file, target] as const));
const folderOf = (file: string): string => (file.split("/").length === 2 ? "base" : file.split("/")[1]!);
const isCommand = (file: string): boolean => /^src\/[a-z]+\/(command\.ts|commands\/)/.test(file);

/** Why an import is not allowed, or undefined. */
function fault(file: string, target: string): string | undefined {
  const [from, to] = [folderOf(file), folderOf(target)];
  if (from === to || WHOLE.includes(from)) return undefined;
  if (FRONT.includes(to)) return FRONT.includes(from) || isCommand(file) ? undefined : "only commands import it";
  if (ROOMS.includes(to)) return "a room is closed to others";
  if (ROOMS.includes(from)) return undefined;
  if (FRONT.includes(from))
    return LAYERS.indexOf(to) <= LAYERS.indexOf("checkpoint") ? undefined : "the front knows no models";
  return LAYERS.indexOf(to) < LAYERS.indexOf(from) ? undefined : "the layer is below";
}

test("every folder of src has a place", () => {
  const known = [...LAYERS, ...ROOMS, ...FRONT];
  expect([...new Set(files.map(folderOf))].filter((folder) => !known.includes(folder))).toEqual([]);
});

test("imports go up the list of layers", () => {
  const faults = edges.flatMap(([file, target]) => {
    const why = fault(file, target);
    return why ? [`${file} -> ${target}: ${why}`] : [];
  });
  expect(faults).toEqual([]);
});

test("no two techniques import from each other", () => {
  const folders = Object.values(FOLDERS).flat();
  const isMethod = (file: string) => folders.some((folder) => file.startsWith(`src/${folder}/`));
  expect(edges.filter(([file, target]) => isMethod(file) && isMethod(target)).map((edge) => edge.join(" -> "))).toEqual(
    [],
  );
});

test("no two files import each other in a circle", () => {
  const state = new Map<string, "open" | "done">();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]) => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    state.set(file, "open");
    for (const [, target] of edges.filter(([from]) => from === file)) visit(target, [...path, file]);
    state.set(file, "done");
  };
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});
