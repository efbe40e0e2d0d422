/**
 * A LoRA adapter as GGUF, as llama.cpp reads it (`--lora`): `NAME.lora_a` and `NAME.lora_b` for every matrix NAME of
 * the base's file, rows of B in the order of the base's. llama.cpp scales a change by adapter.lora.alpha over the rank;
 * any other scale, of rsLoRA or of a module's own, goes into B. DoRA is folded (fold-dora.ts).
 * https://github.com/ggml-org/llama.cpp/blob/master/src/llama-adapter.cpp
 */
import type { LineageEntry, TensorInfo } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { ggufPlace } from "../checkpoint/gguf/names.ts";
import { addHistory } from "../checkpoint/gguf/write/base-models.ts";
import { f32, type GgufEntries, text } from "../checkpoint/gguf/write/encode-header.ts";
import { paired } from "../checkpoint/gguf/write/encoder.ts";
import { headsOf } from "../checkpoint/gguf/write/layout.ts";
import { type ModelMetadata, modelMetadata } from "../checkpoint/gguf/write/model-metadata.ts";
import type { OutputPlan } from "../checkpoint/write/shards.ts";
import { UserError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { AdapterTensor } from "./adapters/live-adapter.ts";
import type { LoraEntry } from "./adapters/lora/entry.ts";
import { LoraAdapter } from "./adapters/lora/lora.ts";
import { joinedValues } from "./adapters/lora/taken-out.ts";
import { type Folded, foldDora } from "./fold-dora.ts";
import type { Model } from "./model.ts";

const NO_FORM = "write it to a folder, or merge it: bun run merge base+adapter/ --method passthrough -o model.gguf";

/** A tensor of the file with what gives its values. */
interface Part {
  readonly info: TensorInfo;
  values(): Promise<Float32Array>;
}

export interface GgufAdapter {
  readonly plan: OutputPlan;
  /** In the plan's order. */
  readonly parts: readonly Part[];
}

async function valuesOf({ gpu }: Model, { buffer, bytes, dtype }: Parameter): Promise<Float32Array> {
  return gpu.read(buffer, 0, bytes, (view) => decodeFloats(view.slice(0, bytes), dtype === "bf16" ? "BF16" : "F32"));
}

/** The name in the base's file of what an entry changes. Throws UserError where the file has no place for it. */
function placeOf(module: string, { kind, bBias }: LoraEntry, { architecture, tied }: ModelMetadata): string {
  const weight = `${module.replace(/\.experts\.(?=\D)/, ".experts.0.")}.weight`;
  const place = kind === "stack" ? undefined : ggufPlace(weight, architecture);
  const isTied = tied && (kind === "embedding" || weight === "lm_head.weight");
  if (place !== undefined && bBias === undefined && !isTied) return place.name;
  const what = bBias ? "a bias of B" : isTied ? "a change of a tied embedding or head" : "a change";
  throw new UserError(`GGUF adapters have no place for ${what} of ${module}`, NO_FORM);
}

/** A and B of an entry; those of DoRA are folded, unless it is only to be seen what the file looks like. */
async function partsOf(
  model: Model,
  module: string,
  entry: LoraEntry,
  { metadata, alpha, fold }: { metadata: ModelMetadata; alpha: number; fold: ((folded: Folded) => void) | undefined },
): Promise<Part[]> {
  const name = placeOf(module, entry, metadata);
  const { a, b, kind, scale, magnitude, files, frozen } = entry;
  const info = (letter: string, shape: readonly number[]): TensorInfo => {
    const bytes = 4 * shape.reduce((all, side) => all * side, 1);
    return { name: `${name}.lora_${letter}`, dtype: "F32", shape, bytes };
  };
  const heads = metadata.architecture.reordered ? headsOf(name, metadata) : undefined;
  const given = (values: Float32Array, rank: number, factor: number) => {
    const scaled = factor === 1 ? values : values.map((x) => x * factor);
    if (heads === undefined) return scaled;
    const rows = scaled.length / rank;
    return paired(scaled, rows / heads, (rows / heads) * rank);
  };
  if (frozen) {
    const [left, right] = files as [AdapterTensor, AdapterTensor];
    const rank = left.shape[0]!;
    const both = (tensor: AdapterTensor) => joinedValues(model.gpu, tensor.parameter, tensor.joined!);
    return [
      { info: info("a", left.shape), values: () => both(left) },
      { info: info("b", right.shape), values: async () => given(await both(right), rank, (scale * rank) / alpha) },
    ];
  }
  if (magnitude === undefined || fold === undefined) {
    const rank = kind === "embedding" ? a.shape[1]! : a.shape.at(-2)!;
    return [
      { info: info("a", a.shape), values: () => valuesOf(model, a) },
      { info: info("b", b.shape), values: async () => given(await valuesOf(model, b), rank, (scale * rank) / alpha) },
    ];
  }
  const weight = await valuesOf(model, model.parameters.get(`${module}.weight`)!);
  const [left, right, lengths] = [await valuesOf(model, a), await valuesOf(model, b), await valuesOf(model, magnitude)];
  const folded = await foldDora(model.gpu, { weight, a: left, b: right, lengths, scale, rank: a.shape[0]! });
  fold(folded);
  const { rank } = folded;
  return [
    { info: info("a", [rank, folded.a.length / rank]), values: async () => folded.a },
    { info: info("b", [folded.b.length / rank, rank]), values: async () => given(folded.b, rank, rank / alpha) },
  ];
}

/**
 * The file of a model's adapter. `folds`: DoRA is folded, and `warn` hears of it; else its tensors have the ranks of
 * the adapter, which shows what can be written and no more. Throws UserError for what llama.cpp has no form for.
 */
export async function ggufAdapter(
  model: Model,
  lineage: readonly LineageEntry[],
  { folds, warn }: { readonly folds: boolean; readonly warn: (message: string) => void },
): Promise<GgufAdapter> {
  const { adapter } = model;
  if (!(adapter instanceof LoraAdapter))
    throw new UserError("GGUF files hold adapters of the type LoRA alone", NO_FORM);
  const config = JSON.parse(adapter.config) as { lora_alpha: number };
  const [whole] = adapter.whole.keys();
  if (whole !== undefined) {
    throw new UserError(`GGUF adapters have no place for ${whole}, which the adapter replaces`, NO_FORM);
  }
  const metadata = modelMetadata(model.json as JsonObject, () => {});
  // llama.cpp takes an alpha of 0 for none.
  const alpha = config.lora_alpha > 0 ? config.lora_alpha : 1;
  const found: Folded[] = [];
  const fold = folds ? (folded: Folded) => void found.push(folded) : undefined;
  const parts: Part[] = [];
  for (const [module, entry] of adapter.entries) {
    parts.push(...(await partsOf(model, module, entry, { metadata, alpha, fold })));
  }
  if (found.length > 0) {
    const most = Math.max(...found.map(({ rank }) => rank));
    const left = 100 * Math.max(...found.map((one) => one.left));
    warn(
      `GGUF has no DoRA: ${found.length} changes are folded into LoRA of rank ${most} or less, ` +
        (left === 0 ? "which holds all of them" : `which leaves out ${left.toPrecision(2)} % of a change at most`),
    );
  }
  const gguf: GgufEntries = new Map([
    ["general.architecture", text(metadata.name)],
    ["general.type", text("adapter")],
    ["adapter.type", text("lora")],
    ["adapter.lora.alpha", f32(alpha)],
  ]);
  addHistory(gguf, lineage);
  return { plan: { tensors: parts.map(({ info }) => info), files: new Map(), lineage, gguf }, parts };
}
