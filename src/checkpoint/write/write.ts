/**
 * Writes a checkpoint as a stream, as one file, or as a folder of shards. Every form has the same bytes per tensor, and
 * the bytes are a function of the plan and the tensors alone.
 *
 * Files appear under their names only when they are whole (see sink.ts); publish.ts says in which order those of a
 * folder appear.
 */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { makeFolder } from "../../temporary.ts";
import type { TensorInfo } from "../checkpoint.ts";
import { type GgufOptions, ggufFile } from "../gguf/write/gguf-file.ts";
import { MODEL_FILES } from "../safetensors/metadata.ts";
import { openError } from "../source.ts";
import { finishedAt } from "./occupied.ts";
import { isWrittenAs, publishFolder } from "./publish.ts";
import { type FolderLayout, layoutFile, layoutFolder, type OutputPlan, type WeightsFile } from "./shards.ts";
import { FileSink, flushFolder, PipeSink, type Sink } from "./sink.ts";
import { refuseUnlessFiles, statOf } from "./target.ts";
import type { WriteOptions, Writer } from "./writer.ts";

/**
 * Begins to write to `target`: "-" (stdout), a FIFO or device, `x.safetensors`, `x.gguf`, a folder, or `hf:org/name`.
 * The header is written, or the folder created, before this returns. Throws UserError when the target is of the wrong
 * kind (exit code 2) or the disk too small (1).
 *
 *     const tensors = [{ name: "w", dtype: "BF16", shape: [2, 3], bytes: 12 }] as const;
 *     const writer = await createWriter("out/", { tensors, files: base.files, lineage });
 *     for (const { name, bytes } of writer.tensors) await writer.write(name, new Uint8Array(bytes));
 *     await writer.finish(); // or abort(), which leaves the target as it was
 */
export async function createWriter(target: string, plan: OutputPlan, options: WriteOptions = {}): Promise<Writer> {
  const flush = options.flush ?? process.env.INGOT_NO_FSYNC !== "1";
  const kind = kindOf(target);
  if (kind === "hub") {
    if (options.shard !== undefined) {
      throw new UserError(`${show(target)} is sent whole; a shard alone is written to a folder`, "write -o name/");
    }
    const { hubWriter } = await import("./hub-writer.ts");
    return hubWriter(target, plan, options.hub ?? {}, (folder) => createWriter(folder, plan, options));
  }
  if (kind !== "folder" && (options.shard !== undefined || (options.shards ?? 1) !== 1)) {
    throw new UserError(`${show(target)} is one file; shards are written to a folder`, "write -o name/");
  }
  checkGgufOptions(target, kind, options);
  if (kind === "pipe") return pipeWriter(target, plan, options);
  return kind === "file" ? fileWriter(target, plan, options, flush) : folderWriter(target, plan, options, flush);
}

/** Throws UserError for options of GGUF files where the target is none. */
function checkGgufOptions(target: string, kind: TargetKind, options: GgufOptions): void {
  const isGguf = kind === "file" && target.endsWith(".gguf");
  if (options.ggufType !== undefined && kind !== "pipe" && !isGguf) {
    throw new UserError(`--gguf-type is for GGUF files, and ${show(target)} is none`, "write -o model.gguf");
  }
  if (options.ggufImatrix !== undefined && !isGguf && !(kind === "pipe" && options.ggufType !== undefined)) {
    throw new UserError(
      `--gguf-imatrix is for GGUF files of fewer bits, and ${show(target)} is none`,
      "write -o model.gguf --gguf-type q4_k_m",
    );
  }
}

/**
 * Bytes of a GGUF file, where the target is one: tensors take others in it than in the plan. Nothing is written. Throws
 * UserError where the file cannot hold the model, or the options are for GGUF files and the target is none.
 */
export function writtenBytes(target: string, plan: OutputPlan, options: GgufOptions): number | undefined {
  const kind = kindOf(target);
  if (kind !== "hub") checkGgufOptions(target, kind, options);
  return target.endsWith(".gguf") ? ggufFile(plan, target, options, isPipe(target)).bytes : undefined;
}

/** The one file that a target is: GGUF by its name, or through a pipe by the types that are wanted. */
function singleFile(plan: OutputPlan, target: string, options: WriteOptions, piped: boolean): WeightsFile {
  const isGguf = target.endsWith(".gguf") || (piped && (options.ggufType ?? plan.gguf) !== undefined);
  return isGguf ? ggufFile(plan, target, options, piped) : layoutFile(plan, target);
}

/** Whether bytes written to this target are gone at once: stdout, a FIFO, a device. */
export const isPipe = (target: string): boolean => kindOf(target) === "pipe";

type TargetKind = "pipe" | "file" | "folder" | "hub";

function kindOf(target: string): TargetKind {
  if (target === "-" || /^\/dev\/(stdout|fd\/\d+)$/.test(target)) return "pipe";
  if (target === "") throw new UserError("The name of the output is empty", "is a shell variable unset?");
  if (target.startsWith("hf:")) return "hub";
  if (/\.(bin|pt|pth)$/.test(target)) {
    throw new UserError(`${target} cannot be written`, "write x.safetensors, x.gguf or a folder");
  }
  const stat = statOf(target);
  if (stat?.isFIFO() || stat?.isCharacterDevice()) return "pipe";
  const isFile = /\.(safetensors|gguf)$/.test(target);
  if (isFile && stat?.isDirectory()) {
    throw new UserError(
      `${target} is a folder; expected a file`,
      "end the name of a folder with another word, or remove it",
    );
  }
  if (!isFile && stat?.isFile()) {
    throw new UserError(`${target} is a file; expected a folder`, "a file's name ends with .safetensors or .gguf");
  }
  return isFile ? "file" : "folder";
}

async function pipeWriter(target: string, plan: OutputPlan, options: WriteOptions): Promise<Writer> {
  const file = singleFile(plan, target, options, true);
  const number = /^\/dev\/fd\/(\d+)$/.exec(target)?.[1];
  const isStdout = target === "-" || target === "/dev/stdout";
  let fd = isStdout ? (options.fd ?? 1) : Number(number);
  const owns = Number.isNaN(fd);
  if (owns) {
    // Opening a FIFO waits for its reader, so it is done off the main thread.
    fd = await new Promise<number>((resolve, reject) => {
      fs.open(target, "w", (error, n) => (error ? reject(openError(error, target)) : resolve(n)));
    });
  }
  const sink = new PipeSink(fd, isStdout ? "stdout" : target);
  const close = async () => {
    if (owns) fs.closeSync(fd);
  };
  return sequence([file], () => sink, close, close);
}

async function fileWriter(target: string, plan: OutputPlan, options: WriteOptions, flush: boolean): Promise<Writer> {
  const link = fs.lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink();
  // A link stays a link: the file it leads to is replaced.
  const real = link && fs.existsSync(target) ? fs.realpathSync(target) : path.resolve(target);
  const folder = path.dirname(real);
  if (!fs.existsSync(folder)) {
    throw new UserError(`${path.dirname(target)}: no such folder, so ${target} cannot be written`, "create it first");
  }
  const file = singleFile(plan, target, options, false);
  checkSpace(folder, target, file.bytes);
  let sink: FileSink | undefined;
  return sequence(
    [file],
    () => {
      sink = new FileSink(real, target, flush);
      return sink;
    },
    async () => {
      await sink!.seal();
      sink!.publish();
      if (flush) flushFolder(folder);
    },
  );
}

async function folderWriter(target: string, plan: OutputPlan, options: WriteOptions, flush: boolean): Promise<Writer> {
  const { shard } = options;
  const layout = layoutFolder(plan, shard ? { shards: shard.count } : options);
  if (shard && (!Number.isSafeInteger(shard.index) || shard.index < 1 || shard.index > shard.count)) {
    throw new UserError(
      `There is no shard ${shard.index} of ${shard.count}`,
      `give 1/${shard.count} to ${shard.count}/${shard.count}`,
    );
  }
  const mine = shard ? [layout.weights[shard.index - 1]!] : layout.weights;
  const folder = path.resolve(target);
  let made: ReturnType<typeof makeFolder>;
  try {
    made = makeFolder(folder);
  } catch (error) {
    throw new UserError(`${target} could not be created: ${(error as Error).message}`, "check the path", 1);
  }
  const sinks: FileSink[] = [];
  const sealing: Promise<void>[] = [];
  const seal = (sink: FileSink) => {
    const sealed = sink.seal(); // runs while the next shard is written
    sealed.catch(() => {}); // finish() waits for it and reports
    sealing.push(sealed);
  };
  const abort = async () => {
    await Promise.allSettled(sealing);
    for (const sink of sinks) await sink.abort();
    made.remove();
  };
  try {
    const carried = MODEL_FILES.filter((name) => plan.files.has(name));
    refuseMixing(folder, target, layout);
    if (shard && !options.overwrite) refuseAnother(folder, target, layout);
    refuseUnlessFiles(folder, target, [layout.entry, ...mine.map(({ name }) => name), ...carried]);
    checkSpace(
      folder,
      target,
      mine.reduce((total, { bytes }) => total + bytes, 0),
    );
    return await sequence(
      mine,
      (file) => {
        if (sinks.length > 0) seal(sinks.at(-1)!);
        const sink = new FileSink(path.join(folder, file.name), path.join(target, file.name), flush);
        sinks.push(sink);
        return sink;
      },
      async () => {
        seal(sinks.at(-1)!);
        await Promise.all(sealing);
        const last = shard === undefined || shard.index === shard.count;
        await publishFolder({ folder, target, layout, files: plan.files, sinks, last, flush });
        made.keep();
      },
      abort,
    );
  } catch (error) {
    await abort();
    throw error;
  }
}

/** Throws UserError where a folder would hold a model and an adapter in one. */
function refuseMixing(folder: string, target: string, { stem }: FolderLayout): void {
  const [own, theirs, file] =
    stem === "adapter_model"
      ? ["an adapter", "a model", "config.json"]
      : ["a model", "an adapter", "adapter_config.json"];
  if (statOf(path.join(folder, file!)) !== undefined)
    throw new UserError(
      `${target} holds ${theirs} (${file}), and this is ${own}`,
      "name another folder: tools would take the two for one",
    );
}

/**
 * Throws UserError where shards would come beside another checkpoint, which is what readers would find. An index of the
 * same checkpoint is that of the process that writes the last shard.
 */
function refuseAnother(folder: string, target: string, layout: FolderLayout): void {
  const found = finishedAt(folder);
  if (found === undefined) return;
  const isOurs =
    layout.index === undefined
      ? isWrittenAs(path.join(folder, layout.entry), layout.weights[0]!)
      : path.basename(found) === layout.entry && fs.readFileSync(found, "utf8") === layout.index;
  if (!isOurs)
    throw new UserError(
      `${path.join(target, path.basename(found))} is there already, of another checkpoint`,
      "write to another folder, or give --overwrite to replace it",
    );
}

/** Throws UserError (exit 1) when a disk has fewer than `need` free bytes. A disk that does not say is trusted. */
function checkSpace(folder: string, target: string, need: number): void {
  let free: number;
  try {
    const stat = fs.statfsSync(folder);
    free = stat.bavail * stat.bsize;
  } catch {
    return;
  }
  if (need <= free) return;
  const size = (bytes: number) =>
    need < 1e7 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e9).toFixed(bytes < 1e9 ? 3 : 1)} GB`;
  throw new UserError(
    `${target} needs ${size(need)}, but its disk has ${size(free)} free`,
    "free space, or choose another",
    1,
  );
}

/**
 * A writer of `files` one after the other. `open` gives the sink of each when its turn comes; `complete` runs once all
 * bytes are written, `cleanup` when that failed or was given up.
 */
async function sequence(
  files: readonly WeightsFile[],
  open: (file: WeightsFile) => Sink,
  complete: () => Promise<void>,
  cleanup: () => Promise<void> = async () => {},
): Promise<Writer> {
  let file = 0; // where we are: file, tensor in it, bytes of that written
  let tensor = 0;
  let done = 0;
  let ended = false;
  let sink = open(files[0]!);

  const abort = async () => {
    if (ended) return;
    ended = true;
    await sink.abort();
    await cleanup();
  };
  const current = (): TensorInfo | undefined => files[file]!.tensors[tensor];
  /** Moves past tensors that are complete, the empty ones among them, up to the one named; opens files on the way. */
  const advance = async (name: string | undefined) => {
    for (;;) {
      const at = current();
      if (at !== undefined && (at.name === name || done < at.bytes)) return;
      if (at !== undefined) {
        tensor++;
        done = 0;
      } else {
        if (file === files.length - 1) return;
        file++;
        tensor = 0;
        sink = open(files[file]!);
        await sink.write(files[file]!.header);
      }
    }
  };
  const append = async (name: string, bytes: Uint8Array) => {
    if (ended) throw new RangeError("the writer is closed");
    await advance(name);
    const at = current();
    if (at?.name !== name) {
      const expected = at ? `${show(at.name)} (${done} of ${at.bytes} bytes written)` : "the end";
      throw new RangeError(`tensor ${show(name)} was written out of order: expected ${expected}`);
    }
    if (done + bytes.length > at.bytes) {
      throw new RangeError(`tensor ${show(name)} has ${at.bytes} bytes; ${done + bytes.length} were written`);
    }
    const { encode } = files[file]!;
    if (encode === undefined) await sink.write(bytes);
    else for (const piece of encode(at, done, bytes)) await sink.write(piece.bytes, piece.at);
    done += bytes.length;
  };

  let queue: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    queue = queue.then(work).catch(async (error) => {
      await abort();
      throw error;
    });
    queue.catch(() => {}); // the caller has it, and the next call throws it too
    return queue;
  };
  await inTurn(() => sink.write(files[0]!.header));
  return {
    tensors: files.flatMap(({ tensors }) => tensors),
    bytes: files.reduce((total, { bytes }) => total + bytes, 0),
    write: (name, bytes) => inTurn(() => append(name, bytes)),
    finish: () =>
      inTurn(async () => {
        if (ended) throw new RangeError("the writer is closed");
        await advance(undefined);
        const at = current();
        if (at) throw new RangeError(`tensor ${show(at.name)} has ${at.bytes} bytes; ${done} were written`);
        await complete();
        ended = true;
      }),
    abort: () => queue.catch(() => {}).then(abort),
  };
}
