/** What of a checkpoint is at the place of an output already: a new one would replace it, hide it, or mix with it. */
import fs from "node:fs";
import path from "node:path";
import { INDEX_SUFFIX } from "../folder/folder.ts";
import { MODEL_FILES } from "../safetensors/metadata.ts";
import { statOf } from "./target.ts";

/** What a folder is read through, of a model and of an adapter. */
const ENTRIES = ["model", "adapter_model"].flatMap((stem) => [`${stem}.safetensors`, stem + INDEX_SUFFIX]);

const isWeights = (name: string): boolean => !name.startsWith(".") && /\.(safetensors|gguf|bin|pt|pth)$/.test(name);

/** One file of several. Without an index they are what an unfinished run of `--shard I/N` has left. */
const isShard = (name: string): boolean => /-\d+-of-\d+\.safetensors$/.test(name);

/** The file that makes a folder a checkpoint, if any: an entry, or weights of any name beside a config. */
function entryIn(folder: string): string | undefined {
  let names: string[];
  try {
    names = fs.readdirSync(folder);
  } catch {
    return undefined; // who writes there says what is wrong
  }
  const entry = ENTRIES.find((name) => names.includes(name));
  if (entry !== undefined) return entry;
  if (!names.includes("config.json") && !names.includes("adapter_config.json")) return undefined;
  return names.find((name) => isWeights(name) && !isShard(name));
}

/**
 * The path of a finished checkpoint that writing one to `target` would replace, or hide from who opens its folder;
 * undefined where there is none: nothing, an empty file, a folder without weights, a pipe, the Hub.
 */
export function finishedAt(target: string): string | undefined {
  if (target === "-" || target === "" || target.startsWith("hf:")) return undefined;
  const stat = statOf(target);
  if (stat?.isFile()) return stat.size > 0 && isWeights(path.basename(target)) ? target : undefined;
  if (stat?.isDirectory()) {
    const entry = entryIn(target);
    return entry && path.join(target, entry);
  }
  // A new entry beside another one: the folder would be taken for this checkpoint alone.
  if (stat !== undefined || !ENTRIES.includes(path.basename(target))) return undefined;
  const folder = path.dirname(target);
  const entry = entryIn(folder);
  return entry && path.join(folder, entry);
}

/** Whether a file that is there is a part of a checkpoint: weights, or a config, tokenizer or index beside weights. */
export function belongsToCheckpoint(file: string): boolean {
  let real: string;
  try {
    const stat = fs.statSync(file);
    if (!stat.isFile() || stat.size === 0) return false;
    real = fs.realpathSync(file);
  } catch {
    return false; // nothing is there
  }
  const name = path.basename(real);
  if (isWeights(name)) return true;
  return (MODEL_FILES.includes(name) || name.endsWith(INDEX_SUFFIX)) && entryIn(path.dirname(real)) !== undefined;
}

/** Whether a file is a part of a checkpoint in one of these folders. */
export function belongsToOneOf(file: string, folders: Iterable<string>): boolean {
  if (!belongsToCheckpoint(file)) return false;
  const home = fs.statSync(path.dirname(fs.realpathSync(file)), { bigint: true });
  return [...folders].some((folder) => {
    try {
      const { dev, ino } = fs.statSync(folder, { bigint: true });
      return dev === home.dev && ino === home.ino;
    } catch {
      return false; // not on the disk
    }
  });
}
