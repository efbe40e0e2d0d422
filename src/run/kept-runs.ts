/**
 * Results of the parts of a long command, such as trainings, in files of a folder: a command that is interrupted and
 * given again computes only what is missing.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { decodeFloats } from "../checkpoint/decode.ts";
import { openPlain } from "../checkpoint/open.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import { UserError } from "../errors.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** A tensor of a result, in f32. */
export interface KeptTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const SETTINGS = "settings.json";

export class KeptRuns {
  readonly #folder: string | undefined;

  private constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /**
   * The folder that an option names, made where it is missing; without one nothing is kept. `settings` are all that
   * decides the results. Throws UserError for a folder of other settings, or of other things.
   */
  static open(folder: string | undefined, flag: string, settings: unknown): KeptRuns {
    if (folder === undefined) return new KeptRuns(undefined);
    const digest = createHash("sha256").update(JSON.stringify(settings)).digest("hex");
    const file = path.join(folder, SETTINGS);
    if (fs.existsSync(file)) {
      const found: unknown = JSON.parse(fs.readFileSync(file, "utf8"));
      if (found !== digest)
        throw new UserError(
          `${flag} ${folder} holds parts of a run with other settings or rows`,
          "give the same command again, or name another folder",
        );
      return new KeptRuns(folder);
    }
    if (fs.existsSync(folder) && fs.readdirSync(folder).length > 0)
      throw new UserError(`${flag} ${folder} is a folder of something else`, "name a new folder");
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(file, `${JSON.stringify(digest)}\n`);
    return new KeptRuns(folder);
  }

  /** What a part gave; undefined where it has not been kept. */
  async get(name: string): Promise<KeptTensor[] | undefined> {
    if (this.#folder === undefined) return undefined;
    const file = path.join(this.#folder, `${name}.safetensors`);
    if (!fs.existsSync(file)) return undefined;
    const opened = await openPlain(file);
    try {
      const tensors: KeptTensor[] = [];
      for (const [key, entry] of opened.tensors) {
        const bytes = new Uint8Array(entry.bytes);
        await entry.read(bytes, 0);
        tensors.push({ name: key, shape: entry.shape, values: Float32Array.from(decodeFloats(bytes, entry.dtype)) });
      }
      return tensors;
    } finally {
      opened.close();
    }
  }

  async put(name: string, tensors: readonly KeptTensor[]): Promise<void> {
    if (this.#folder === undefined) return;
    const infos = tensors.map(({ name, shape }) => ({ name, shape, dtype: "F32" as const, bytes: 4 * sizeOf(shape) }));
    const target = path.join(this.#folder, `${name}.safetensors`);
    const writer = await createWriter(target, { tensors: infos, files: new Map(), lineage: [] });
    try {
      for (const { name: key, values } of tensors)
        await writer.write(key, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  /** Removes the folder, when what it was for is written. */
  remove(): void {
    if (this.#folder !== undefined) fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}
