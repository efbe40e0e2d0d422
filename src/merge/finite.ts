/**
 * Values of a merge that are not finite: found in the bytes on their way to the file, so at no extra pass. Where some
 * are found, the inputs of their tensors are read once more to say whether they had them. Inputs that a method dropped
 * are found by job/input-watch.ts.
 */
import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { type Dtype, isFloat } from "../checkpoint/dtype.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { TensorSink } from "./job/ordered-writer.ts";
import { entriesOf, type MergeTask } from "./job/task.ts";

export interface NotFinite {
  readonly nan: number;
  readonly infinite: number;
}

const NONE: NotFinite = { nan: 0, infinite: 0 };

/**
 * A type's exponents in a word of 32 bits: `exponent + step` carries into `carry` where all bits of an exponent are
 * set, and no further. `stride`: words per value of more than one.
 */
interface Bits {
  readonly exponent: number;
  readonly step: number;
  readonly carry: number;
  readonly stride: 1 | 2;
}

const BITS: Partial<Record<Dtype, Bits>> = {
  F64: { exponent: 0x7ff00000, step: 0x00100000, carry: 0x80000000, stride: 2 },
  F32: { exponent: 0x7f800000, step: 0x00800000, carry: 0x80000000, stride: 1 },
  BF16: { exponent: 0x7f807f80, step: 0x00800080, carry: 0x80008000, stride: 1 },
  F16: { exponent: 0x7c007c00, step: 0x04000400, carry: 0x80008000, stride: 1 },
  F8_E5M2: { exponent: 0x7c7c7c7c, step: 0x04040404, carry: 0x80808080, stride: 1 },
  // E4M3 has one code that is not finite, all bits set.
  F8_E4M3: { exponent: 0x7f7f7f7f, step: 0x01010101, carry: 0x80808080, stride: 1 },
};

/** Words that are looked at before the carries are. */
const SPAN = 4096;

/** Counts values that are not finite in little-endian bytes of whole elements. Types that are no floats have none. */
export function countNotFinite(bytes: Uint8Array, dtype: Dtype): NotFinite {
  const bits = isFloat(dtype) ? BITS[dtype] : undefined;
  if (bits === undefined || bytes.length === 0) return NONE;
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
  let found = NONE;
  for (let start = 0; start < words.length; start += SPAN) {
    const end = Math.min(start + SPAN, words.length);
    if (!carries(words, start, end, bits)) continue;
    found = plus(found, countIn(aligned.subarray(4 * start, 4 * end), dtype));
  }
  const rest = aligned.subarray(4 * words.length);
  return rest.length === 0 ? found : plus(found, countIn(rest, dtype));
}

/** Whether some exponent in words [start, end) has all bits set: a few operations per word, the same for every word. */
function carries(words: Uint32Array, start: number, end: number, bits: Bits): boolean {
  const { exponent, step, carry } = bits;
  let all = 0;
  if (bits.stride === 2) {
    for (let i = start + 1; i < end; i += 2) all |= (words[i]! & exponent) + step;
    return (all & carry) !== 0;
  }
  let i = start;
  for (; i + 4 <= end; i += 4) {
    all |=
      ((words[i]! & exponent) + step) |
      0 |
      (((words[i + 1]! & exponent) + step) | 0) |
      (((words[i + 2]! & exponent) + step) | 0) |
      (((words[i + 3]! & exponent) + step) | 0);
  }
  for (; i < end; i++) all |= (words[i]! & exponent) + step;
  return (all & carry) !== 0;
}

function countIn(bytes: Uint8Array, dtype: Dtype): NotFinite {
  let nan = 0;
  let infinite = 0;
  const values =
    dtype === "F64" ? new Float64Array(bytes.slice().buffer) : decodeFloats(bytes as Uint8Array<ArrayBuffer>, dtype);
  for (const value of values) {
    if (Number.isNaN(value)) nan++;
    else if (!Number.isFinite(value)) infinite++;
  }
  return { nan, infinite };
}

const plus = (a: NotFinite, b: NotFinite): NotFinite => ({ nan: a.nan + b.nan, infinite: a.infinite + b.infinite });
const some = ({ nan, infinite }: NotFinite): boolean => nan + infinite > 0;

/** Bytes of inputs that are read again at most, and at a time. */
const MOST_AGAIN = 1 << 30;
const PIECE = 8 << 20;

/** What is known of inputs. */
export interface Origins {
  /** The model that each of a task's models is, as the user wrote it. */
  readonly nameOf: (entry: TensorEntry) => string | undefined;
  /** Whether an input can be read a second time; a pipe cannot. */
  readonly readAgain: (entry: TensorEntry) => boolean;
}

/** Whether an input of a tensor has a value that is not finite. */
type Had = (tensor: string, slot: number) => boolean;

const counted = (name: string, found: NotFinite): string => `${name} (${spell(found)})`;

/** How the values of an input are told: the result shows them, it does not, or they arise while the input is read. */
const KINDS = {
  shown: "has values that are not finite",
  dropped: "has values that are not finite, though the merged tensor is finite",
  made: "is finite as stored but not in float32, with its adapter if it has one, though the merged tensor is finite",
};

/** What is told, gathered. */
class Told {
  readonly arisen: string[] = [];
  readonly unknown: string[] = [];
  readonly #byInput = new Map<string, string[]>();
  readonly #nameOf: Origins["nameOf"];

  constructor(nameOf: Origins["nameOf"]) {
    this.#nameOf = nameOf;
  }

  given(kind: keyof typeof KINDS, entry: TensorEntry, what: string): void {
    const line = `${this.#nameOf(entry) ?? "an input"} ${KINDS[kind]}`;
    const list = this.#byInput.get(line);
    if (list === undefined) this.#byInput.set(line, [what]);
    else list.push(what);
  }

  lines(hint: string): string[] {
    const lines = [...this.#byInput].map(([line, list]) => `${line}: ${listed(list)}`);
    if (this.arisen.length > 0) {
      lines.push(`the result has values that are not finite, which no input has: ${listed(this.arisen)}${hint}`);
    }
    if (this.unknown.length > 0) {
      lines.push(`the result has values that are not finite: ${listed(this.unknown)}; inputs were not read again`);
    }
    return lines;
  }
}

/** Watches tensors that are copied or made one after the other, by commands that merge no tasks. */
export class ResultWatch {
  readonly #found = new Map<string, NotFinite>();

  /** Looks at whole elements of a tensor. */
  look({ name, dtype }: Pick<TensorEntry, "name" | "dtype">, bytes: Uint8Array): void {
    const found = countNotFinite(bytes, dtype);
    if (some(found)) this.#found.set(name, plus(this.#found.get(name) ?? NONE, found));
  }

  /** What to tell at the end. */
  remarks(): string[] {
    const names = [...this.#found].map(([name, found]) => counted(name, found));
    return names.length === 0 ? [] : [`the result has values that are not finite: ${listed(names)}`];
  }
}

/** Watches the values that are written. */
export class FiniteWatch {
  readonly #tasks: ReadonlyMap<string, MergeTask>;
  readonly #found = new Map<string, NotFinite>();

  constructor(tasks: readonly MergeTask[]) {
    this.#tasks = new Map(tasks.map((task) => [task.name, task]));
  }

  /** The sink, with every byte looked at before it goes on. */
  sink(to: TensorSink): TensorSink {
    return {
      write: (name, bytes) => {
        const found = countNotFinite(bytes, this.#tasks.get(name)!.outDtype);
        if (some(found)) this.#found.set(name, plus(this.#found.get(name) ?? NONE, found));
        return to.write(name, bytes);
      },
    };
  }

  /**
   * What to tell at the end: one line per input that has such values, and one for those that no input has. `had` says
   * of an input of a tensor, the base first, that the device saw one in it.
   */
  async remarks({ nameOf, readAgain }: Origins, had: Had = () => false): Promise<string[]> {
    const told = new Told(nameOf);
    let left = MOST_AGAIN;
    for (const task of this.#tasks.values()) {
      const written = this.#found.get(task.name);
      const entries = entriesOf(task).filter((_, slot) => written !== undefined || had(task.name, slot));
      if (entries.length === 0) continue;
      left -= entries.reduce((sum, { bytes }) => sum + bytes, 0);
      if (left < 0 || !entries.every(readAgain)) {
        if (written) told.unknown.push(counted(task.name, written));
        else for (const entry of entries) told.given("dropped", entry, entry.name);
        continue;
      }
      let given = false;
      for (const entry of entries) {
        const own = await countEntry(entry);
        if (some(own)) told.given(written ? "shown" : "dropped", entry, counted(entry.name, own));
        else if (!written) told.given("made", entry, entry.name);
        given ||= some(own);
      }
      if (written && !given) told.arisen.push(counted(task.name, written));
    }
    return told.lines(this.#limit(told.arisen.length) ?? "");
  }

  /** The largest number of the output's type, where one type holds them all. */
  #limit(count: number): string | undefined {
    if (count === 0) return undefined;
    const types = new Set([...this.#found.keys()].map((name) => this.#tasks.get(name)!.outDtype));
    if (types.size !== 1) return undefined;
    return types.has("F16") ? "; float16 holds at most 65504: --out-dtype bfloat16 or float32 holds more" : undefined;
  }
}

async function countEntry(entry: TensorEntry): Promise<NotFinite> {
  if (sizeOf(entry.shape) === 0) return NONE;
  const piece = new Uint8Array(Math.min(PIECE, entry.bytes));
  let found = NONE;
  for (let offset = 0; offset < entry.bytes; offset += PIECE) {
    const part = piece.subarray(0, Math.min(PIECE, entry.bytes - offset));
    await entry.read(part, offset);
    found = plus(found, countNotFinite(part, entry.dtype));
  }
  return found;
}

const numbered = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

function spell({ nan, infinite }: NotFinite): string {
  const parts = [
    ...(nan > 0 ? [`${nan} NaN`] : []),
    ...(infinite > 0 ? [numbered(infinite, "infinity", "infinities")] : []),
  ];
  return parts.join(", ");
}

/** The first three, and how many more. */
function listed(names: readonly string[]): string {
  const more = names.length - 3;
  return `${names.slice(0, 3).join(", ")}${more > 0 ? ` and ${numbered(more, "more tensor", "more tensors")}` : ""}`;
}
