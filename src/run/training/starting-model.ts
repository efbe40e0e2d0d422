/** From a command line to a model on the GPU: a checkpoint, base and adapter, or a config for a new model. */
import fs from "node:fs";
import path from "node:path";
import { refuseUnread } from "../../checkpoint/adapter/foreign.ts";
import { translated } from "../../checkpoint/adapter/translated.ts";
import type { Checkpoint, LineageEntry, TensorEntry } from "../../checkpoint/checkpoint.ts";
import type { Read } from "../../checkpoint/lineage/input.ts";
import { open, openPlain, splitAdapter } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import type { AdapterInit, DataInit } from "../../model/adapters/adapter-init.ts";
import type { AdapterType } from "../../model/adapters/contract.ts";
import { fromFile, tokensAhead } from "../../model/adapters/from-file.ts";
import type { Json } from "../../model/architecture.ts";
import { trainingRemarks } from "../../model/config-keys.ts";
import { configOf, describeConfig, type ModelDescription } from "../../model/description.ts";
import type { Embedding } from "../../model/embedder.ts";
import { withMoreClasses } from "../../model/grown-head.ts";
import type { LoadIn } from "../../model/held-codes.ts";
import { Model, type ModelOptions } from "../../model/model.ts";
import { textPart } from "../../model/multimodal.ts";
import { withNewHead } from "../../model/new-head.ts";
import { withConfig } from "../../model/with-config.ts";
import type { PageStoreOptions } from "../../tensor/paging/page-kind.ts";
import { quote } from "../../text/quote.ts";
import { matcher } from "../name-patterns.ts";
import { type AdapterOptions, adapterChoice, adapterFlag, refuseTwoAdapters, trainsAdapter } from "./adapter-choice.ts";
import type { MeasureInputs } from "./adapter-inputs.ts";
import type { ConfigChange } from "./config-change.ts";

export interface StartOptions extends AdapterOptions {
  /** Reference of the model; undefined with `init`. */
  readonly model: string | undefined;
  readonly init: string | undefined;
  /** Whether the script has no `--init`, so that no message names it. */
  readonly neverNew?: boolean | undefined;
  readonly seed: number;
  readonly dtype?: "f32" | "bf16" | "keep" | undefined;
  readonly load_in?: LoadIn | undefined;
  /** dtype of the file; as held when left out. */
  readonly out_dtype?: "f32" | "bf16" | "f16" | undefined;
  readonly freeze?: readonly string[] | undefined;
  readonly train_only?: readonly string[] | undefined;
  /** The method that `adapter` names. */
  readonly adapterType?: Bound<AdapterType> | undefined;
  /** The method that `adapter_init` names. */
  readonly adapterInit?: Bound<AdapterInit> | undefined;
  /** Where the model is trained as an embedder. */
  readonly embeds?: Embedding | undefined;
  /** What the model is called in lineage; "model" when left out. */
  readonly role?: string | undefined;
  /** The config of the model that is trained, made of that which is named. */
  readonly changed?: ConfigChange | undefined;
  readonly warn: (message: string) => void;
  /** Where its experts are, where not all in memory. */
  readonly experts?: PageStoreOptions | undefined;
  /** Folder of a saved state, whose weights take the place of the model's or the adapter's. */
  readonly resumed?: string | undefined;
}

/** What a run starts from, before any weight is read. */
export interface Start {
  /** Names the model in messages. */
  readonly ref: string;
  /** What an adapter that is trained goes with: the model, or the base that the run writes. */
  readonly under: string;
  readonly json: Json;
  /** config.json before `changed`. */
  readonly given: Json;
  /** Undefined of a new model. */
  readonly tensors?: ReadonlyMap<string, TensorEntry>;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Made from a config alone. */
  readonly isNew: boolean;
  /** Tokens that its adapter puts before every sequence. */
  readonly ahead: number;
  /** What it reads, for lineage. */
  readonly read: readonly Read[];
  /** What it reads that is no checkpoint. */
  readonly others: LineageEntry["inputs"];
  /** `inputs` measures on rows of data, for an adapter that begins with that. Throws UserError where that is needed. */
  load(gpu: Gpu, inputs?: MeasureInputs): Promise<Model>;
  /** The model as it was before any training, frozen and without its adapter. `model` is what `load` gave. */
  original(gpu: Gpu, model: Model): Promise<Model>;
  /** The same with new rows in the head, for so many classes, and no file opened again; undefined of a new model. */
  grown?(classes: number): Promise<Start>;
  close(): void;
}

/** For what has been said already. */
const SILENT = { warn: () => {} };

/** Opens what the options name; reads headers only. Throws UserError. */
export async function start(options: StartOptions): Promise<Start> {
  const { model, init, warn } = options;
  if ((model === undefined) === (init === undefined))
    throw new UserError(
      model === undefined ? "no model and no --init" : `both ${model} and --init ${init} say what to train`,
      "give a checkpoint, or --init config.json for a new model",
    );
  if (init !== undefined) return fresh(init, options);
  const config = configAlone(model!);
  if (config !== undefined)
    throw new UserError(
      `${model} says what a model is, and has no weights`,
      options.neverNew ? "name the folder of a trained model" : `for a new model: --init ${quote(config)}`,
    );
  refuseTwoAdapters(options);
  const parts = options.lora_continue ? await adapterParts(model!, warn) : undefined;
  const opened = parts?.base ?? (await open(model!, { warn }));
  // An adapter that is continued holds the head.
  const whole = options.embeds ? opened : await headed(opened, parts ? { ...options, warn: () => {} } : options);
  const resumed = options.resumed === undefined ? undefined : await openPlain(options.resumed);
  return startFrom({ whole, opened, adapter: parts?.adapter, resumed }, options);
}

/** Checkpoints that a run starts from, opened. */
interface Parts {
  readonly opened: Checkpoint;
  /** The same with a new head, where it had none. */
  readonly whole: Checkpoint;
  readonly adapter: Checkpoint | undefined;
  readonly resumed: Checkpoint | undefined;
}

async function startFrom(parts: Parts, options: StartOptions): Promise<Start> {
  const { whole, opened, adapter, resumed } = parts;
  const { warn } = options;
  const base = options.changed
    ? await withConfig(whole, await options.changed(configOf(whole), whole), options.seed)
    : whole;
  const used = [opened, ...(adapter ? [adapter] : []), ...(resumed ? [resumed] : [])];
  const chosen = await modelOptions(options, adapter, base.ref);
  const json = configOf(base);
  const run = textPart(json, `${base.ref}: config.json`)?.json ?? json;
  for (const remark of trainingRemarks(run, `${base.ref}: config.json`)) warn(remark);
  return {
    ref: base.ref,
    under: chosen.adapter?.base ?? base.ref,
    json,
    given: configOf(whole),
    tensors: base.tensors,
    files: base.files,
    isNew: false,
    ahead: await tokensAhead(chosen.adapter),
    read: [
      { checkpoint: base, role: options.role ?? "model" },
      ...(adapter ? [{ checkpoint: adapter, role: "adapter" }] : []),
    ],
    others: [],
    async load(gpu, inputs) {
      // Of an adapter the state holds only its own tensors; of a model everything.
      if (!resumed) return Model.load(gpu, base, await planned(gpu, base, { chosen, inputs }));
      return chosen.adapter
        ? Model.load(gpu, base, { ...chosen, adapter: await fromFile(chosen.adapter, resumed) })
        : Model.load(gpu, resumed, { ...chosen, like: base });
    },
    original: (gpu, model) =>
      resumed && !chosen.adapter
        ? Model.load(gpu, base, { freeze: () => true, dtype: options.dtype ?? "f32", embeds: options.embeds, warn })
        : model.frozenCopy(),
    grown: async (classes) =>
      startFrom({ ...parts, whole: await withMoreClasses(whole, classes, options.seed) }, { ...options, ...SILENT }),
    close() {
      for (const checkpoint of used) checkpoint.close();
    },
  };
}

/** The config.json that a reference names, or that is all that the model in its folder has; undefined elsewhere. */
function configAlone(ref: string): string | undefined {
  const stat = fs.statSync(ref, { throwIfNoEntry: false });
  if (stat?.isFile()) return /\.json$/i.test(ref) ? ref : undefined;
  const names = stat?.isDirectory() ? fs.readdirSync(ref) : [];
  const isWeights = (name: string) => /\.(safetensors|gguf|bin|pth?|index\.json)$/.test(name);
  return names.includes("config.json") && !names.some(isWeights) ? path.join(ref, "config.json") : undefined;
}

/** The checkpoint, with a new head where it is a pretrained encoder without one. */
async function headed(checkpoint: Checkpoint, options: StartOptions): Promise<Checkpoint> {
  const { seed, warn } = options;
  const { architecture, config } = await describeConfig(configOf(checkpoint), checkpoint.ref, undefined, checkpoint);
  return withNewHead(checkpoint, architecture, architecture.parameters(config), {
    ...{ seed, warn, adapter: trainsAdapter(options) },
  });
}

async function adapterParts(
  ref: string,
  warn: (message: string) => void,
): Promise<{ base: Checkpoint; adapter: Checkpoint }> {
  const parts = splitAdapter(ref);
  if (parts) {
    const file = await openPlain(parts.adapter);
    refuseUnread(file);
    const adapter = await translated(file);
    return { base: await open(parts.base, { warn }), adapter };
  }
  throw new UserError(
    `--lora-continue needs base+adapter, found ${ref}`,
    `write ${quote(ref)}+ADAPTER, or --lora for a new adapter`,
  );
}

async function fresh(init: string, options: StartOptions): Promise<Start> {
  let text: string;
  try {
    text = fs.readFileSync(init, "utf8");
  } catch (error) {
    throw new UserError(`--init ${init} cannot be read: ${(error as Error).message}`, "is the path right?");
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`--init ${init} is not JSON: ${(error as Error).message}`, "give a config.json");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new UserError(`--init ${init} is not a JSON object`, "give a config.json");
  if (trainsAdapter(options))
    throw new UserError(
      `${adapterFlag(options)} needs a trained base, and --init gives a new model`,
      "name a checkpoint instead of --init, or leave out what makes an adapter",
    );
  const { embeds, changed = (json) => json } = options;
  const named = await changed(json as Json, { ref: init, files: new Map() });
  const described = await describeConfig(named, init, undefined, { files: new Map(), embeds });
  const given = described.json;
  if (given !== named)
    options.warn(
      `${init} describes a ${(json as Json).model_type}; the new model is its text part alone, a ${given.model_type}`,
    );
  for (const remark of trainingRemarks(given, init)) options.warn(remark);
  const written = writtenConfig(described, options);
  const resumed = options.resumed === undefined ? undefined : await openPlain(options.resumed);
  const chosen = await modelOptions(options, undefined, init);
  return {
    ref: init,
    under: init,
    json: given,
    given: json as Json,
    files: new Map([["config.json", new TextEncoder().encode(written)]]),
    isNew: true,
    ahead: 0,
    read: [],
    others: [{ ref: init, role: "init" }],
    load: (gpu) =>
      resumed ? Model.load(gpu, resumed, chosen) : Model.fresh(gpu, given, init, { ...chosen, seed: options.seed }),
    original: (gpu, model) =>
      resumed
        ? Model.fresh(gpu, given, init, {
            ...chosen,
            freeze: () => true,
            dtype: options.dtype ?? "f32",
            seed: options.seed,
          })
        : model.frozenCopy(),
    close: () => resumed?.close(),
  };
}

/**
 * config.json of a new model: what was given, every key that other tools read and that the architecture took for
 * granted, and the dtype of the file.
 */
function writtenConfig(
  { json, architecture, config }: Pick<ModelDescription, "json" | "architecture" | "config">,
  { dtype, out_dtype }: StartOptions,
): string {
  const given = Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
  const { className } = architecture;
  const stored = { f32: "float32", bf16: "bfloat16", f16: "float16" }[out_dtype ?? (dtype === "bf16" ? "bf16" : "f32")];
  const implied = { ...(className ? { architectures: [className] } : {}), ...architecture.implied?.(config) };
  const whole = {
    ...implied,
    ...json,
    ...implied,
    ...given,
    ...("dtype" in json ? { dtype: stored } : {}),
    torch_dtype: stored,
  };
  return `${JSON.stringify(whole, null, 2)}\n`;
}

/** The options with how every layer begins, where the adapter begins with what rows of data say of the base. */
async function planned(
  gpu: Gpu,
  base: Checkpoint,
  { chosen, inputs }: { readonly chosen: ModelOptions; readonly inputs: MeasureInputs | undefined },
): Promise<ModelOptions> {
  const { adapter } = chosen;
  if (!adapter?.init || adapter.from || !isOfData(adapter.init)) return chosen;
  const { init, targets, type } = adapter;
  if (!inputs)
    throw new UserError(
      `--adapter-init ${init.method.name} measures on the rows of --data, which is not done here`,
      "choose another way to begin, or leave it out",
    );
  const { rank, scale } = type.method.strength!(type.values);
  const freeze = () => init.method.needs !== "gradient";
  const model = await Model.load(gpu, base, { ...chosen, adapter: undefined, freeze, warn: () => {} });
  try {
    return { ...chosen, adapter: { ...adapter, planned: await inputs(model, { init, targets, rank, scale }) } };
  } finally {
    model.free();
  }
}

const isOfData = (init: Bound<AdapterInit>): init is Bound<DataInit> => init.method.needs !== "weight";

async function modelOptions(options: StartOptions, from: Checkpoint | undefined, base: string): Promise<ModelOptions> {
  const { freeze = [], train_only = [], dtype, load_in: loadIn, embeds, experts, warn } = options;
  if (loadIn !== undefined && !trainsAdapter(options))
    throw new UserError(
      `--load-in ${loadIn} holds matrices as codes, which nothing trains`,
      "train an adapter on them (--lora), or leave it out",
    );
  if (trainsAdapter(options) && (freeze.length > 0 || train_only.length > 0))
    throw new UserError(
      "--freeze and --train-only have no effect on an adapter",
      `the base stays frozen; choose ${options.adapter === undefined ? "--lora-targets" : "--adapter-targets"}`,
    );
  const frozen = matcher(freeze);
  const trained = train_only.length > 0 ? matcher(train_only) : () => true;
  const fresh = await adapterChoice(options, { type: options.adapterType, init: options.adapterInit }, base);
  const adapter = fresh && from ? await fromFile(fresh, from) : fresh;
  return {
    ...(dtype ? { dtype } : {}),
    ...{ loadIn, embeds, experts },
    ...(adapter ? { adapter } : { freeze: (name) => frozen(name) || !trained(name) }),
    warn,
  };
}
