/**
 * Gives the finished files of a folder their names, so that no reader ever sees one model's index with another's
 * shards, or one model's weights with another's config.
 *
 * A folder is read through its entry: `model.safetensors` before `model.safetensors.index.json`. Other files appear
 * first, the entry last, in one rename. What a reader finds if the machine stops at a given point:
 *
 *   up to the first rename          what was there before
 *   shards and files renamed        nothing yet (no entry), or the old model where no names collide
 *   entry renamed                   the new model
 *   leftovers of the old removed    the new model
 *
 * Where the new model needs names that the old one has (config.json with other content, shards of the same number), the
 * old entry is removed first, and between that and the new entry, a few renames, the folder has no weights at all.
 *
 * Shards written by separate processes (`--shard i/n`) follow the same rules: each renames its shard, the last also
 * files and index. The index names the digest of all headers, so a shard that is still an old one is noticed.
 */
import fs from "node:fs";
import path from "node:path";
import { INDEX_SUFFIX } from "../folder/folder.ts";
import { MODEL_FILES } from "../safetensors/metadata.ts";
import type { FolderLayout, WeightsFile } from "./shards.ts";
import { FileSink, flushFolder, writeError } from "./sink.ts";

interface Publication {
  folder: string;
  /** The folder as the user wrote it. */
  target: string;
  layout: FolderLayout;
  files: ReadonlyMap<string, Uint8Array>;
  /** Sealed weights of this process. */
  sinks: readonly FileSink[];
  /** Whether this process also writes files and index. */
  last: boolean;
  flush: boolean;
}

/** Publishes as described above. Throws UserError (exit 1) when a file cannot be written or renamed. */
export async function publishFolder(publication: Publication): Promise<void> {
  const { folder, target, layout, files, sinks, last, flush } = publication;
  const staged: FileSink[] = [];
  try {
    if (last) await stageFiles(publication, staged);
    const entries = [`${layout.stem}.safetensors`, layout.stem + INDEX_SUFFIX];
    const hadModel = entries.some((name) => has(folder, name));
    const obsolete = last && hadModel ? MODEL_FILES.filter((name) => !files.has(name) && has(folder, name)) : [];
    const foreign = last ? foreignShards(publication) : [];
    const isEntry = (sink: FileSink) => sink.target === path.join(folder, layout.entry);
    const replaced = [...sinks, ...staged].some((sink) => !isEntry(sink) && fs.existsSync(sink.target));
    // Shards of other processes follow: until the last one, what is there would pass for the result.
    if (hadModel && (!last || replaced || obsolete.length > 0 || foreign.length > 0)) {
      removeEntries(publication, entries);
      if (flush) flushFolder(folder);
    }
    for (const name of [...obsolete, ...foreign]) fs.rmSync(path.join(folder, name), { force: true });
    const inOrder = [...sinks, ...staged];
    for (const sink of inOrder) if (!isEntry(sink)) sink.publish();
    if (flush) flushFolder(folder);
    for (const sink of inOrder) if (isEntry(sink)) sink.publish();
    if (flush) flushFolder(folder);
    if (last) removeLeftovers(folder, layout, entries);
  } catch (error) {
    for (const sink of staged) await sink.abort();
    throw writeError(error, target);
  }
}

const has = (folder: string, name: string): boolean => fs.existsSync(path.join(folder, name));

/** Stages config, tokenizer and so on, except those that are there already with the same bytes; then the index. */
async function stageFiles(publication: Publication, staged: FileSink[]): Promise<void> {
  const { folder, target, layout, files, flush } = publication;
  const contents: [string, Uint8Array][] = [];
  for (const [name, bytes] of files) {
    if (!MODEL_FILES.includes(name)) continue; // a name out of a file is never a path to write to
    const file = path.join(folder, name);
    if (!fs.existsSync(file) || !fs.readFileSync(file).equals(bytes)) contents.push([name, bytes]);
  }
  if (layout.index !== undefined) contents.push([layout.entry, new TextEncoder().encode(layout.index)]);
  for (const [name, bytes] of contents) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    const sink = new FileSink(path.join(folder, name), path.join(target, name), flush);
    staged.push(sink);
    await sink.write(bytes);
    await sink.seal();
  }
}

/** Shards that other processes are still to write, where another model's shard has the name now. */
function foreignShards({ folder, layout, sinks }: Publication): string[] {
  const mine = new Set(sinks.map(({ target }) => path.basename(target)));
  return layout.weights
    .filter(
      (file) => !mine.has(file.name) && has(folder, file.name) && !isWrittenAs(path.join(folder, file.name), file),
    )
    .map(({ name }) => name);
}

/** Whether a file has the size and the header, lineage included, that this plan gives it. */
export function isWrittenAs(file: string, { header, bytes }: WeightsFile): boolean {
  if (fs.statSync(file, { throwIfNoEntry: false })?.size !== bytes) return false;
  const fd = fs.openSync(file, "r");
  try {
    const found = Buffer.alloc(header.length);
    return fs.readSync(fd, found, 0, found.length, 0) === found.length && found.equals(header);
  } finally {
    fs.closeSync(fd);
  }
}

/** Removes what makes the old model readable; an index that is ours already, from the process that writes it, stays. */
function removeEntries({ folder, layout, last }: Publication, entries: readonly string[]): void {
  for (const name of entries) {
    const file = path.join(folder, name);
    if (!fs.existsSync(file)) continue;
    if (!last && name === layout.entry && fs.readFileSync(file, "utf8") === layout.index) continue;
    fs.rmSync(file);
  }
}

/** Removes the old model's other entry and its shards, which nothing names any more. */
function removeLeftovers(folder: string, layout: FolderLayout, entries: readonly string[]): void {
  for (const name of entries) if (name !== layout.entry) fs.rmSync(path.join(folder, name), { force: true });
  const written = new Set(layout.weights.map(({ name }) => name));
  const shard = new RegExp(`^${layout.stem}-\\d+-of-\\d+\\.safetensors$`);
  for (const name of fs.readdirSync(folder))
    if (shard.test(name) && !written.has(name)) fs.rmSync(path.join(folder, name));
}
