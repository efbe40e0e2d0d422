/**
 * Mixtures of experts in two layouts: a tensor per expert, as checkpoints of the Hub have them, and one stack for all,
 * as transformers 5 holds them and can write them. A stack is split while a checkpoint is opened, so that both are one
 * model; a part is a contiguous range of its bytes, and nothing is read for it.
 *
 *   experts.gate_up_proj (E, 2 I, C) -> experts.N.gate_proj.weight (I, C), experts.N.up_proj.weight (I, C)
 *   experts.down_proj    (E, C, I)   -> experts.N.down_proj.weight (C, I)
 */
import { isObject, parseJson } from "../json.ts";
import type { Checkpoint, TensorEntry } from "./checkpoint.ts";
import { isFloat } from "./dtype.ts";
import { isStream, type StreamCheckpoint } from "./stream/stream.ts";

/** The matrices of an expert, by name. */
export interface ExpertLayout {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** Module of router and experts, where it is not `mlp`. */
  readonly module?: string;
}

const USUAL: ExpertLayout = { gate: "gate_proj", up: "up_proj", down: "down_proj" };

/** `model_type` of architectures whose checkpoints hold a tensor per expert, and their names. */
const PER_EXPERT: Readonly<Record<string, ExpertLayout>> = {
  deepseek: USUAL,
  deepseek_v2: USUAL,
  deepseek_v3: USUAL,
  ernie4_5_moe: USUAL,
  flex_olmo: USUAL,
  glm4_moe: USUAL,
  mixtral: { gate: "w1", up: "w3", down: "w2", module: "block_sparse_moe" },
  olmoe: USUAL,
  qwen2_moe: USUAL,
  qwen3_moe: USUAL,
  qwen3_next: USUAL,
};

const STACK = /^(.+)\.(\w+)\.experts\.(gate_up_proj|down_proj)$/;

/** Part of a tensor as a tensor: `count` values of shape `shape`, from value `first` on. */
function partOf(entry: TensorEntry, name: string, shape: readonly number[], first: number): TensorEntry {
  const total = entry.shape.reduce((all, side) => all * side, 1);
  const width = entry.bytes / total;
  const bytes = width * shape.reduce((all, side) => all * side, 1);
  return { name, dtype: entry.dtype, shape, bytes, read: (into, offset) => entry.read(into, first * width + offset) };
}

/** Whether two stacks belong together, are no codes, and hold the rows of an expert one after the other. */
function fit(gateUp: TensorEntry | undefined, down: TensorEntry | undefined): boolean {
  if (gateUp?.shape.length !== 3 || down?.shape.length !== 3) return false;
  const [experts, rows, columns] = gateUp.shape as [number, number, number];
  const [others, out, inner] = down.shape as [number, number, number];
  if (experts === 0 || experts !== others || rows !== 2 * inner || columns !== out || inner === 0) return false;
  return [gateUp, down].every(({ dtype, patch }) => isFloat(dtype) && !dtype.startsWith("F8") && patch === undefined);
}

/** The names of this checkpoint's experts; undefined where its kind of model is not stored by expert. */
export function expertNames({ files, ref }: Pick<Checkpoint, "files" | "ref">): ExpertLayout | undefined {
  const bytes = files.get("config.json");
  if (bytes === undefined) return undefined;
  const { value } = parseJson(new TextDecoder().decode(bytes), `${ref}: config.json`);
  const type = isObject(value) ? value.model_type : undefined;
  return typeof type === "string" && Object.hasOwn(PER_EXPERT, type) ? PER_EXPERT[type] : undefined;
}

/** Tensors of one stack by expert, in its order. */
function split(entry: TensorEntry, prefix: string, names: ExpertLayout, isDown: boolean): TensorEntry[] {
  const [experts, rows, columns] = entry.shape as [number, number, number];
  return Array.from({ length: experts }, (_, n) => {
    const first = n * rows * columns;
    const at = (part: string) => `${prefix}.experts.${n}.${part}.weight`;
    if (isDown) return [partOf(entry, at(names.down), [rows, columns], first)];
    const half = [rows / 2, columns];
    const up = first + (rows / 2) * columns;
    return [partOf(entry, at(names.gate), half, first), partOf(entry, at(names.up), half, up)];
  }).flat();
}

/**
 * The checkpoint with a tensor per expert; itself where it has no stacks that belong to an architecture stored by
 * expert. `warn` gets one remark.
 */
export function withSplitExperts(checkpoint: Checkpoint, warn: (message: string) => void): Checkpoint {
  const stacked = [...checkpoint.tensors.keys()].filter((name) => STACK.test(name));
  if (stacked.length === 0) return checkpoint;
  const names = expertNames(checkpoint);
  if (names === undefined) return checkpoint;
  const module = names.module ?? "mlp";
  const tensors = new Map<string, TensorEntry>();
  const storedNames = new Map<string, string>();
  let count = 0;
  const add = (stored: string, entries: readonly TensorEntry[]) => {
    for (const entry of entries) {
      tensors.set(entry.name, entry);
      storedNames.set(entry.name, stored);
    }
  };
  for (const [stored, entry] of checkpoint.tensors) {
    const [, layer = "", from = "", which] = STACK.exec(stored) ?? [];
    const mates = ["gate_up_proj", "down_proj"].map((part) =>
      checkpoint.tensors.get(`${layer}.${from}.experts.${part}`),
    );
    if (which !== undefined && fit(mates[0], mates[1])) {
      add(stored, split(entry, `${layer}.${module}`, names, which === "down_proj"));
      count++;
    } else if (stored.endsWith(".mlp.gate.weight") && module !== "mlp") {
      const name = `${stored.slice(0, -"mlp.gate.weight".length)}${module}.gate.weight`;
      add(stored, [partOf(entry, name, entry.shape, 0)]);
    } else add(stored, [entry]);
  }
  if (count === 0) return checkpoint;
  warn(`${checkpoint.ref} holds its experts as ${count} stacks; they are split into a tensor per expert`);
  if (!isStream(checkpoint)) return { ...checkpoint, tensors };
  const whole: StreamCheckpoint = {
    ...checkpoint,
    tensors,
    retain: (name) => checkpoint.retain(storedNames.get(name) ?? name),
  };
  return whole;
}
