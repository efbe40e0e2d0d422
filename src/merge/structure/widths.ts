/**
 * Widths of a network divided and multiplied: every f parts of a space (coordinates, hidden units, heads) become one,
 * and one becomes f.
 *
 *   divided     W_s = A_out W R_in: mean over the parts that are written, sum over those that are read
 *   multiplied  W_l = R_out W A_in: copies of what is written, equal shares of what is read
 *
 * with R (n x n / f) the repetition of every part and A = R^T / f, so A R = I. Repeated coordinates have the mean
 * square of those that they repeat, so norms commute with it, and a multiplied network computes what it did.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { configValue, isHead, type NamedModel, resolve } from "../../model/names.ts";
import { type Anatomy, type Axis, anatomyOf, groupOf } from "../../model/structure/anatomy.ts";
import { gathered } from "../../model/structure/gather.ts";

/** What heads are paired by: heads of keys and values with the query heads that read them, or query heads alone. */
export type Pairing = "groups" | "queries";

export interface Scaling {
  readonly factor: number;
  readonly pairing: Pairing;
  /** Many parts become one, or one becomes many. */
  readonly way: "divide" | "multiply";
}

/** A tensor in its new shape, and what each of these views counts. */
export interface Scaled {
  readonly name: string;
  readonly shape: readonly number[];
  readonly views: readonly { readonly entry: TensorEntry; readonly share: number }[];
}

/** Fields of config.json that count what is scaled. */
const WIDTHS = ["hidden_size", "n_embd", "dim", "d_model", "intermediate_size", "n_inner", "hidden_dim"];
const EXPERTS = ["moe_intermediate_size", "shared_expert_intermediate_size"];
const HEADS = ["num_attention_heads", "n_head", "n_heads"];
const KV_HEADS = ["num_key_value_heads"];

/**
 * Refuses models whose computation depends on the width otherwise than by norms, or whose tensors are not all known.
 */
function anatomyToScale(model: NamedModel, method: string): Anatomy {
  const anatomy = anatomyOf(model);
  const [unknown] = anatomy.unknown;
  if (unknown !== undefined)
    throw new UserError(
      `${method} does not know what the sides of ${unknown} in ${model.ref} stand for`,
      model.config ? "it knows decoders of the Llama family, GPT-2 and GPT-NeoX, and mlp" : "config.json is missing",
    );
  const type = String(configValue(model.config, "model_type"));
  if (/^gemma/.test(type))
    throw new UserError(
      `${model.ref} is ${type}, which multiplies embeddings by a number that depends on the width`,
      "change its depth alone: --width 1",
    );
  const base = configValue(model.config, "base_width");
  if (typeof base === "number" && base !== configValue(model.config, "hidden_size"))
    throw new UserError(
      `the logits of ${model.ref} are multiplied by a number that depends on the width (base_width ${base})`,
      "change its depth alone: --width 1",
    );
  return anatomy;
}

/** Seen as a model whose head is a tensor of its own: embedding and head are scaled each in its way. */
function untied(model: NamedModel): { model: NamedModel; wasTied: boolean } {
  const names = [...model.tensors.keys()];
  if (names.some(isHead) && configValue(model.config, "tie_word_embeddings") !== true) return { model, wasTied: false };
  if (names.some(isHead)) return { model, wasTied: true };
  const name = names.some((one) => one.startsWith("gpt_neox.")) ? "embed_out.weight" : "lm_head.weight";
  const entry = configValue(model.config, "model_type") === "mlp" ? undefined : resolve(model, name);
  if (!entry) return { model, wasTied: false };
  return { model: { ...model, tensors: new Map([...model.tensors, [name, { ...entry, name }]]) }, wasTied: true };
}

class Scaler {
  readonly #anatomy: Anatomy;
  readonly #scaling: Scaling;
  readonly #ref: string;

  constructor(anatomy: Anatomy, scaling: Scaling, ref: string) {
    this.#anatomy = anatomy;
    this.#scaling = scaling;
    this.#ref = ref;
    for (const { id, units } of anatomy.spaces.values()) this.#check(id, units);
  }

  #check(id: string, units: number): void {
    const { factor, pairing, way } = this.#scaling;
    if (way === "multiply" || !this.#isScaled(id)) return;
    const group = id.startsWith("heads@") ? groupOf(this.#anatomy, id) : undefined;
    const [count, what] =
      pairing === "queries" && group !== undefined ? [group, "query heads of a group"] : [units, "parts"];
    if (count % factor === 0) return;
    const hint = id.startsWith("kv@")
      ? "--pair queries leaves heads of keys and values as they are"
      : "choose a --width that divides it";
    throw new UserError(`${this.#ref}: ${id} has ${count} ${what}, which ${factor} does not divide`, hint);
  }

  #isScaled(id: string): boolean {
    return !(this.#scaling.pairing === "queries" && id.startsWith("kv@"));
  }

  /** Units of the space in the result. */
  #unitsOf(id: string, units: number): number {
    const { factor, way } = this.#scaling;
    if (!this.#isScaled(id)) return units;
    return way === "divide" ? units / factor : units * factor;
  }

  /** The unit that stands at a place of the result; of several that become one, that of number `a`. */
  #source(id: string, place: number, a: number): number {
    const { factor, pairing, way } = this.#scaling;
    if (!this.#isScaled(id)) return place;
    const group = id.startsWith("heads@") ? groupOf(this.#anatomy, id) : undefined;
    if (way === "divide") {
      if (group === undefined || group === 1 || pairing === "queries") return place * factor + a;
      return (Math.floor(place / group) * factor + a) * group + (place % group);
    }
    if (group === undefined || group === 1 || pairing === "queries") return Math.floor(place / factor);
    return Math.floor(place / (group * factor)) * group + (place % group);
  }

  /** Places of an axis in the result; undefined where it stays as it is. */
  places(axis: Axis, a: number): Int32Array | undefined {
    if (!axis.some(({ space }) => space !== undefined && this.#isScaled(space))) return undefined;
    const places: number[] = [];
    let first = 0;
    for (const { space, units, size } of axis) {
      const count = space === undefined ? units : this.#unitsOf(space, units);
      for (let place = 0; place < count; place++) {
        const unit = space === undefined ? place : this.#source(space, place, a);
        for (let d = 0; d < size; d++) places.push(first + unit * size + d);
      }
      first += units * size;
    }
    return Int32Array.from(places);
  }

  scaled(name: string, entry: TensorEntry): Scaled {
    const { factor, way } = this.#scaling;
    const axes = this.#anatomy.axes.get(name)!;
    const read = this.#anatomy.inputs.get(name);
    // Each side that is divided is a sum over the parts that become one.
    const turns = axes.map((axis) =>
      Array.from({ length: way === "divide" && this.places(axis, 0) ? factor : 1 }, (_, a) => a),
    );
    const shares = axes.map((axis, i) => {
      if (!this.places(axis, 0)) return 1;
      return (way === "divide") === (i === read) ? 1 : 1 / factor;
    });
    const share = (way === "divide" ? shares : shares.filter((_, i) => i === read)).reduce((a, b) => a * b, 1);
    const views = turns[0]!.flatMap((a) =>
      (turns[1] ?? [0]).map((b) => {
        const [rows, columns] = [this.places(axes[0]!, a), axes[1] && this.places(axes[1], b)];
        const shape = entry.shape.map((length, i) => (i === 0 ? rows : columns)?.length ?? length);
        if (!rows && !columns) return { entry, share: 1 };
        return { entry: gathered(entry, shape, () => ({ rows, columns }), this.#ref), share };
      }),
    );
    return { name, shape: views[0]!.entry.shape, views };
  }
}

/** All tensors of a model in other widths, and what config.json says of them. */
export function scaledModel(given: NamedModel, scaling: Scaling, method: string) {
  const { model, wasTied } = untied(given);
  const anatomy = anatomyToScale(model, method);
  const scaler = new Scaler(anatomy, scaling, model.ref);
  const tensors = [...model.tensors].map(([name, entry]) => scaler.scaled(name, entry));
  const { factor, way, pairing } = scaling;
  const times = (value: unknown) =>
    typeof value !== "number" ? value : way === "divide" ? value / factor : value * factor;
  const keys = [...WIDTHS, ...EXPERTS, ...HEADS, ...(pairing === "queries" ? [] : KV_HEADS)];
  const fields: Record<string, unknown> = Object.fromEntries(
    keys.flatMap((key) => {
      const value = configValue(model.config, key);
      return value === undefined ? [] : [[key, times(value)]];
    }),
  );
  const kv = configValue(model.config, ...KV_HEADS);
  if (pairing === "queries" && kv === undefined)
    throw new UserError(
      `${model.ref} has a head of keys and values for every query head`,
      "leave out --pair queries, which is for models whose query heads share them",
    );
  if (configValue(model.config, "model_type") === "mlp") fields.hidden_sizes = hiddenSizes(anatomy, times);
  return { tensors, fields, wasTied };
}

const hiddenSizes = ({ spaces }: Anatomy, times: (value: unknown) => unknown): unknown[] =>
  [...spaces.values()].map(({ units }) => times(units));
