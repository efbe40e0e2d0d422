/** An adapter of a declared type on a model: its tensors, and the type's equations over them. */
import type { JsonObject } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ModelSizes } from "../architecture.ts";
import type { Adapted, AdaptedPass, AdapterDeclaration, Everywhere } from "./declaration.ts";
import type {
  AdaptedPlace,
  AdapterDraws,
  AdapterGroups,
  AdapterStages,
  AdapterTensor,
  Ahead,
  EmbeddingPlace,
  ExpertsPlace,
  LinearPlace,
  LiveAdapter,
  Pass,
} from "./live-adapter.ts";
import type { Target } from "./targets.ts";

/** A target with its parameters by part. */
export interface AdaptedTarget {
  readonly target: Target;
  readonly parts: ReadonlyMap<string, Parameter>;
  /** Settings of its own. */
  readonly values?: Readonly<Record<string, unknown>>;
}

export interface DeclaredTensors {
  readonly targets: readonly AdaptedTarget[];
  readonly shared: ReadonlyMap<string, Parameter>;
}

const tensorOf = (parameter: Parameter): AdapterTensor => ({
  ...{ name: parameter.name, shape: parameter.shape, parameter, start: 0 },
});

/** The stages of a declaration on these tensors. */
function stagesOf<O extends Options>(
  { stages }: AdapterDeclaration<O>,
  values: Values<O>,
  targets: readonly AdaptedTarget[],
): AdapterStages | undefined {
  if (!stages) return undefined;
  const all = targets.flatMap(({ parts }) => [...parts]);
  return {
    count: stages.count(values),
    drawn: stages.drawn ?? false,
    focus: stages.focus?.(values) ?? 1,
    current: 1,
    of: (stage) =>
      all.map(([part, parameter]) => ({ parameter, ...stages.trained(part, stage, values, parameter.shape) })),
  };
}

/** The draws of a declaration on these tensors. */
function drawsOf<O extends Options>(
  { draws }: AdapterDeclaration<O>,
  values: Values<O>,
  targets: readonly AdaptedTarget[],
): AdapterDraws | undefined {
  if (!draws) return undefined;
  return {
    at(step) {
      const drawn = draws.at(step, targets.length, values);
      return {
        written: targets.map(({ parts }, i) => [parts.get(draws.part)!, drawn[i]!]),
        trained: targets.flatMap(({ parts }, i) =>
          [...parts].flatMap(([part, parameter]) =>
            parameter.trainable ? [{ parameter, ...draws.trained(part, drawn[i]!, values) }] : [],
          ),
        ),
      };
    },
  };
}

export class DeclaredAdapter<O extends Options> implements LiveAdapter {
  readonly config: string;
  readonly whole: ReadonlyMap<string, Parameter>;
  readonly recurrent: boolean;
  readonly stages: AdapterStages | undefined;
  readonly draws: AdapterDraws | undefined;
  readonly groups: AdapterGroups | undefined;
  readonly ahead: Ahead | undefined;
  readonly #declared: AdapterDeclaration<O>;
  readonly #values: Values<O>;
  readonly #own: DeclaredTensors;
  readonly #json: JsonObject;
  readonly #sizes: ModelSizes;
  readonly #byModule: ReadonlyMap<string, AdaptedTarget>;

  constructor(
    declared: AdapterDeclaration<O>,
    values: Values<O>,
    own: DeclaredTensors,
    config: string,
    sizes: ModelSizes,
    whole: ReadonlyMap<string, Parameter> = new Map(),
  ) {
    this.recurrent = declared.recurrent?.(values, sizes) ?? false;
    this.stages = stagesOf(declared, values, own.targets);
    this.draws = drawsOf(declared, values, own.targets);
    this.groups = declared.groups?.(values);
    this.#sizes = sizes;
    this.#declared = declared;
    this.#values = values;
    this.#own = own;
    this.#byModule = new Map(own.targets.map((one) => [one.target.module, one]));
    this.config = config;
    this.#json = JSON.parse(config);
    this.whole = whole;
    const { ahead } = declared;
    this.ahead = ahead && {
      tokens: ahead.tokens(values),
      rows: (rec) => ahead.rows?.(this.#everywhere(rec)),
      keysValues: (rec) => ahead.keysValues?.(this.#everywhere(rec)),
    };
  }

  withWhole(whole: ReadonlyMap<string, Parameter>, config: string): LiveAdapter {
    return new DeclaredAdapter(this.#declared, this.#values, this.#own, config, this.#sizes, whole);
  }

  get exported(): LiveAdapter["exported"] {
    const { exports } = this.#declared;
    if (!exports) return undefined;
    const targets = this.#own.targets.filter(({ parts }) => exports.parts.every((part) => parts.has(part)));
    const modules = targets.map(({ target }) => target.module);
    const { modules_to_save, task_type } = this.#json;
    const config = {
      ...exports.config(this.#json, this.#values, modules),
      ...(this.whole.size > 0 ? { modules_to_save, task_type } : {}),
    };
    const saved = targets.flatMap(({ parts }) => exports.parts.map((part) => parts.get(part)!));
    return {
      config: `${JSON.stringify(config, null, 2)}\n`,
      stored: () => [...saved, ...this.whole.values()].map(tensorOf),
    };
  }

  stored(): AdapterTensor[] {
    return this.tensors().map(tensorOf);
  }

  tensors(): Parameter[] {
    const { shared, targets } = this.#own;
    const own = targets.flatMap(({ parts }) => [...parts.values()]);
    return [...shared.values(), ...own, ...this.whole.values()];
  }

  parameters(): Parameter[] {
    return this.tensors().filter(({ trainable }) => trainable);
  }

  free(): void {
    for (const parameter of this.tensors()) parameter.free();
  }

  changes(module: string): boolean {
    return this.#byModule.has(module);
  }

  linear(place: LinearPlace, x: Tensor): Tensor | undefined {
    const layer = this.#adapted(place);
    // A tied head does not follow an adapter of the embedding, as with PEFT.
    return layer?.target.kind === "linear" ? this.#declared.linear?.(layer, x) : undefined;
  }

  experts(place: ExpertsPlace, x: Tensor): Tensor | undefined {
    const layer = this.#adapted(place);
    return layer && this.#declared.experts?.(layer, x);
  }

  embed(place: EmbeddingPlace): Tensor | undefined {
    const layer = this.#adapted(place);
    return layer?.target.kind === "embedding" ? this.#declared.embed?.(layer) : undefined;
  }

  note(pass: Pass, name: string, x: Tensor): Tensor {
    return this.#declared.note?.(this.#adaptedPass(pass), name, x) ?? x;
  }

  begin(pass: Pass): void {
    this.#declared.begin?.(this.#adaptedPass(pass));
  }

  #adaptedPass(pass: Pass): AdaptedPass<O> {
    return { ...pass, ...this.#everywhere(pass.rec) };
  }

  #everywhere(rec: Recorder): Everywhere<O> {
    return { rec, values: this.#values, sizes: this.#sizes, shared: (name) => rec.parameter(this.#shared(name)) };
  }

  #shared(name: string): Parameter {
    const parameter = this.#own.shared.get(name);
    if (!parameter) throw new Error(`${this.#declared.name} declares no ${name}`);
    return parameter;
  }

  #adapted<P extends AdaptedPlace>(place: P): Adapted<P, O> | undefined {
    const found = this.#byModule.get(place.module);
    if (!found) return undefined;
    const { rec } = place;
    return {
      ...place,
      ...this.#everywhere(rec),
      values: { ...this.#values, ...found.values },
      json: this.#json,
      target: found.target,
      tensor: (part) => {
        const parameter = found.parts.get(part);
        if (!parameter) throw new Error(`${this.#declared.name} declares no ${part}`);
        return rec.parameter(parameter);
      },
    };
  }
}
