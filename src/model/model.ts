/**
 * A model on the GPU: the weights of a checkpoint under their own names, and the recording of its forward pass.
 *
 * Trained weights are held in f32 (or bf16, when asked for), frozen ones as the checkpoint stores them; vectors
 * (norms, biases) always in f32. Host memory while loading: one tensor, or a piece of 16 MiB of it.
 */
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Offload } from "../tensor/offload.ts";
import type { PageStoreOptions } from "../tensor/paging/page-kind.ts";
import { PageStore } from "../tensor/paging/pages.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../tensor/tensor.ts";
import { liveChoice } from "./adapters/from-file.ts";
import { withHead } from "./adapters/head.ts";
import type { Ahead, KeysValues, LiveAdapter } from "./adapters/live-adapter.ts";
import { loraChoice } from "./adapters/lora/type.ts";
import { fillAhead, inputsAhead, inputsBehind } from "./ahead.ts";
import type { Architecture, Box, Inputs, Json, KvCache, ModelSizes, ParameterSpec } from "./architecture.ts";
import type { CacheMemory } from "./cache-memory.ts";
import type { DenseLayout } from "./dense-layout.ts";
import { configOf, describeConfig } from "./description.ts";
import { drawParameters, expectRoom } from "./fresh.ts";
import { markHidden } from "./hidden.ts";
import type { StoredTensor } from "./load.ts";
import { recordMembers } from "./members.ts";
import type { ModelOptions } from "./model-options.ts";
import { type Attended, Network } from "./network.ts";
import { precisionOf } from "./precision.ts";
import type { RecordOptions } from "./record-options.ts";
import type { Routed } from "./routing.ts";
import { loadWithHead } from "./tied-head.ts";

export type { ModelOptions } from "./model-options.ts";

export interface Recorded {
  /** What the head reads: (N, width), or (batch, width) of a classifier. */
  readonly hidden: Tensor;
  /** Of texts that are classified, (batch, length): what turns a sum over tokens into their mean. */
  readonly shares?: Tensor;
  /** Logits of rows of `hidden`. */
  head(hidden: Tensor): Tensor;
  /** The box of `hidden` for a box of inputs, where the architecture has bounds. */
  bounded(box: Box, heard: (box: Box) => void): Box;
  /** Inner tensors, as architectures name them. */
  readonly notes: ReadonlyMap<string, Tensor>;
  /** By layer, from 0; of architectures without attention none. They take gradients, in recomputed blocks too. */
  readonly attended: ReadonlyMap<number, Attended>;
  /** What the adapter adds to linear layers, (N, out), by module. They take gradients as `attended` does. */
  readonly increments: ReadonlyMap<string, Tensor>;
  /** By layer with experts, from 0. They take gradients as `attended` does. */
  readonly routed: ReadonlyMap<number, Routed>;
}

interface Parts {
  readonly gpu: Gpu;
  readonly architecture: Architecture;
  readonly json: Json;
  readonly config: unknown;
  readonly specs: readonly ParameterSpec[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly stored: readonly StoredTensor[];
  readonly carried?: Carried;
  readonly adapter: LiveAdapter | undefined;
  readonly store?: PageStore | undefined;
  /** Whether the weights are marked as those of another model already. */
  readonly marked?: boolean;
}

/** What a saved checkpoint holds beside the model, as it came. */
export interface Carried {
  readonly entries: readonly TensorEntry[];
  /** Names of all tensors of the checkpoint, in its order. */
  readonly order: readonly string[];
}

const storeOf = (gpu: Gpu, options: PageStoreOptions | undefined) => options && new PageStore(gpu, options);

export class Model {
  readonly gpu: Gpu;
  readonly architecture: Architecture;
  /** config.json as it was read. */
  readonly json: Json;
  readonly sizes: ModelSizes;
  /** Base weights by name, in the architecture's order. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** The tensors of a saved checkpoint, in its order, and which part of which parameter each is. */
  readonly stored: readonly StoredTensor[];
  /** Of a text part: the tensors of the other parts. */
  readonly carried: Carried;
  readonly adapter: LiveAdapter | undefined;
  /** Where its experts are that take turns on the device. */
  readonly store: PageStore | undefined;
  readonly #config: unknown;
  readonly #transposed: ReadonlySet<string>;
  readonly #inFirst: ReadonlySet<string>;
  readonly #running: ReadonlySet<string>;

  private constructor(parts: Parts) {
    const { gpu, architecture, json, config, specs, parameters, stored, carried, adapter, store } = parts;
    this.gpu = gpu;
    this.architecture = architecture;
    this.json = json;
    this.#config = config;
    const sizes = architecture.sizes(config);
    const maxPositions = sizes.maxPositions - (adapter?.ahead?.tokens ?? 0);
    this.sizes = { ...sizes, maxPositions, ...(adapter?.recurrent ? { recurrent: true } : {}) };
    this.parameters = parameters;
    this.stored = stored;
    this.carried = carried ?? { entries: [], order: [] };
    this.adapter = adapter;
    this.store = store;
    this.#transposed = new Set(
      specs.filter(({ transposed }) => transposed).map(({ name }) => name.replace(/\.weight$/, "")),
    );
    this.#running = new Set(specs.filter(({ running }) => running).map(({ name }) => name));
    if (!parts.marked) markHidden(architecture, sizes.attention, specs, parameters);
    const inFirst = ({ transposed, stack }: ParameterSpec) => transposed === true || stack === "in-out";
    this.#inFirst = new Set(specs.filter(inFirst).map(({ name }) => name));
  }

  /** What the architecture says of each weight of the base. */
  get specs(): readonly ParameterSpec[] {
    return this.architecture.parameters(this.#config);
  }

  /** How its weights fit together, of a dense decoder under Llama's names. */
  get dense(): DenseLayout | undefined {
    return this.architecture.dense?.(this.#config);
  }

  /** Loads a checkpoint. Throws UserError for an unknown architecture, and for a tensor that does not fit it. */
  static async load(gpu: Gpu, checkpoint: Checkpoint, options: ModelOptions = {}): Promise<Model> {
    const { json, ...described } = await describeConfig(configOf(checkpoint), checkpoint.ref, undefined, {
      ...checkpoint,
      embeds: options.embeds,
    });
    const { architecture, beside } = described;
    const whole =
      beside.size > 0 ? { ...checkpoint, tensors: new Map([...checkpoint.tensors, ...beside]) } : checkpoint;
    const offload = options.offload ? new Offload(gpu) : undefined;
    const store = storeOf(gpu, options.experts);
    const { loadIn } = options;
    const held = { holding: Model.#holding(options), offload, store, loadIn };
    const loading = { gpu, checkpoint: whole, architecture, ...held };
    const {
      stored: read,
      others,
      ...loaded
    } = await loadWithHead({ ...loading, warn: options.warn }, described.config);
    const stored = read.filter(({ name }) => !beside.has(name));
    const carried = { entries: others, order: [...checkpoint.tensors.keys()] };
    const dtypes = options.like?.tensors;
    const kept = dtypes
      ? stored.map((tensor) => ({ ...tensor, dtype: dtypes.get(tensor.name)?.dtype ?? tensor.dtype }))
      : stored;
    const parts = { gpu, architecture, json, ...loaded, stored: kept, carried, adapter: undefined, store };
    const live = checkpoint.live && !options.adapter ? await liveChoice(checkpoint.live) : undefined;
    return Model.#finish(parts, live ? { ...options, adapter: live } : options);
  }

  /** Makes a new model. Values are drawn by (seed, tensor name). */
  static async fresh(
    gpu: Gpu,
    json: Json,
    ref: string,
    options: ModelOptions & { readonly seed: number },
  ): Promise<Model> {
    const source = { files: new Map(), embeds: options.embeds };
    const { architecture, config } = await describeConfig(json, ref, undefined, source);
    const specs = architecture.parameters(config);
    if (!gpu.dry) expectRoom(gpu, specs, ref);
    const store = storeOf(gpu, options.experts);
    const { parameters, stored } = drawParameters(gpu, specs, options.seed, Model.#holding(options), store);
    const parts = { gpu, architecture, json, config, specs, parameters, stored, adapter: undefined, store };
    return Model.#finish(parts, options);
  }

  static #holding({ dtype, freeze, lora, adapter }: ModelOptions) {
    const trainable = (name: string) => !lora && !adapter && !freeze?.(name);
    return (name: string) =>
      ({ trainable: trainable(name), dtype: dtype ?? (trainable(name) ? "f32" : "keep") }) as const;
  }

  static async #finish(parts: Parts, { lora, adapter: given, warn = () => {} }: ModelOptions): Promise<Model> {
    if (parts.store?.isEmpty)
      throw new UserError(`--expert-store stream: a ${parts.architecture.name} has no experts`, "leave it out");
    const choice = given ?? (lora && loraChoice(lora));
    if (!choice) return new Model(parts);
    const { gpu, specs, parameters, architecture, config, carried } = parts;
    const others = carried?.entries.map(({ name }) => name) ?? [];
    const tied = architecture.tiedHead?.(config);
    const model = { specs, parameters, tied, others, sizes: architecture.sizes(config) };
    const { type, from, ...making } = choice;
    const made = { ...making, gpu, model, warn };
    if (from) return new Model({ ...parts, adapter: await type.method.continued(type.values, from, made) });
    const fresh = await type.method.fresh(type.values, made);
    const { headModules: head = [] } = architecture;
    const modules = [...head, ...(type.method.whole?.(specs) ?? [])];
    return new Model({ ...parts, adapter: await withHead(gpu, fresh, parameters, modules, head.length > 0) });
  }

  /** The model as it is now, as weights of its own that nothing trains; without its adapter. Copied on the GPU. */
  async frozenCopy(): Promise<Model> {
    const { gpu, architecture, json, stored, carried } = this;
    const parameters = new Map<string, Parameter>();
    for (const [name, parameter] of this.parameters) {
      const copy = new Parameter(gpu, name, parameter.shape, parameter.held, false);
      copy.take(parameter);
      parameters.set(name, copy);
    }
    const specs = architecture.parameters(this.#config);
    return new Model({
      ...{ gpu, architecture, json, config: this.#config, specs, parameters, stored, carried },
      adapter: undefined,
    });
  }

  /** The same weights under another config, but for those of `own`; only these are to be freed beside this model. */
  async variant(json: Json, ref: string, own: ReadonlyMap<string, Parameter>): Promise<Model> {
    const { gpu, stored, carried } = this;
    const { architecture, config } = await describeConfig(json, ref);
    const specs = architecture.parameters(config);
    const parameters = new Map([...this.parameters, ...own]);
    return new Model({
      ...{ gpu, architecture, json, config, specs, parameters, stored, carried },
      adapter: undefined,
      marked: true,
    });
  }

  get task(): Architecture["task"] {
    return this.architecture.task;
  }

  /** Whether a weight is held as (in, out), or a stack of experts as (E, in, out). */
  isInFirst({ name }: Parameter): boolean {
    return this.#inFirst.has(name);
  }

  /** What is trained: what the adapter trains, or the weights that are not frozen. */
  trainable(): Parameter[] {
    if (this.adapter) return this.adapter.parameters();
    return [...this.parameters.values()].filter(({ trainable }) => trainable);
  }

  /** Running statistics, which training changes beside what it trains; none under an adapter. */
  running(): Parameter[] {
    return this.adapter ? [] : [...this.parameters.values()].filter(({ name }) => this.#running.has(name));
  }

  parameterCount(): { total: number; trainable: number } {
    const count = (list: Iterable<Parameter>) => [...list].reduce((sum, { size }) => sum + size, 0);
    return { total: count(this.parameters.values()), trainable: count(this.trainable()) };
  }

  /** Records the forward pass. Inputs are tensors that the caller made with `rec.input`. */
  record(rec: Recorder, inputs: Inputs, options: RecordOptions = {}): Recorded {
    const adapter = options.adapter === false ? undefined : this.adapter;
    if (!adapter?.members) return this.#recordWith(adapter, rec, inputs, options);
    return recordMembers(rec, adapter.members, inputs, {
      mean: this.task === "causal-lm" ? "logits" : "probabilities",
      layers: this.sizes.layers,
      record: (member, own) => this.#recordWith(member, rec, own, options),
    });
  }

  #recordWith(adapter: LiveAdapter | undefined, rec: Recorder, inputs: Inputs, options: RecordOptions): Recorded {
    const { increments: asked = false, replace, observe, reads, weights, depth, ranks } = options;
    const ahead = adapter?.ahead;
    const seen = ahead ? inputsBehind(rec, inputs, ahead.tokens) : inputs;
    const cached = "cache" in inputs && inputs.cache !== undefined;
    const net = new Network(rec, {
      parameters: this.parameters,
      transposed: this.#transposed,
      adapter,
      inputs: seen,
      before: ahead && !cached ? this.#before(rec, ahead) : undefined,
      recompute: options.recompute === true && rec.training,
      statistics: options.statistics === "batch" && (!rec.training || this.adapter) ? "running" : options.statistics,
      ...{ increments: asked, replace, observe, reads, weights, depth, ranks, precision: precisionOf(this) },
    });
    const hidden = net.run(() => this.architecture.forward(net, this.#config, seen));
    const { notes, attended, increments, routes: routed } = net;
    const shares = "shares" in inputs ? { shares: inputs.shares } : {};
    const head = (rows: Tensor) => this.architecture.head(net, this.#config, rows, inputs);
    const bounded: Recorded["bounded"] = (box, heard) =>
      this.architecture.bounds!.forward(net, this.#config, box, heard);
    return { hidden, head, notes, attended, increments, routed, bounded, ...shares };
  }

  /** Keys and values, by layer, of the tokens that the adapter puts before every sequence. */
  #before(rec: Recorder, ahead: Ahead): readonly KeysValues[] {
    const given = ahead.keysValues?.(rec);
    if (given) return given;
    const embedded = ahead.rows?.(rec);
    if (!embedded) throw new Error("an adapter with tokens ahead gives rows, or keys and values");
    const layers: KeysValues[] = [];
    const inputs = inputsAhead(rec, ahead.tokens);
    const net = new Network(rec, {
      ...{ parameters: this.parameters, transposed: this.#transposed, adapter: this.adapter, inputs, embedded },
      recompute: false,
      keep: (layer, own) => {
        layers[layer] = own;
      },
    });
    net.run(() => this.architecture.forward(net, this.#config, inputs));
    return layers;
  }

  /** Whether a cache holds something before any sequence is read: what `recordAhead` writes. */
  get beginsCaches(): boolean {
    return this.adapter?.ahead !== undefined;
  }

  /** Records what a cache holds before any sequence is read. */
  recordAhead(rec: Recorder, cache: KvCache): void {
    const { ahead } = this.adapter ?? {};
    if (ahead) fillAhead(rec, cache, this.#before(rec, ahead));
  }

  /**
   * Memory for decoding: f32 keys and values of `batch` rows of at most `capacity` tokens, with room for those that the
   * adapter puts before each, and what else layers keep.
   * One recorder after the other may use it.
   */
  cache(rec: Recorder, memory: CacheMemory): KvCache {
    const { batch } = memory;
    const ahead = this.adapter?.ahead?.tokens ?? 0;
    const capacity = memory.capacity + ahead;
    return {
      batch,
      capacity,
      layer: (index, width) => {
        const { keys, values } = memory.layer(this.gpu, index, capacity * width);
        const shape = [batch, capacity, width];
        return { keys: rec.state(`keys.${index}`, shape, keys), values: rec.state(`values.${index}`, shape, values) };
      },
      kept: (name, shape) => rec.state(name, shape, memory.kept(this.gpu, name, sizeOf(shape))),
    };
  }

  free(): void {
    for (const parameter of this.parameters.values()) parameter.free();
    this.store?.free();
    this.adapter?.free();
  }
}
