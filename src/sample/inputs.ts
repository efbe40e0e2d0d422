/** The files that a run reads, so that nothing it writes takes the place of one. */
import fs from "node:fs";
import path from "node:path";
import { INDEX_SUFFIX } from "../checkpoint/folder.ts";
import { MODEL_FILES } from "../checkpoint/metadata.ts";
import { splitAdapter } from "../checkpoint/open.ts";
import { UserError } from "../errors.ts";

/** How each file is called, by what tells it from others. */
export type Inputs = ReadonlyMap<string, string>;

/** Device and inode of a file, which its links share; undefined where there is no plain file. "-" is what stdin was opened from. */
function identityOf(file: string): string | undefined {
  try {
    const stat = file === "-" ? fs.fstatSync(0, { bigint: true }) : fs.statSync(file, { bigint: true });
    return stat.isFile() ? `${stat.dev}:${stat.ino}` : undefined;
  } catch {
    return undefined; // what cannot be looked at is refused by whoever opens it
  }
}

/** The files of a folder that make up a model; those of other names beside model.safetensors do not. */
function partsOf(folder: string): string[] {
  const names = fs.readdirSync(folder);
  const alone = ["model.safetensors", "adapter_model.safetensors"].filter((name) => names.includes(name));
  const weights = names.filter((name) => name.endsWith(".safetensors") || name.endsWith(INDEX_SUFFIX));
  return [...MODEL_FILES.filter((name) => names.includes(name)), ...(alone.length > 0 ? alone : weights)];
}

/** The files behind a reference of a checkpoint; none of a stream or of the Hub's. */
function filesOf(ref: string): string[] {
  const parts = splitAdapter(ref);
  if (parts) return [...filesOf(parts.base), ...filesOf(parts.adapter)];
  const stat = fs.statSync(ref, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return partsOf(ref).map((name) => path.join(ref, name));
  // A file without model files of its own takes those beside it.
  if (stat?.isFile()) return [ref, ...MODEL_FILES.map((name) => path.join(path.dirname(ref), name))];
  return [ref];
}

/** `models` are references of checkpoints and folders of tokenizers, `files` all else that is read. */
export function inputsOf(models: readonly (string | undefined)[], files: readonly (string | undefined)[]): Inputs {
  const inputs = new Map<string, string>();
  for (const file of [...models.flatMap((ref) => (ref === undefined ? [] : filesOf(ref))), ...files]) {
    const identity = file === undefined ? undefined : identityOf(file);
    if (identity !== undefined && !inputs.has(identity)) inputs.set(identity, file === "-" ? "stdin" : file!);
  }
  return inputs;
}

/** Throws UserError when `target`, which `flag` names, is one of the inputs or a link to one. */
export function refuseInput(flag: string, target: string, inputs: Inputs): void {
  const found = target === "-" ? undefined : inputs.get(identityOf(target) ?? "");
  if (found === undefined) return;
  throw new UserError(
    `${flag}: ${target} is read by this run${found === target ? "" : `, as ${found}`}`,
    "it would be lost; write to another file",
  );
}
