/** An importance matrix beside the model that is written: which columns weigh how much in which tensor. */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import { type Imatrix, meansOf, readImatrix } from "../imatrix.ts";
import { type GgufEntries, text, u32 } from "./encode-header.ts";
import { type TargetName, targetOf } from "./targets.ts";

/** Weighs errors of tensors as a file says, and tells which tensors it does not speak of. */
export class Importances {
  readonly #imatrix: Imatrix;
  readonly #file: string;
  readonly #missing = new Set<string>();
  #met = 0;

  /** Throws UserError where the file is no importance matrix. */
  constructor(file: string) {
    this.#file = file;
    this.#imatrix = readImatrix(file);
  }

  /** Keys that say where the weights came from, as llama-quantize writes them. */
  describe(entries: GgufEntries): void {
    const { of, datasets, chunks } = this.#imatrix;
    entries.set("quantize.imatrix.file", text(this.#file));
    if (datasets.length > 0) entries.set("quantize.imatrix.dataset", text(datasets.join(", ")));
    entries.set("quantize.imatrix.entries_count", u32(of.size));
    entries.set("quantize.imatrix.chunks_count", u32(chunks));
  }

  /** The weights of the columns of one part of a tensor. Throws UserError for statistics of other sides. */
  columnsOf(
    { name, type, shape }: { readonly name: string; readonly type: TargetName; readonly shape: readonly number[] },
    part: number,
    parts: number,
  ): Float32Array | undefined {
    if (targetOf(type).quantizer === undefined || type === "q8_0") return undefined; // rounds one way only
    const found = this.#imatrix.of.get(name);
    if (found === undefined) {
      this.#missing.add(name);
      return undefined;
    }
    const width = shape.at(-1)!;
    if (found.columns !== width || found.counts.length !== parts) {
      throw new UserError(
        `${this.#file}: statistics of ${show(name)} are of ${found.counts.length} x ${found.columns} columns, and the ` +
          `tensor has ${parts} x ${width}`,
        "make them with this model: bun run evaluate imatrix",
      );
    }
    this.#met++;
    return meansOf(found, part);
  }

  /** Says what was quantized without statistics. Throws UserError where the file has an effect on no tensor. */
  finish(warn: (message: string) => void): void {
    if (this.#met === 0 && this.#missing.size === 0) {
      throw new UserError(
        "--gguf-imatrix has no effect: no matrix gets a type of few bits, whose errors can be weighed",
        "leave it out, or choose another --gguf-type, such as q4_k_m",
      );
    }
    if (this.#met === 0 && this.#missing.size > 0) {
      throw new UserError(
        `${this.#file} has statistics of ${show([...this.#imatrix.of.keys()][0]!)} and others, and of no matrix that is quantized`,
        "make it with this model: bun run evaluate imatrix",
      );
    }
    if (this.#missing.size === 0) return;
    const names = [...this.#missing];
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    warn(`${this.#file} has no statistics of ${names.slice(0, 3).join(", ")}${more}: quantized as without it`);
  }
}
