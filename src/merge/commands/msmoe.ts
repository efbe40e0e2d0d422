/**
 * `merge msmoe`: fewer experts, each the mean of those that do alike. Li et al., Merge, Then Compress: Demystify
 * Efficient SMoE with Hints from Its Routing Policy, ICLR 2024, https://arxiv.org/abs/2310.01334, section 3: M-SMoE.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { humanBytes } from "../../text/format.ts";
import { type Group, groupExperts, memberWeights, randomGroups, rowProducts } from "../experts/groups.ts";
import { Alignments, type MergedPlace, meanRouter, meanTensor } from "../experts/merged-experts.ts";
import type { Mixture } from "../experts/mixture.ts";
import type { MSMOE } from "../experts/options.ts";
import { copied, type MadeTensor, readValues } from "../experts/values.ts";
import { measured, onceGpu, openMixture, writeMixture } from "./measured-mixture.ts";

type MsmoeContext = Context<typeof MSMOE>;

/** Keys that count experts under another name than the layout's. */
const OTHER_COUNTS = ["num_experts", "num_local_experts", "n_routed_experts"];

const withExperts = ({ json, form }: Mixture, groups: number, perToken: number) => ({
  ...Object.fromEntries(Object.entries(json).filter(([key]) => !OTHER_COUNTS.includes(key))),
  [form.countKey]: groups,
  num_experts_per_tok: perToken,
});

/** Bytes of a mean on its way: values of two matrices in f32, their sum in f64, and the gains of neurons. */
export function expertBytes({ layers }: Mixture): number {
  const [inner = 0, width = 0] = [...layers.values()][0]?.experts[0]?.gate.shape ?? [];
  return 24 * inner * width + 12 * inner * inner;
}

/** Every tensor of the result; experts and routers are asked for their places when they are written. */
function tensorsOf(
  { checkpoint, form, layers }: Mixture,
  groups: number,
  places: (layer: number) => readonly MergedPlace[],
  alignments: Alignments,
): MadeTensor[] {
  return [...checkpoint.tensors.values()].flatMap((entry) => {
    const place = form.place(entry.name);
    const parts = place && layers.get(place.layer);
    if (!parts || place.part === "shared" || place.part === "shared-gate")
      return [copied(entry, entry.name, undefined)];
    if (place.part === "router") return [meanRouter(parts, groups, () => places(place.layer))];
    const { layer, expert, matrix } = place;
    if (expert >= groups) return [];
    return [meanTensor(entry.name, { parts, matrix }, () => places(layer)[expert]!, alignments)];
  });
}

/** The groups of every layer. */
async function groupsOfLayers(
  context: MsmoeContext,
  mixture: Mixture,
  routing: Awaited<ReturnType<typeof measured>>,
  groups: number,
): Promise<ReadonlyMap<number, MergedPlace[]>> {
  const { similarity, weights } = context.options;
  const found = new Map<number, MergedPlace[]>();
  for (const [layer, parts] of mixture.layers) {
    const { usage, products } = routing.get(layer)!;
    const input = { usage, groups };
    const grouped: Group[] =
      similarity === "random"
        ? randomGroups(usage, groups, [context.seed, layer])
        : groupExperts({
            ...input,
            products:
              similarity === "router-logits" ? products : rowProducts(await readValues(parts.router), mixture.experts),
          });
    const alike = usage.map(() => 1);
    found.set(
      layer,
      grouped.map((group) => ({
        ...{ layer, parts, group },
        weights: memberWeights(group, weights === "usage" ? usage : alike),
      })),
    );
  }
  return found;
}

export async function mergeExperts(context: MsmoeContext): Promise<Outcome> {
  const { options } = context;
  const opened = await openMixture(context);
  const { mixture } = opened;
  const { experts, ref } = mixture;
  const groups = options.groups ?? Math.max(1, Math.floor(experts / 4));
  if (groups > experts)
    throw new UserError(`${groups} groups (--groups), and ${ref} has ${experts} experts`, "lower it");
  const perToken = options.experts_per_token ?? Math.min(mixture.perToken, groups);
  if (perToken > groups)
    throw new UserError(
      `${perToken} experts per token (--experts-per-token) of ${groups}`,
      "lower it, or raise --groups",
    );
  if (options.experts_per_token === undefined && perToken < mixture.perToken)
    context.warn(`a token takes ${perToken} of the experts instead of ${mixture.perToken}: there are no more`);
  let places: ReadonlyMap<number, MergedPlace[]> | undefined;
  const gpu = onceGpu(context);
  const alignments = new Alignments(options.align ? gpu : undefined);
  return writeMixture(context, opened, {
    script: "merge msmoe",
    tensors: tensorsOf(mixture, groups, (layer) => places!.get(layer)!, alignments),
    config: withExperts(mixture, groups, perToken),
    gpu,
    async prepare(openGpu) {
      const routing = await measured(context, opened, openGpu);
      places = await groupsOfLayers(context, mixture, routing, groups);
    },
    host: expertBytes(mixture),
    facts: [
      ["layout", `${mixture.form.title} (${mixture.form.name}), ${mixture.layers.size} layers of experts`],
      ["experts", `${experts} become ${groups}, ${perToken} of each token`],
      ["one mean", humanBytes(expertBytes(mixture))],
    ],
    json: () => ({
      ...{ architecture: mixture.form.name, experts: groups, experts_per_token: perToken },
      ...(places && { groups: [...places.values()].map((layer) => layer.map(({ group }) => group.members)) }),
    }),
  });
}
