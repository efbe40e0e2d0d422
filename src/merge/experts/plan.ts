/**
 * The plan of a mixture: every tensor that the architecture of the result asks for, in its order, and what it is made
 * of. Attention, norms, embeddings and head are the base's; feed-forward networks are the experts'; rows of routers
 * are computed.
 */
import type { Dtype } from "../../checkpoint/dtype.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../model/architecture.ts";
import { describeConfig } from "../../model/description.ts";
import { type DenseModel, expectSizes, innerOf, matrixNames, matrixOf } from "./dense-model.ts";
import type { ExpertForm, MixturePlace } from "./form.ts";
import { computed, copied, type MadeTensor } from "./values.ts";

/** An expert in the making. */
export interface Expert {
  readonly model: DenseModel;
  readonly noise: number;
  readonly scale: number;
}

/** Rows of routers: of a layer (E, C), and of the gate of a shared expert (1, C). */
export interface RouterRows {
  readonly router: (layer: number) => Float32Array;
  readonly sharedGate: (layer: number) => Float32Array;
}

export interface MixtureParts {
  readonly form: ExpertForm;
  readonly base: DenseModel;
  readonly experts: readonly Expert[];
  readonly shared: readonly Expert[];
  readonly perToken: number;
  readonly dtype: Dtype | undefined;
  readonly seed: number;
  /** Asked when rows are written, so they may be computed after the plan. */
  readonly rows: () => RouterRows;
}

export interface MixturePlan {
  readonly tensors: readonly MadeTensor[];
  readonly config: Json;
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly remarks: readonly string[];
}

const DTYPE_WORD: Readonly<Record<string, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/** Keys of the base that say what its feed-forward networks, its class and its files were. */
const DROPPED = ["_name_or_path", "transformers_version", "auto_map"];

/** config.json of the result. */
export function mixtureConfig({
  form,
  base,
  experts,
  shared,
  perToken,
  dtype,
}: Omit<MixtureParts, "rows" | "seed">): Json {
  const sizes = {
    experts: experts.length,
    perToken,
    inner: innerOf(experts[0]!.model),
    sharedInner: shared[0] ? innerOf(shared[0].model) : 0,
  };
  const kept = Object.fromEntries(Object.entries(base.json).filter(([key]) => !DROPPED.includes(key)));
  const implied = base.architecture.implied?.(base.config) ?? {};
  // What the base says of positions stands as it stands there.
  const said = Object.fromEntries(
    Object.entries(implied).filter(([key]) => key !== "rope_theta" || !base.json.rope_parameters),
  );
  const typeKey = base.json.dtype !== undefined && base.json.torch_dtype === undefined ? "dtype" : "torch_dtype";
  const all = { ...said, ...kept, ...form.keys(sizes, base.json), ...(dtype && { [typeKey]: DTYPE_WORD[dtype] }) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Throws UserError for models that do not fit together. */
export function checkMixture({
  form,
  base,
  experts,
  shared,
  perToken,
}: Omit<MixtureParts, "rows" | "seed" | "dtype">): void {
  for (const { model } of [{ model: base }, ...experts, ...shared]) {
    const refused = form.refuses?.(model.json);
    if (refused) throw new UserError(`${model.ref} ${refused.message}`, refused.hint);
  }
  if (perToken > experts.length)
    throw new UserError(
      `${perToken} experts per token (experts_per_token), and there are ${experts.length} experts`,
      "lower it, or add experts",
    );
  const inner = innerOf(experts[0]!.model);
  for (const { model } of experts) expectSizes(model, base, inner);
  for (const { model } of shared) expectSizes(model, base, undefined);
}

/** Plans the tensors. Throws UserError for a tensor of the base that the result has no place for, or that it lacks. */
export async function planMixture(parts: MixtureParts): Promise<MixturePlan> {
  const { form, base } = parts;
  const config = mixtureConfig(parts);
  const described = await describeConfig(config, `${base.ref} as ${form.title}`);
  const used = new Set<string>();
  const remarks: string[] = [];
  const routerType = parts.dtype ?? base.checkpoint.tensors.get("model.embed_tokens.weight")?.dtype ?? "F32";
  const names = described.architecture
    .parameters(described.config)
    .flatMap(
      ({ name, shape, parts: each }) =>
        each?.map((part) => ({ name: part, shape: shape.slice(1) })) ?? [{ name, shape }],
    );
  const zeros: string[] = [];
  const tensors = names.map(({ name, shape }) => {
    const place = form.place(name);
    if (place) return mixtureTensor(parts, place, name, shape, routerType);
    const entry = base.checkpoint.tensors.get(name);
    if (entry) {
      used.add(name);
      if (entry.shape.join() !== shape.join())
        throw new UserError(
          `${base.ref}: ${name} is (${entry.shape.join(", ")}), expected (${shape.join(", ")})`,
          "does config.json belong to these weights?",
        );
      return copied(entry, name, parts.dtype);
    }
    if (!name.endsWith(".bias"))
      throw new UserError(`${base.ref} has no tensor ${name}`, "does config.json belong to these weights?");
    zeros.push(name);
    return computed(name, routerType, shape, () => new Float32Array(shape[0]!));
  });
  if (zeros.length > 0)
    remarks.push(`${zeros.length} biases that ${base.ref} does not have are zeros, the first is ${zeros[0]}`);
  const types = new Set(tensors.filter(({ name }) => form.place(name)?.part === "expert").map(({ dtype }) => dtype));
  if (types.size > 1) remarks.push(`experts are stored as ${[...types].join(" and ")}; a dtype makes them one type`);
  remarks.push(...leftovers(base, used));
  const files = new Map(base.checkpoint.files);
  files.set("config.json", new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`));
  return { tensors, config, files, remarks };
}

/** A tensor of a feed-forward network of the result. */
function mixtureTensor(
  { base, experts, shared, dtype, seed, rows }: MixtureParts,
  place: MixturePlace,
  name: string,
  shape: readonly number[],
  routerType: Dtype,
): MadeTensor {
  if (place.part === "router") return computed(name, routerType, shape, () => rows().router(place.layer));
  if (place.part === "shared-gate") return computed(name, routerType, shape, () => rows().sharedGate(place.layer));
  const { model, noise, scale } = place.part === "expert" ? experts[place.expert]! : shared[0]!;
  const entry = matrixOf(model, place.layer, place.matrix);
  const wanted = dtype ?? (entry.patch ? matrixOf(base, place.layer, place.matrix).dtype : undefined);
  return copied(entry, name, wanted, {
    ...(place.matrix === "down" ? { scale } : {}),
    ...(noise > 0 ? { noise: { deviation: noise, key: [seed, "experts", name] } } : {}),
  });
}

/** What of the base has no place: refused where the base computes with it, told otherwise. */
function leftovers(base: DenseModel, used: ReadonlySet<string>): string[] {
  const matrices = matrixNames(base);
  const routers = /\.mlp\.gate\.weight$/; // of an OLMoE of one expert, whose router has nothing to choose
  const computedWith = base.architecture
    .parameters(base.config)
    .flatMap(({ name, parts }) => parts ?? [name])
    .filter((name) => !used.has(name) && !matrices.has(name) && !routers.test(name));
  if (computedWith.length > 0)
    throw new UserError(
      `${base.ref}: the layout has no place for ${computedWith[0]}${computedWith.length > 1 ? ` and ${computedWith.length - 1} others` : ""}`,
      "name another architecture in the recipe, or merge without experts",
    );
  const left = [...base.checkpoint.tensors.keys()].filter(
    (name) => !used.has(name) && !matrices.has(name) && !routers.test(name),
  );
  return left.length === 0
    ? []
    : [
        `${base.ref}: ${left[0]}${left.length > 1 ? ` and ${left.length - 1} others` : ""} hold no weight that the model computes with, and are left out`,
      ];
}
