/** The `Net` that architectures are written with: a model's weights and adapter over one recording. */
import { UserError } from "../errors.ts";
import { attention } from "../tensor/ops/attention.ts";
import type { AttentionOptions } from "../tensor/ops/attention-options.ts";
import { add, scale, sub } from "../tensor/ops/elementwise.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { attentionCached, cacheWrite } from "../tensor/ops/kv-cache.ts";
import { linear } from "../tensor/ops/linear.ts";
import { groupedLinear } from "../tensor/ops/moe.ts";
import type { RoutePlan } from "../tensor/ops/router.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../tensor/tensor.ts";
import type { KeysValues, LiveAdapter, Pass } from "./adapters/live-adapter.ts";
import { hearChoice, hearLosses, type OwnLoss } from "./adapters/told.ts";
import { behind } from "./ahead.ts";
import type { AttendOptions, EmbedOptions, Inputs, Net, NormStatistics } from "./architecture.ts";
import type { Depth } from "./depth.ts";
import { insteadOf } from "./layers-instead.ts";
import { type LinearPrecision, layerIn } from "./precision.ts";
import { activeOf, hearRoutes, type Routed } from "./routing.ts";

export interface NetworkOptions {
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** Modules whose weight is stored (in, out). */
  readonly transposed: ReadonlySet<string>;
  readonly adapter: LiveAdapter | undefined;
  readonly inputs: Inputs;
  readonly recompute: boolean;
  /** "running" when left out. */
  readonly statistics?: NormStatistics | undefined;
  /** Whether `increments` is filled. */
  readonly increments?: boolean;
  /** Gives the tensor that takes the place of a noted one. */
  readonly replace?: ((name: string, x: Tensor) => Tensor) | undefined;
  /** Gives what a linear layer reads in the place of (N, in): masked units, gates. */
  readonly reads?: ((module: string, x: Tensor) => Tensor) | undefined;
  /** How linear layers compute; in f32 when left out. */
  readonly precision?: LinearPrecision | undefined;
  /** Tensors in the place of weights, by name: parts of weights of a larger model. */
  readonly weights?: ReadonlyMap<string, Tensor> | undefined;
  /** What every layer's attention sees before a sequence's own keys and values. */
  readonly before?: readonly KeysValues[] | undefined;
  /** Rows that stand for those of the embedding of tokens. */
  readonly embedded?: Tensor | undefined;
  /** Hears the keys and values of every layer. */
  readonly keep?: ((layer: number, own: KeysValues) => void) | undefined;
  /** Hears what every linear layer reads, (N, in), and what stacks of experts do, with their plan. */
  readonly observe?: ((module: string, x: Tensor, plan?: RoutePlan) => void) | undefined;
  /** Which layers run, and how often; each once when left out. */
  readonly depth?: Depth | undefined;
  /** The experts that every token takes, by rank from 0; those of the config when left out. */
  readonly ranks?: readonly number[] | undefined;
}

/**
 * What a layer's attention is made of: queries (N, heads * headDim) and keys (N, kvHeads * headDim), rotated and
 * normalised, and values (N, kvHeads * headDim).
 */
export interface Attended {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly options: AttentionOptions;
}

export class Network implements Net {
  readonly rec: Recorder;
  readonly notes = new Map<string, Tensor>();
  /** By layer, from 0. */
  readonly attended = new Map<number, Attended>();
  /** By layer, where a layer has experts. */
  readonly routes = new Map<number, Routed>();
  /** What the adapter adds to linear layers, (N, out), by module; where it is asked for. */
  readonly increments = new Map<string, Tensor>();
  /** Terms that the adapter adds to the loss. */
  readonly #losses: OwnLoss[] = [];
  /** What the block that is being recorded gives beside its result. */
  #handed: Tensor[] = [];
  /** Numbers that are added to a layer's where it runs again, so that its turns do not share what is cached. */
  #again = 0;
  #isStack = false;
  readonly #given: NetworkOptions;
  readonly #pass: Pass;

  constructor(rec: Recorder, given: NetworkOptions) {
    this.rec = rec;
    this.#given = given;
    const lose = (loss: OwnLoss): void => {
      this.#losses.push(loss);
      this.#handed.push(loss.value);
    };
    const choose = (name: string, worth: Tensor) => hearChoice(rec, name, worth);
    this.#pass = { rec, inputs: given.inputs, noted: (name) => this.noted(name), pass: this, choose, lose };
  }

  /** Records a forward pass, with what the adapter does at its beginning; keeps the adapter's losses. */
  run(forward: () => Tensor): Tensor {
    this.#given.adapter?.begin?.(this.#pass);
    const hidden = forward();
    if (this.#given.depth && !this.#isStack)
      throw new UserError("the model has no stack of layers to leave some out of", "name a transformer");
    const { inputs, keep } = this.#given;
    // What an adapter puts before sequences is no token of the batch.
    if (!keep) hearRoutes(this.rec, { routed: this.routes, rows: inputs.batch, shares: inputs.tokenShares });
    hearLosses(this.rec, this.#losses);
    return hidden;
  }

  get statistics(): NormStatistics {
    return this.#given.statistics ?? "running";
  }

  weight(name: string): Tensor {
    const other = this.#given.weights?.get(name);
    if (other) return other;
    const parameter = this.#given.adapter?.whole.get(name) ?? this.#given.parameters.get(name);
    if (!parameter) throw new Error(`the architecture declares no ${name}`);
    return this.rec.parameter(parameter);
  }

  linear(given: Tensor, module: string, { add: residual }: { readonly add?: Tensor } = {}): Tensor {
    const { rec } = this;
    const { parameters, adapter, observe, reads } = this.#given;
    const name = `${module}.weight`;
    const layer = layerIn(rec, this.#given.precision, name);
    const x = layer.reads(reads?.(module, given) ?? given);
    observe?.(module, x);
    const weight = layer.weight(this.weight(name));
    const bias = parameters.has(`${module}.bias`) ? this.weight(`${module}.bias`) : undefined;
    const transposed = this.#given.transposed.has(module);
    const instead = insteadOf(rec, parameters.get(name))?.(x, this.#given.inputs);
    if (instead) return residual ? add(rec, instead, residual) : instead;
    const own = { transposed, ...(bias ? { bias } : {}) };
    const finish = (y: Tensor) => (residual ? add(rec, y, residual) : y);
    const product = (seen: Tensor) => {
      const y = linear(rec, seen, weight, own);
      return layer.gives?.(y) ?? y;
    };
    const whole = (seen: Tensor) =>
      layer.gives
        ? finish(product(seen))
        : linear(rec, seen, weight, { ...own, ...(residual ? { add: residual } : {}) });
    if (!adapter?.changes(module)) return whole(x);
    const place = {
      ...this.#pass,
      ...{ module, weight, transposed, bias, residual, whole },
      ...{ product, finish },
    };
    const y = adapter.linear(place, x);
    if (y && this.#given.increments) this.#increment(module, sub(rec, y, whole(x)));
    return y ?? whole(x);
  }

  #increment(module: string, increment: Tensor): void {
    this.increments.set(module, increment);
    this.#handed.push(increment);
  }

  experts(x: Tensor, name: string, plan: RoutePlan, shape: { readonly transposed?: boolean } = {}): Tensor {
    const { rec } = this;
    const { adapter, observe } = this.#given;
    const layer = layerIn(rec, this.#given.precision, name);
    const read = layer.reads(x);
    observe?.(name, read, plan);
    const weight = layer.weight(this.weight(name));
    const product = (seen: Tensor) => {
      const y = groupedLinear(rec, seen, weight, plan, shape);
      return layer.gives?.(y) ?? y;
    };
    return adapter?.experts({ ...this.#pass, module: name, weight, plan, product }, read) ?? product(read);
  }

  embed(ids: Tensor, module: string, { scale: factor = 1, ...options }: EmbedOptions = {}): Tensor {
    const { rec } = this;
    const { adapter, inputs, embedded } = this.#given;
    if (embedded && "ids" in inputs && ids === inputs.ids) return embedded;
    const weight = this.weight(`${module}.weight`);
    const rows = (table: Tensor) => embedding(rec, ids, table, options);
    const own = adapter?.embed({ ...this.#pass, module, weight, rows }) ?? rows(weight);
    return factor === 1 ? own : scale(rec, own, factor);
  }

  project(x: Tensor, weight: string, bias?: string): Tensor {
    const w = this.weight(weight);
    const [out = 0, ...into] = w.shape;
    const matrix = this.rec.reshape(w, [out, sizeOf(into)]);
    return linear(this.rec, x, matrix, bias === undefined ? {} : { bias: this.weight(bias) });
  }

  matrix(module: string): Tensor | undefined {
    const { parameters, transposed, adapter } = this.#given;
    const isRounded = this.#given.precision?.weights.has(`${module}.weight`);
    const more = isRounded || parameters.has(`${module}.bias`) || transposed.has(module) || adapter?.changes(module);
    const weight = more ? undefined : this.weight(`${module}.weight`);
    return weight?.storage.codes ? undefined : weight;
  }

  block(run: () => Tensor): Tensor {
    if (!this.#given.recompute) return run();
    const [x] = this.rec.recomputedAll(() => {
      this.#handed = [];
      return [run(), ...this.#handed];
    });
    return x!;
  }

  layers(count: number, x: Tensor, run: (layer: number, x: Tensor) => Tensor): Tensor {
    const { depth } = this.#given;
    this.#isStack = true;
    let h = this.note("hidden.0", x);
    for (let layer = 0; layer < count; layer++) {
      let turns = 0;
      const once = (y: Tensor): Tensor => {
        const again = count * turns++;
        return this.block(() => {
          this.#again = again;
          return run(layer, y);
        });
      };
      h = this.note(`hidden.${layer + 1}`, depth ? depth.turn(layer, h, once) : once(h));
    }
    return h;
  }

  kept(layer: number): readonly [number, ...number[]] {
    return [layer + this.#again, ...(this.#given.depth?.stoodFor?.(layer) ?? [])];
  }

  attend(q: Tensor, k: Tensor, v: Tensor, { layer, ...options }: AttendOptions): Tensor {
    const { rec } = this;
    const { inputs, keep } = this.#given;
    const { batch } = inputs;
    keep?.(layer, { keys: k, values: v });
    if (!("ids" in inputs)) return this.#attention(q, k, v, layer, { batch, ...options });
    if ("cache" in inputs && inputs.cache) {
      const { cache, positions } = inputs;
      const shared = { batch, capacity: cache.capacity };
      const [own, ...others] = this.kept(layer);
      const written = (at: number) => {
        const { keys, values } = cache.layer(at, options.kvHeads * options.headDim);
        cacheWrite(rec, k, keys, positions, shared);
        cacheWrite(rec, v, values, positions, shared);
        return { keys, values };
      };
      const { keys, values } = written(own);
      for (const other of others) written(other);
      return attentionCached(rec, q, keys, values, positions, { ...shared, ...options });
    }
    const segments = inputs.segments ? { segments: inputs.segments } : {};
    return this.#attention(q, k, v, layer, { batch, ...segments, ...options });
  }

  #attention(q: Tensor, k: Tensor, v: Tensor, layer: number, options: AttentionOptions): Tensor {
    const before = this.#given.before?.[layer];
    if (before) return behind(this.rec, { q, k, v }, before, options);
    // A map of attention has no place for a sink's share.
    if (!options.sinks) {
      this.attended.set(layer, { q, k, v, options });
      this.#handed.push(q, k, v);
    }
    return attention(this.rec, q, k, v, options);
  }

  routed(layer: number, routed: Routed): void {
    this.routes.set(layer, routed);
    this.#handed.push(routed.logits);
  }

  get ranks(): readonly number[] | undefined {
    return this.#given.ranks;
  }

  active(layer: number, k: number): number {
    const told = activeOf(this.rec);
    if (!told) return k;
    const { adapter, parameters } = this.#given;
    const isTrained = adapter !== undefined || [...parameters.values()].some(({ trainable }) => trainable);
    return isTrained ? told(layer, k) : k;
  }

  note(name: string, x: Tensor): Tensor {
    const { adapter, replace } = this.#given;
    const adapted = adapter?.note(this.#pass, name, x) ?? x;
    const kept = replace?.(name, adapted) ?? adapted;
    this.notes.set(name, kept);
    return kept;
  }

  noted(name: string): Tensor {
    const found = this.notes.get(name);
    if (!found) throw new Error(`nothing was noted as ${name}`);
    return found;
  }
}
