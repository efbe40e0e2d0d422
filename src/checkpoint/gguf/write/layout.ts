/**
 * What a GGUF file of a checkpoint looks like, before any weight is there: its header, the place of every tensor, and
 * how the tensors of the checkpoint get there.
 */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import type { LineageEntry, TensorInfo } from "../../checkpoint.ts";
import { ggufPlace } from "../names.ts";
import { addHistory } from "./base-models.ts";
import { configOfFiles } from "./config.ts";
import { aligned, encodeGgufHeader, type GgufEntries, type TableLine, text, u32 } from "./encode-header.ts";
import type { Importances } from "./importance.ts";
import { isMix, mixFileType } from "./mixes.ts";
import { type ModelMetadata, modelMetadata } from "./model-metadata.ts";
import { checkWhole } from "./required.ts";
import { storedBytes, type TargetName, targetOf } from "./targets.ts";
import { TypePlan } from "./tensor-types.ts";
import { addTokenizer } from "./tokenizer.ts";
import type { TypeRules } from "./type-rules.ts";

/** A tensor of the file. */
export interface Stored {
  readonly name: string;
  readonly type: TargetName;
  readonly shape: readonly number[];
  /** Where its bytes begin in the file, and how many they are. */
  readonly begin: number;
  readonly bytes: number;
}

/** The way of a checkpoint's tensor into the file. */
export interface Route {
  readonly stored: Stored;
  /** Which part of the stored tensor, of how many. */
  readonly part: number;
  readonly parts: number;
  /** Rows of a head, whose rotary pairs llama.cpp wants side by side. */
  readonly headRows?: number;
  /** Stored as 1 + w. */
  readonly gain?: true;
  /** How much an error of each column counts. */
  readonly columns?: Float32Array;
}

export interface GgufLayout {
  /** Header, with tables of rotary factors as the first tensors where there are any. */
  readonly header: Uint8Array;
  /** Bytes of the whole file. */
  readonly bytes: number;
  /** By name in the checkpoint; a tensor without one is not stored. */
  readonly routes: ReadonlyMap<string, Route>;
  /** Whether tensors come in the order of their places, so that a pipe can take them. */
  readonly inOrder: boolean;
}

export interface GgufPlan {
  readonly tensors: readonly TensorInfo[];
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly lineage: readonly LineageEntry[];
}

/** Lays a checkpoint out. Throws UserError, naming what it is, where a GGUF file cannot hold it. */
export function layoutGguf(
  plan: GgufPlan,
  { rules, importances, warn }: { rules: TypeRules; importances?: Importances; warn: (message: string) => void },
): GgufLayout {
  const config = configOfFiles(plan.files);
  const model = modelMetadata(config, warn);
  const { found, used } = placesOf(plan.tensors, model);
  checkWhole(model, used);
  const types = new TypePlan(rules, model);
  const stored = new Map<string, { type: TargetName; shape: readonly number[] }>();
  for (const { tensor, name, parts } of found) {
    const type = types.typeOf(name, tensor);
    const before = stored.get(name);
    const shape = parts > 1 ? [parts, ...tensor.shape] : tensor.shape;
    if (before !== undefined && (before.type !== type || before.shape.join() !== shape.join())) {
      throw new UserError(`the experts of ${name} differ in shape or type`, "write x.safetensors or a folder instead");
    }
    stored.set(name, { type, shape });
  }
  types.finish(warn);
  const rows = stored.get("token_embd.weight")!.shape[0]!;
  if (rows !== config.vocab_size) {
    throw new UserError(
      `the embedding has ${rows} rows, but vocab_size of config.json is ${String(config.vocab_size)}`,
      "take the config of this model",
    );
  }
  const entries: GgufEntries = new Map([["general.architecture", text(model.name)]]);
  entries.set("general.type", text("model"));
  addHistory(entries, plan.lineage);
  for (const [key, value] of model.entries) entries.set(key, value);
  entries.set("general.quantization_version", u32(2));
  entries.set("general.file_type", u32(fileType(rules, stored)));
  importances?.describe(entries);
  addTokenizer(entries, plan.files, rows, warn);
  const layout = placed(entries, model, stored, { found, importances });
  importances?.finish(warn);
  return layout;
}

interface Found {
  readonly tensor: TensorInfo;
  readonly name: string;
  readonly part: number;
  readonly parts: number;
}

/** Where the checkpoint's tensors go. Throws UserError for one that the file has no place for. */
function placesOf(
  tensors: readonly TensorInfo[],
  model: ModelMetadata,
): { found: Found[]; used: Map<string, TensorInfo> } {
  const used = new Map<string, TensorInfo>();
  const found: Found[] = [];
  for (const tensor of tensors) {
    if (/\.rotary_emb\.inv_freq$/.test(tensor.name)) continue; // computed from the config
    if (model.tied && tensor.name === "lm_head.weight") continue; // the embedding
    const place = ggufPlace(tensor.name, model.architecture);
    if (place === undefined || (place.expert !== undefined && place.expert >= model.experts)) {
      throw new UserError(
        `tensor ${show(tensor.name)} has no place in a GGUF file of ${model.name}`,
        "write x.safetensors or a folder, which llama.cpp's converter reads",
      );
    }
    used.set(tensor.name, tensor);
    const parts = place.expert === undefined ? 1 : model.experts;
    found.push({ tensor, name: place.name, part: place.expert ?? 0, parts });
  }
  return { found, used };
}

/** `general.file_type`: that of the mix, or of the type that most weights have. */
function fileType(
  { all }: TypeRules,
  stored: ReadonlyMap<string, { type: TargetName; shape: readonly number[] }>,
): number {
  if (all !== undefined && isMix(all)) return mixFileType(all);
  const counts = new Map<TargetName, number>();
  for (const { type, shape } of stored.values()) {
    if (shape.length < 2) continue;
    counts.set(type, (counts.get(type) ?? 0) + shape.reduce((all, side) => all * side, 1));
  }
  const [most = "f32"] = [...counts].sort((a, b) => b[1] - a[1]).map(([type]) => type);
  return targetOf(most).fileType;
}

/** Gives every tensor its place, in the order in which the first part of each comes; tables come before all. */
function placed(
  entries: GgufEntries,
  model: ModelMetadata,
  stored: ReadonlyMap<string, { type: TargetName; shape: readonly number[] }>,
  { found, importances }: { found: readonly Found[]; importances: Importances | undefined },
): GgufLayout {
  let offset = 0;
  const lines: TableLine[] = [];
  const put = (name: string, number: number, shape: readonly number[], bytes: number) => {
    lines.push({ name, number, shape, offset });
    offset += aligned(bytes);
  };
  for (const [name, { length, byteLength }] of model.tables) put(name, targetOf("f32").number, [length], byteLength);
  const tables = new Uint8Array(offset);
  for (const [i, values] of [...model.tables.values()].entries()) {
    tables.set(new Uint8Array(values.buffer), lines[i]!.offset);
  }
  const sizes = new Map<string, { offset: number; bytes: number }>();
  for (const [name, { type, shape }] of stored) {
    const count = shape.reduce((all, side) => all * side, 1);
    sizes.set(name, { offset, bytes: storedBytes(type, count) });
    put(name, targetOf(type).number, shape, storedBytes(type, count));
  }
  const head = encodeGgufHeader(entries, lines);
  const routes = new Map<string, Route>();
  for (const { tensor, name, part, parts } of found) {
    const { offset: at, bytes } = sizes.get(name)!;
    const heads = model.architecture.reordered ? headsOf(name, model) : undefined;
    const columns = importances?.columnsOf({ name, ...stored.get(name)! }, part, parts);
    routes.set(tensor.name, {
      stored: { name, ...stored.get(name)!, begin: head.length + at, bytes },
      part,
      parts,
      ...(columns === undefined ? {} : { columns }),
      ...(heads === undefined ? {} : { headRows: headRows(tensor, heads) }),
      ...(model.architecture.plusOne && name.endsWith("_norm.weight") ? { gain: true as const } : {}),
    });
  }
  const inOrder = found.every(({ parts }) => parts === 1);
  return { header: Buffer.concat([head, tables]), bytes: head.length + offset, routes, inOrder };
}

/** Heads of a query or key weight or bias. */
export function headsOf(name: string, { heads, keyHeads }: ModelMetadata): number | undefined {
  const which = /\.attn_([qk])\.(?:weight|bias)$/.exec(name)?.[1];
  return which === undefined ? undefined : which === "q" ? heads : keyHeads;
}

function headRows({ name, shape }: TensorInfo, heads: number): number {
  const rows = shape[0]!;
  if (rows % (2 * heads) === 0) return rows / heads;
  throw new UserError(
    `tensor ${show(name)} has ${rows} rows, which ${heads} heads with rotary pairs cannot share`,
    "take the config of this model",
  );
}
