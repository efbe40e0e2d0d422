/**
 * `compress rotate`: a model that computes the same, whose residual stream and heads are turned by random Hadamard
 * matrices, so that no input of a layer is much larger than the others and rounding costs less. Ashkboos et al.,
 * QuaRot, NeurIPS 2024, https://arxiv.org/abs/2404.00456
 *
 * Host memory: one tensor in f32, twice. GPU memory: the rotation and pieces of 16 MiB.
 */
import { patchedValues } from "../../checkpoint/adapter/adapter.ts";
import type { Checkpoint, TensorEntry, TensorInfo } from "../../checkpoint/checkpoint.ts";
import { encodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../../checkpoint/dtype.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { OutputPlan } from "../../checkpoint/write/shards.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import type { DenseLayout } from "../../model/dense-layout.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { humanBytes } from "../../text/format.ts";
import { randomRotation } from "../rotation/hadamard.ts";
import type { ROTATE } from "../rotation/options.ts";
import { type RotationPlan, rotationPlan } from "../rotation/plan.ts";
import { type Rotations, Turner } from "../rotation/turn.ts";
import { writtenAs } from "./write-checkpoint.ts";

type RotateContext = Context<typeof ROTATE>;

const DTYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

/** A tensor of the result: which entry it comes from, and the parameter it is. */
interface Part {
  readonly info: TensorInfo;
  readonly entry: TensorEntry;
  readonly parameter: string;
}

/** Throws UserError where a size has no Hadamard matrix. */
function rotationsOf({ width, headDim, layers }: DenseLayout, seed: number, heads: boolean): Rotations {
  const known = (n: number, name: string, hint: string): Float32Array => {
    const found = randomRotation(n, seed, name);
    if (!found) throw new UserError(`no Hadamard matrix of order ${n} is known here (${name})`, hint);
    return found;
  };
  const other = "sizes that are a power of two, or 3, 5, 7, 9, 11, 15 times one, have one";
  const stream = known(width, "residual stream", other);
  if (heads && layers > 0) known(headDim, "heads", "leave the heads as they are: --heads false");
  return { stream, heads: (layer) => known(headDim, `heads of layer ${layer}`, other) };
}

/** The tensors of the result; a head that was the embedding becomes a tensor of its own, since norms go into it. */
function partsOf(checkpoint: Checkpoint, layout: DenseLayout, dtype: Dtype | undefined): Part[] {
  const bare = !checkpoint.tensors.has("model.embed_tokens.weight");
  const parts = [...checkpoint.tensors.values()].map((entry): Part => {
    const as = dtype !== undefined && isFloat(entry.dtype) ? dtype : entry.dtype;
    const bytes = (entry.bytes / DTYPE_BYTES[entry.dtype]) * DTYPE_BYTES[as];
    const parameter = bare && entry.name !== "lm_head.weight" ? `model.${entry.name}` : entry.name;
    return { entry, parameter, info: { name: entry.name, dtype: as, shape: entry.shape, bytes } };
  });
  const table = parts.find(({ parameter }) => parameter === "model.embed_tokens.weight");
  if (!layout.tied || !table) return parts;
  const own = parts.filter(({ parameter }) => parameter !== "lm_head.weight");
  const name = "lm_head.weight";
  return [...own, { entry: table.entry, parameter: name, info: { ...table.info, name } }];
}

/** Files of the result: a head of its own is said. */
function filesOf({ files }: Checkpoint, json: Readonly<Record<string, unknown>>, { tied }: DenseLayout) {
  if (!tied) return files;
  const text = `${JSON.stringify({ ...json, tie_word_embeddings: false }, null, 2)}\n`;
  return new Map([...files, ["config.json", new TextEncoder().encode(text)]]);
}

export async function rotate(context: RotateContext): Promise<Outcome> {
  const { options, out, seed, signal } = context;
  const ref = context.args[0] ?? "-";
  const checkpoint = await open(ref, { warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref]);
  if (isStream(checkpoint))
    throw new UserError("compress rotate reads norms before the weights, and stdin is a stream", "save it to a file");
  const json = configOf(checkpoint);
  const { architecture, config } = await describeConfig(json, ref, (text) => context.warn(text), checkpoint);
  const layout = architecture.dense?.(config);
  if (!layout || checkpoint.live)
    throw new UserError(
      layout ? `the adapter on ${ref} is no part of its weights` : `${architecture.name} cannot be rotated`,
      layout
        ? "rotate the model without it"
        : "rotations are of dense decoders whose blocks read what an RMSNorm gives, as llama, mistral, qwen2 and qwen3",
    );
  const plan = rotationPlan(layout, architecture.name, options.heads);
  const rotations = rotationsOf(layout, seed, options.heads);
  const parts = partsOf(checkpoint, layout, options.out_dtype && DTYPES[options.out_dtype]);
  const after = parts.reduce((sum, { info }) => sum + info.bytes, 0);
  const before = [...checkpoint.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  context.json({ tensors: parts.length, bytes: { before, after } });
  if (context.dryRun) {
    if (!options.json) context.print(`${parts.length} tensors, ${humanBytes(before)} -> ${humanBytes(after)}`);
    return {};
  }
  const step = { script: "compress rotate", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  const written: OutputPlan = {
    tensors: parts.map(({ info }) => info),
    files: filesOf(checkpoint, json, layout),
    lineage,
  };
  const gpu = await openGpu({ device: context.device });
  const writer = await createWriter(out, written, {
    ...writtenAs(options),
    warn: (message: string) => context.warn(message),
    hub: { warn: (text: string) => context.warn(text), progress: context.progress },
  });
  context.onExit((ok) => (ok ? undefined : writer.abort()));
  context.progress.start({ total: parts.length, unit: "tensors" });
  try {
    const turned = new TurnedParts(new Turner(gpu, layout, rotations), plan, parts);
    for (const part of parts) {
      signal.throwIfAborted();
      await writer.write(part.info.name, await turned.bytes(part));
      context.progress.advance(1, part.info.name);
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  context.progress.done();
  gpu.close();
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(after)})`,
    told: layout.tied ? "the head is a tensor of its own now, as norms went into it" : "it computes what it did",
  };
}

/** Tensors of the result, one after the other. */
class TurnedParts {
  readonly #turner: Turner;
  readonly #plan: RotationPlan;
  readonly #byName: ReadonlyMap<string, Part>;

  constructor(turner: Turner, plan: RotationPlan, parts: readonly Part[]) {
    this.#turner = turner;
    this.#plan = plan;
    this.#byName = new Map(parts.map((part) => [part.parameter, part]));
  }

  async bytes({ entry, parameter, info }: Part): Promise<Uint8Array> {
    const turn = this.#plan.turns.get(parameter);
    if (!turn && entry.dtype === info.dtype && !entry.patch) {
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      return bytes;
    }
    const values = await patchedValues(entry);
    if (!turn) return encodeFloats(values, info.dtype);
    if (turn.ones) return encodeFloats(values.fill(this.#plan.plusOne ? 0 : 1), info.dtype);
    const gains = turn.gain === undefined ? undefined : await this.#gains(turn.gain);
    return encodeFloats(await this.#turner.turn(values, entry.shape[1] ?? 1, turn, gains), info.dtype);
  }

  async #gains(norm: string): Promise<Float32Array> {
    const part = this.#byName.get(norm);
    if (!part) throw new RangeError(`the model has no ${norm}`);
    const values = await patchedValues(part.entry);
    return this.#plan.plusOne ? values.map((w) => 1 + w) : values;
  }
}
