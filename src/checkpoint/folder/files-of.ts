/** The files behind the name of a checkpoint, so that no output replaces one of them unseen. */
import fs from "node:fs";
import path from "node:path";
import { splitAdapter } from "../open.ts";
import { MODEL_FILES } from "../safetensors/metadata.ts";
import { INDEX_SUFFIX } from "./folder.ts";

/** The files of a folder that make up a model; those of other names beside model.safetensors do not. */
function partsOf(folder: string): string[] {
  const names = fs.readdirSync(folder);
  const alone = ["model.safetensors", "adapter_model.safetensors"].filter((name) => names.includes(name));
  const weights = names.filter(
    (name) => /\.safetensors$|\.bin$/.test(name) || name.endsWith(INDEX_SUFFIX) || name.endsWith(".bin.index.json"),
  );
  return [
    ...MODEL_FILES.filter((name) => fs.existsSync(path.join(folder, name))),
    ...(alone.length > 0 ? alone : weights),
  ];
}

/** Files that a reference may read, whether they are there or not; of a stream only "-", of the Hub's none. */
export function filesOf(ref: string): string[] {
  const parts = splitAdapter(ref);
  if (parts) return [...filesOf(parts.base), ...filesOf(parts.adapter)];
  const stat = fs.statSync(ref, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return partsOf(ref).map((name) => path.join(ref, name));
  // A file that carries no model files takes those beside it.
  if (stat?.isFile()) return [ref, ...MODEL_FILES.map((name) => path.join(path.dirname(ref), name))];
  return [ref];
}
