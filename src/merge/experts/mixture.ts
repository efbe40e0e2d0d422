/** A mixture of experts that is taken apart: its layers, and where the tensors of its experts are. */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../model/architecture.ts";
import type { DescribedModel } from "../../run/open-model.ts";
import type { ExpertForm, Matrix } from "./form.ts";
import { FORMS } from "./forms.ts";

export interface MixtureLayer {
  readonly router: TensorEntry;
  /** By expert, each with its three matrices. */
  readonly experts: readonly Readonly<Record<Matrix, TensorEntry>>[];
  readonly shared?: Readonly<Record<Matrix, TensorEntry>>;
  readonly sharedGate?: TensorEntry;
}

export interface Mixture {
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  readonly json: Json;
  readonly form: ExpertForm;
  /** By layer; layers without experts are left out. */
  readonly layers: ReadonlyMap<number, MixtureLayer>;
  /** Experts of each layer. */
  readonly experts: number;
  readonly perToken: number;
}

interface Collected {
  router?: TensorEntry;
  sharedGate?: TensorEntry;
  shared: Partial<Record<Matrix, TensorEntry>>;
  experts: Map<number, Partial<Record<Matrix, TensorEntry>>>;
}

const whole = (parts: Partial<Record<Matrix, TensorEntry>> | undefined): Record<Matrix, TensorEntry> | undefined =>
  parts?.gate && parts.up && parts.down ? { gate: parts.gate, up: parts.up, down: parts.down } : undefined;

/** Sorts the tensors of an opened model. Throws UserError for a model without experts, or of an unknown layout. */
export function mixtureOf({
  checkpoint,
  json,
  architecture,
}: DescribedModel & { readonly checkpoint: Checkpoint }): Mixture {
  const { ref, tensors } = checkpoint;
  const form = FORMS.find(({ name }) => name === architecture.name);
  if (!form)
    throw new UserError(
      `${ref} is a ${architecture.name}, and no mixture whose experts can be merged`,
      `layouts that are known: ${FORMS.map(({ name }) => name).join(", ")}`,
    );
  // A result takes tensors in its own order, and routers are looked at before.
  if (isStream(checkpoint)) for (const name of tensors.keys()) checkpoint.retain(name);
  const found = new Map<number, Collected>();
  for (const entry of tensors.values()) {
    const place = form.place(entry.name);
    if (!place) continue;
    const layer: Collected = found.get(place.layer) ?? { shared: {}, experts: new Map() };
    found.set(place.layer, layer);
    if (place.part === "router") layer.router = entry;
    else if (place.part === "shared-gate") layer.sharedGate = entry;
    else if (place.part === "shared") layer.shared[place.matrix] = entry;
    else layer.experts.set(place.expert, { ...layer.experts.get(place.expert), [place.matrix]: entry });
  }
  const layers = new Map<number, MixtureLayer>();
  for (const [layer, { router, sharedGate, shared, experts }] of [...found].sort(([a], [b]) => a - b)) {
    const list = Array.from({ length: experts.size }, (_, e) => whole(experts.get(e)));
    if (!router || list.some((one) => one === undefined))
      throw new UserError(`${ref}: layer ${layer} lacks tensors of its experts`, "is the checkpoint whole?");
    const beside = whole(shared);
    layers.set(layer, {
      router,
      experts: list.map((one) => one!),
      ...(beside && { shared: beside }),
      ...(sharedGate && { sharedGate }),
    });
  }
  const experts = router(layers)?.shape[0] ?? 0;
  const perToken = Number(json.num_experts_per_tok ?? { mixtral: 2, qwen2_moe: 4, deepseek: 6 }[form.name] ?? 8);
  return { ref, checkpoint, json, form, layers, experts, perToken };
}

const router = (layers: ReadonlyMap<number, MixtureLayer>): TensorEntry | undefined => [...layers.values()][0]?.router;
